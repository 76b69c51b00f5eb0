"""The fold: events in the log's order, many users at once, exactly as one by one.

Batch folds whole histories with it, training too, the worker each micro-batch. ``kernel`` holds the loops.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lambent import compiled
from lambent.encoding import Events
from lambent.facts import Spans
from lambent.features import FeatureSet
from lambent.profile import Profiles
from lambent.program import compile_features
from lambent.sessions import Sessions
from lambent.views import event_columns, profile_blocks, session_fields

Rows = NDArray[np.int64]
Floats = NDArray[np.float32]

program_of = functools.cache(compile_features)


@dataclasses.dataclass
class FoldState:
    """What the fold knows of n users; changed in place.

    Attributes:
        sessions: [n] the running sessions.
        base: [n] the batch profile merged with the finished tiles since its cut-off.
        tile: [n] the aggregates of the running tile.
        tile_start_ms: [n] where the running tile starts on the ingest clock.
        tile_events: [n] how many events it has seen.
        reset_ms: [n] ingest time of the last event that came after a silence beyond the horizon; 0: none.
            What happened before it counts no more.
        finished: tiles that ended: (user, start in ms, events, one profile).
    """

    sessions: Sessions
    base: Profiles
    tile: Profiles
    tile_start_ms: Rows
    tile_events: Rows
    reset_ms: Rows
    finished: list[tuple[int, int, int, Profiles]] = dataclasses.field(default_factory=list)

    @classmethod
    def identity(cls, features: FeatureSet, users: int) -> FoldState:
        """Users of whom nothing is known."""
        start_ms, events, reset_ms = np.zeros((3, users), np.int64)
        profiles = features.profile.identity(users)
        return cls(np.zeros(users, features.session_dtype), profiles, profiles.copy(), start_ms, events, reset_ms)


@dataclasses.dataclass(frozen=True)
class Steps:
    """What the model sees of m events, late ones left out.

    Attributes:
        event: [m] index of the event.
        user: [m] index of the user.
        starts: [m] true where a session starts, with or without its opening event.
        profile: [starts.sum(), profile features] the profile as it stood before the session.
        ids: [m, ids] and floats: [m, floats] in the order of ``FeatureSet.step_ids`` and ``step_floats``.
        session_events: [m] events of the session, this one included.
    """

    event: Rows
    user: Rows
    starts: NDArray[np.bool_]
    profile: Floats
    ids: NDArray[np.int32]
    floats: Floats
    session_events: NDArray[np.uint32]

    def waves(self) -> Iterator[Steps]:
        """The first step of each user, then the second, and so on: a user's events must step in sequence."""
        if len(self.user) and np.bincount(self.user).max() == 1:
            yield self
            return
        began = np.cumsum(self.starts) - 1
        for rows in wave_rows(self.user):
            starts = self.starts[rows]
            yield Steps(
                self.event[rows], self.user[rows], starts, self.profile[began[rows[starts]]],
                self.ids[rows], self.floats[rows], self.session_events[rows],
            )  # fmt: skip


def fold(
    features: FeatureSet, state: FoldState, user: Rows, events: Events, tile_ms: int = 0, told: Spans | None = None
) -> Steps:
    """Fold events into the state; returns what the model sees of them.

    Args:
        features: the feature set.
        state: of n users.
        user: [m] index of each event's user.
        events: [m] each user's events in the log's order, without duplicates; their marks are set here.
        tile_ms: tile width on the ingest clock; 0 means one tile for all.
        told: what was told of the users besides, for histories as a whole: a session is shown the facts of when the log took
            its first event, instead of the profile's.
    """
    for profiles in (state.base, state.tile):
        np.maximum(state.sessions["clock_ms"], profiles["clock_ms"], out=state.sessions["clock_ms"])
    expired = mark(state.sessions["clock_ms"], user, events)
    layout, m = features.profile, len(events)
    kept = ~events["late"]
    sessions = np.empty(_most_starts(state.sessions, user, events), layout.dtype)
    tiles = np.empty(m, layout.dtype)
    starts, ids = np.zeros(m, bool), np.zeros((m, len(features.step_ids)), np.int32)
    floats, count = np.zeros((m, len(features.step_floats)), np.float32), np.zeros(m, np.uint32)
    profile_ms, ended_tiles = np.zeros(len(sessions), np.int64), np.zeros((3, len(tiles)), np.int64)
    began, ended = compiled.fold_steps(
        program_of(features), user, event_columns(events), expired, tile_ms, session_fields(state.sessions),
        profile_blocks(state.base), profile_blocks(state.tile),
        (state.tile_start_ms, state.tile_events, state.reset_ms, *ended_tiles, profile_blocks(tiles)),
        (starts, ids, floats, count, profile_ms, profile_blocks(sessions)),
    )  # fmt: skip
    ended_tiles = ended_tiles[:, :ended].T.tolist()
    state.finished += [(*one, tiles[k : k + 1].copy()) for k, one in enumerate(ended_tiles)]
    if told is not None:
        first = np.flatnonzero(starts)
        sessions["fact"][:began] = told.as_of(user[first], events["ingest_ms"][first])
    profile = layout.finalize(sessions[:began], profile_ms[:began])
    return Steps(np.flatnonzero(kept), user[kept], starts[kept], profile, ids[kept], floats[kept], count[kept])


def fold_profiles(features: FeatureSet, base: Profiles, user: Rows, events: Events) -> Profiles:
    """[users] profiles after more events: the fold without sessions, tiles and steps.

    Args:
        features: the feature set.
        base: [users] profiles of what came before, in the log's order; the identity where nothing did.
        user: [n] index of each event's user.
        events: [n] each user's events in the log's order, without duplicates; ``opens`` and ``late`` are set here.
    """
    profiles, expired = base.copy(), mark(base["clock_ms"], user, events)
    compiled.fold_profiles(program_of(features), user, event_columns(events), expired, profile_blocks(profiles))
    return profiles


def merge(features: FeatureSet, left: Profiles, right: Profiles) -> Profiles:
    """[n] profiles that have seen what both sides have: associative and commutative."""
    merged = left.copy()
    merge_into(features, merged, np.arange(len(right)), right)
    return merged


def merge_into(features: FeatureSet, profiles: Profiles, to: Rows, other: Profiles) -> None:
    """Merge the ``other`` [m] profiles into those of ``profiles`` that ``to`` [m] names, in place."""
    compiled.merge_profiles(program_of(features), profile_blocks(profiles), to, profile_blocks(other))


def mark(clock_ms: Rows, user: Rows, events: Events) -> NDArray[np.bool_]:
    """Set ``opens``, ``late`` and ``clock_ms``, in place.

    Args:
        clock_ms: [users] their clocks before the events; ``NEVER_MS`` where there is none.
        user: [n] index of each event's user.
        events: [n] each user's events in the log's order.

    Returns:
        [n] true where the user was silent for longer than the horizon and starts from the identity.
    """
    expired = np.zeros(len(events), bool)
    compiled.mark(clock_ms.copy(), user, events["t_ms"], events["opens"], events["late"], events["clock_ms"], expired)
    return expired


def _most_starts(sessions: Sessions, user: Rows, events: Events) -> int:
    """How many sessions can start: those that open, and those of which no event was ever seen here."""
    new = np.zeros(len(sessions), bool)
    new[user] = sessions["events"][user] == 0
    return int(np.count_nonzero(events["opens"])) + int(np.count_nonzero(new))


def wave_rows(user: Rows) -> list[Rows]:
    """Indices of the first event of each user, of the second, and so on."""
    order = np.argsort(user, kind="stable")
    starts = np.flatnonzero(first_of(user[order]))
    rank = np.arange(len(user)) - np.repeat(starts, np.bincount(user)[user[order[starts]]])
    by_rank = np.argsort(rank, kind="stable")
    return np.split(order[by_rank], np.cumsum(np.bincount(rank))[:-1]) if len(user) else []


def first_of(values: Rows) -> NDArray[np.bool_]:
    """[n] true where a run of equal values begins; ``np.diff`` takes ten times as long for a few of them."""
    found = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=found[1:])
    return found


def last_of(values: Rows) -> NDArray[np.bool_]:
    """[n] true where a run of equal values ends."""
    found = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=found[:-1])
    return found
