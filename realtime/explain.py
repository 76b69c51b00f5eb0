"""What the profile did to an intent: asked of the model itself, when somebody wants to know.

The session's first event is shown to the model once for each choice of the profile's groups, the others being what they are of
somebody of whom nothing is known, which the model has seen often. The groups' parts are the Shapley values of what it says then, so
that they sum to what it says with all of the profile less what it says with none. No event is replayed and nothing is kept for it:
the profile as it stood before the session is the published one with the user's tiles that ended before.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.aggregates import Aggregate
from lambent.control import ModelEntry
from lambent.encoding import EVENT_DTYPE, Events
from lambent.errors import LambentError, ModelError, StoreError
from lambent.events import Intent
from lambent.features import FeatureSet
from lambent.fold import FoldState, fold
from lambent.groups import groups_of
from lambent.profile import KINDS, Profiles
from lambent.records import LAST_FIELDS, LiveRecords, decode_live, decode_profiles, merge_live
from lambent.shapley import coalitions, shapley
from realtime.explanation import Explanation, Moved, put_together
from realtime.model import Model
from realtime.predict import BASE_RATE, KEPT, load_artifact, read_control

NEWER = "The profile was published after the session began, so that it holds more than the model was shown."
FORGOTTEN = "The session's model is remembered no more."

Columns = dict[str, NDArray[np.int64]]
"""By block of a profile, the columns of a group."""


class Explainer:
    """Explains intents; any thread may ask.

    Args:
        features: the feature set.
        tile_ms: tile width.
        load: loads a model at its first use.
    """

    def __init__(
        self, features: FeatureSet, tile_ms: int, load: Callable[[FeatureSet, ModelEntry], Model] = load_artifact
    ) -> None:
        self.features, self.tile_ms = features, tile_ms
        self._columns = {name: _columns(features, own) for name, own in groups_of(features).items()}
        self._model = functools.lru_cache(KEPT)(functools.partial(load, features))
        self._one_at_a_time = threading.Lock()  # an interpreter has one memory

    def explain(self, intent: Intent, live: bytes | None, profile: bytes | None, control: bytes | None) -> Explanation:
        """Explain an intent by what the store holds beside it, all read at one time.

        Args:
            intent: what was said.
            live: the user's live record, and profile: the user's profile.
            control: what the control entries have set.

        Raises:
            StoreError: the live record or the intent is of another version.
        """
        taxonomy = self.features.taxonomy
        if intent.probabilities.keys() != set(taxonomy.intents):
            raise StoreError("The intent is one of another taxonomy.", "Is the worker's taxonomy the one here?")
        record = decode_live(self.features, [live])
        try:
            moved = self._profile_moved(intent, record, profile, control)
        except LambentError as error:
            return put_together(taxonomy, intent, record.answered(0), {}, error.cause)
        return put_together(taxonomy, intent, record.answered(0), moved)

    def _profile_moved(
        self, intent: Intent, record: LiveRecords, profile: bytes | None, control: bytes | None
    ) -> dict[str, Moved]:
        """By group what it moved; empty where there was nothing to move.

        Raises:
            LambentError: it cannot be told, and why.
        """
        if intent.model == BASE_RATE:
            return {}
        known = self._before(intent, record, profile)
        groups = [name for name, columns in self._columns.items() if _holds_any(known, columns)]
        if not groups:
            return {}
        state = read_control(control)
        entry = next((one for one in state.models if one.version == record.fixed["model"][0]), None)
        if entry is None:
            raise ModelError(FORGOTTEN)
        with self._one_at_a_time:
            said = self._ask(self._model(entry), self._masked(known, groups), self._first(intent, record))
        correction = state.correction(entry.version)
        return dict(zip(groups, shapley(said if correction is None else correction.correct(said)), strict=True))

    def _before(self, intent: Intent, record: LiveRecords, profile: bytes | None) -> Profiles:
        """[1] the profile as it stood before the session, but for what the session's first tile held already."""
        began_ms = _began_ms(intent, record)
        profiles, cutoff_ms = decode_profiles(self.features, [profile])
        if cutoff_ms[0] > began_ms:
            raise StoreError(NEWER)
        ended = record.tiles.start_ms + self.tile_ms <= began_ms
        before = LiveRecords(record.fixed, record.tiles[ended], record.recent, record.last)
        return merge_live(self.features, profiles, cutoff_ms, before)

    def _first(self, intent: Intent, record: LiveRecords) -> Events:
        """[1] the session's first event as far as it is kept; a bare one of the session's commonest type where it is not."""
        session, last = record.fixed["session"][0], record.answered(0)
        event = np.zeros(1, EVENT_DTYPE)
        for name in ("price", "dwell_ms", "known"):
            event[name] = np.nan
        event["t_ms"], event["ingest_ms"] = session["start_ms"], _began_ms(intent, record)
        event["type"] = session["types"].argmax()
        if 0 < intent.session_events <= len(last):
            for name in LAST_FIELDS:
                event[name] = last[-intent.session_events][name]
        return event

    def _ask(self, model: Model, known: Profiles, event: Events) -> NDArray[np.float32]:
        """[n, K] what the model says of the event, by what is known [n] when the session begins."""
        users = np.arange(len(known))
        state = FoldState.identity(self.features, len(known))
        state.base = known
        steps = fold(self.features, state, users, np.repeat(event, len(known)))
        return model.step(model.start(steps.profile), steps.ids, steps.floats)[1]

    def _masked(self, known: Profiles, groups: Sequence[str]) -> Profiles:
        """[2^G] the profile with the groups that are in each coalition, the others as of somebody unknown."""
        inside = coalitions(len(groups))
        masked = np.repeat(known, len(inside))
        for name, there in zip(groups, inside.T, strict=True):
            for kind, columns in self._columns[name].items():
                masked[kind][np.ix_(~there, columns)] = KINDS[kind].identity
        return masked


def _columns(features: FeatureSet, members: Sequence[Aggregate]) -> Columns:
    """Where a group's values lie."""
    places: dict[str, list[int]] = {}
    for one in members:
        first = features.profile.column[one.name]
        places.setdefault(one.group, []).extend(range(first, first + one.width))
    return {kind: np.array(own) for kind, own in places.items()}


def _holds_any(known: Profiles, columns: Columns) -> bool:
    """Whether a group of [1] profile is any other than that of somebody unknown: what holds nothing can move nothing."""
    return any(bool((known[kind][0, own] != KINDS[kind].identity).any()) for kind, own in columns.items())


def _began_ms(intent: Intent, record: LiveRecords) -> int:
    """When the log took the session's first event, if it took it as long after it happened as the newest."""
    t_ms = min(intent.event_ms, intent.ingest_ms)
    return intent.ingest_ms - max(t_ms - int(record.fixed["session"]["start_ms"][0]), 0)
