"""Training rows: the same fold as live, run over whole histories, stopped at each session's start for its profile."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
from numpy.typing import NDArray

from lambent.encoding import Events
from lambent.facts import Spans
from lambent.features import FeatureSet
from lambent.fold import Floats, FoldState, Rows, fold, mark
from lambent.sessions import NEVER_MS

HELD_OUT_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class SessionRows:
    """Sessions of many users, flat: session s has steps ``first[s]`` to ``first[s] + length[s]``.

    Attributes:
        user: [s] index of the user.
        start_ms, end_ms: [s] time of the first event and the user's clock at the last one.
        first, length: [s] where the steps lie.
        profile: [s, profile features].
        event: [steps] index of the event.
        ids, floats: [steps, …] what the step sees.
        labels: [steps] code of the intent: of the first decisive event that follows in the session.
    """

    user: Rows
    start_ms: Rows
    end_ms: Rows
    first: Rows
    length: Rows
    profile: Floats
    event: Rows
    ids: NDArray[np.int32]
    floats: Floats
    labels: NDArray[np.int8]


def session_rows(features: FeatureSet, user: Rows, events: Events, told: Spans | None = None) -> SessionRows:
    """Fold whole histories and cut them into sessions.

    Args:
        features: the feature set.
        user: [n] index of each event's user, 0 … users - 1.
        events: [n] each user's distinct events in the log's order; marks are set here.
        told: what was told of the users besides; None: nothing.
    """
    state = FoldState.identity(features, int(user.max(initial=-1)) + 1)
    steps = fold(features, state, user, events, told=told)
    if not len(steps.event):
        return _no_rows(features)
    order = np.lexsort((steps.event, steps.user))  # of a user by the log's order, which is the events' own
    first = np.flatnonzero(steps.starts[order])
    length = np.diff(np.r_[first, len(order)])
    began = np.cumsum(steps.starts) - 1
    event = steps.event[order]
    session = np.repeat(np.arange(len(first)), length)
    labels = label_steps(features, events["type"][event], session)
    t_ms = events["t_ms"][event]
    return SessionRows(
        user=steps.user[order][first],
        start_ms=t_ms[first],
        end_ms=np.maximum.reduceat(t_ms, first),
        first=first,
        length=length,
        profile=steps.profile[began[order][first]],
        event=event,
        ids=steps.ids[order],
        floats=steps.floats[order],
        labels=labels,
    )


def session_spans(user: Rows, events: Events) -> tuple[Rows, Rows, Rows, Rows]:
    """The ``user``, ``start_ms``, ``end_ms`` and ``length`` of the same sessions as ``session_rows`` gives, and no more.

    Args:
        user: [n] index of each event's user, never falling.
        events: [n] each user's distinct events in the log's order, of which ``t_ms`` is read; marks are set here.
    """
    mark(np.full(int(user.max(initial=-1)) + 1, NEVER_MS), user, events)
    kept = np.flatnonzero(~events["late"])
    t_ms = events["t_ms"][kept]
    first = np.flatnonzero(events["opens"][kept])
    end_ms = np.maximum.reduceat(t_ms, first) if len(first) else t_ms
    return user[kept][first], t_ms[first], end_ms, np.diff(np.r_[first, len(kept)])


def _no_rows(features: FeatureSet) -> SessionRows:
    none = np.zeros(0, np.int64)
    return SessionRows(
        none, none, none, none, none, np.zeros((0, len(features.profile.feature_names)), np.float32), none,
        np.zeros((0, len(features.step_ids)), np.int32), np.zeros((0, len(features.step_floats)), np.float32),
        np.zeros(0, np.int8),
    )  # fmt: skip


def label_steps(features: FeatureSet, types: NDArray[np.uint8], session: Rows) -> NDArray[np.int8]:
    """[steps] intent labels.

    Args:
        features: gives the taxonomy.
        types: [steps] type codes, session by session in order.
        session: [steps] number of the session, never falling.
    """
    decides = np.array([-1 if code is None else code for code in features.taxonomy.intent_of_type], np.int8)[types]
    steps = np.arange(len(types))
    # Index of the next decisive step at or after each step, then looked up one step ahead.
    at_or_after = np.minimum.accumulate(np.where(decides >= 0, steps, len(types))[::-1])[::-1]
    following = np.r_[at_or_after[1:], len(types)][: len(types)]
    inside = following < len(types)
    inside[inside] = session[following[inside]] == session[inside]
    labels = np.zeros(len(types), np.int8)
    labels[inside] = decides[following[inside]]
    return labels


def is_held_out(user: str) -> bool:
    """Whether a user's sessions are kept from train and validation, for good: by a hash of the pseudonym."""
    return zlib.crc32(user.encode()) % 1000 < 1000 * HELD_OUT_SHARE
