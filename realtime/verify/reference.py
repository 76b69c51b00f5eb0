"""The log once more: each event alone, in order, in plain Python, by ``lambent.oracle``. It shares no arithmetic with the worker.

What control entries set, and the models themselves, are the worker's own: a model steps one event at a time here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lambent import keys, oracle
from lambent.catalogue import KINDS
from lambent.encoding import id_hash, text_hash
from lambent.events import Event, Rejection, admit
from lambent.oracle import Seen
from lambent.profile import Profiles
from lambent.records import MOST_RECENT_IDS, RECENT_IDS, STATE_WIDTH
from lambent.rollout import is_challenged
from realtime import ids
from realtime.batch import CONTROL, EVENT, MARKER
from realtime.model import Model
from realtime.predict import Control, Models
from realtime.store import Entry
from realtime.verify.difference import Tally

MOST_STEPS = 2_000
"""A step looks at all that the user did before: beyond so many answers of a user what models say is not worked out."""

State = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Live:
    """An event of a user in the log: the entry's id, when the log took it, and what control entries had set by then."""

    event: Event
    id: bytes
    ingest_ms: int
    control: Control


@dataclasses.dataclass
class Walked:
    """A partition's log, sorted out.

    Attributes:
        users: distinct events by user, in order.
        strays: entries of users of another partition, which have to be dead letters.
        control: what the control entries have set at the end.
        seen: who has any event in it, be it a copy of one from a file.
    """

    users: dict[str, list[Live]] = dataclasses.field(default_factory=dict)
    strays: list[bytes] = dataclasses.field(default_factory=list)
    control: Control = dataclasses.field(default_factory=Control)
    seen: set[str] = dataclasses.field(default_factory=set)


def walk(
    partition: int,
    partitions: int,
    log: Iterable[Entry],
    given_up: Collection[bytes],
    models: Models,
    known: Mapping[str, Collection[str]],
    tally: Tally,
) -> Walked:
    """Sort out a partition's entries.

    Args:
        partition: p.
        partitions: P.
        log: its entries, in order.
        given_up: ids of those that a worker gave up.
        models: what control entries name.
        known: ids of the events of each user that are in files.
        tally: is counted up.
    """
    walked, seen = Walked(), {user: set(own) for user, own in known.items()}
    for entry_id, kind, data in log:
        if kind == CONTROL:
            tally.controls += 1
            walked.control, _ = models.enter(walked.control, data)
        elif kind == MARKER:
            tally.markers += 1
        elif kind == EVENT:
            tally.events += 1
            event = admit(data, models.features.taxonomy)
            if isinstance(event, Rejection):
                tally.rejected[event.reason] += 1
            elif keys.partition(event.user, partitions) != partition:
                tally.dead += 1
                walked.strays.append(entry_id)
            elif entry_id in given_up:
                tally.dead += 1
            elif event.id in seen.setdefault(event.user, set()):
                tally.duplicates += 1
            else:
                tally.applied += 1
                seen[event.user].add(event.id)
                live = Live(event, entry_id, ids.ingest_ms(entry_id), walked.control)
                walked.users.setdefault(event.user, []).append(live)
    walked.seen = set(seen)
    return walked


@dataclasses.dataclass(frozen=True)
class Answer:
    """What has to be said of an event that is not late.

    Attributes:
        live: the event.
        version: of the model that speaks; 0: base rates.
        probabilities: [intents].
        session: which of the user's sessions it is in, from 1.
        session_events: how many events of it have been seen.
        unknown: what it says is not worked out: the model cannot be loaded here, or the user has done too much.
        shadow_version: of the model that speaks in the shadow; 0: none does.
        shadow: [intents] what that says; None: nothing, or it is not worked out.
    """

    live: Live
    version: int
    probabilities: NDArray[np.float64]
    session: int
    session_events: int
    unknown: bool
    shadow_version: int = 0
    shadow: NDArray[np.float64] | None = None


@dataclasses.dataclass
class Replayed:
    """What a user's events leave.

    Attributes:
        answers: in the log's order.
        changes: for each how far it is from the answer before it in the session, the first one from the base rates.
        clock_ms: the user's clock.
        reset_ms: when the log took the event after the last silence beyond the horizon; 0: none.
        session: events of the last session that are not late.
        version: of the model that it runs on; 0: none.
        state: [64] of that model.
        shadow_version, shadow_state: the same of the shadow; challenge: which it is of.
        recent: hashed ids that are remembered, oldest first.
        tiles: (start in ms, one profile), oldest first.
        lates: which of the live events were late.
    """

    answers: list[Answer] = dataclasses.field(default_factory=list)
    changes: list[NDArray[np.float64]] = dataclasses.field(default_factory=list)
    clock_ms: int = 0
    reset_ms: int = 0
    session: list[Seen] = dataclasses.field(default_factory=list)
    version: int = 0
    state: State = dataclasses.field(default_factory=lambda: np.zeros(STATE_WIDTH, np.float32))
    shadow_version: int = 0
    shadow_state: State = dataclasses.field(default_factory=lambda: np.zeros(STATE_WIDTH, np.float32))
    challenge: int = 0
    recent: list[int] = dataclasses.field(default_factory=list)
    tiles: list[tuple[int, Profiles]] = dataclasses.field(default_factory=list)
    lates: list[bool] = dataclasses.field(default_factory=list)


def _versions(live: Live) -> tuple[int, int]:
    """What a session that begins with this event runs on, and what in its shadow; 0: nothing."""
    rollout, champion = live.control.rollout, live.control.newest
    if rollout is None or rollout.model is None:
        return champion, 0
    challenged = is_challenged(rollout.experiment, live.event.user, rollout.share)
    challenger = rollout.model.version if challenged else 0
    return (champion, challenger) if rollout.shadow else (challenger or champion, 0)


class Reference:
    """Replays users.

    Args:
        models: the loaded models; they name the feature set.
        tile_ms: tile width.
    """

    def __init__(self, models: Models, tile_ms: int) -> None:
        self._models, self._features, self._tile_ms = models, models.features, tile_ms

    def replay(
        self, history: Sequence[tuple[Event, int]], lives: Sequence[Live], facts: Sequence[int] = ()
    ) -> Replayed:
        """Work through one user's events.

        Args:
            history: distinct events from files, in order.
            lives: distinct events of the log, in order.
            facts: codes of what is told of the user besides; empty: nothing.
        """
        left = Replayed()
        seen: list[Seen] = []
        in_tiles: dict[int, list[Seen]] = {}
        log = [*history, *((one.event, one.ingest_ms) for one in lives)]
        for n, (one, silent) in enumerate(oracle.marks(self._features, log), start=-len(history)):
            if silent:
                seen.clear()
                in_tiles.clear()
                left.reset_ms = lives[n].ingest_ms if n >= 0 else 0
            seen.append(one)
            left.clock_ms = one.clock_ms
            if n >= 0:
                in_tiles.setdefault(lives[n].ingest_ms // self._tile_ms * self._tile_ms, []).append(one)
                left.lates.append(one.late)
                if not one.late:
                    self._answer(left, lives[n], seen, facts)
        count = min(max(len(left.session), RECENT_IDS), MOST_RECENT_IDS)
        left.recent = [id_hash(one.event.id) for one in lives][-count:]
        left.tiles = [(start_ms, oracle.profile(self._features, own)) for start_ms, own in in_tiles.items()]
        return left

    def _answer(self, left: Replayed, live: Live, seen: list[Seen], facts: Sequence[int]) -> None:
        number = left.answers[-1].session if left.answers else 0
        forgotten = left.version > 0 and left.version not in live.control.remembered  # then the session begins anew
        if seen[-1].opens or not left.session or forgotten:
            number += 1
            left.session = []
            self._begin(left, live, seen, facts)
        left.session.append(seen[-1])
        if live.control.challenges != left.challenge or live.control.rollout is None:
            left.shadow_version = 0  # of another challenge: until the next session begins
        little = len(left.answers) < MOST_STEPS
        model, beside = (
            self._model(version, live.control) if little else None for version in (left.version, left.shadow_version)
        )
        said = shadow = None
        if model or beside:
            inputs = self._inputs(left, live, seen)
            if model:
                left.state, said = self._step(model, left.version, left.state, live, inputs)
            if beside:
                left.shadow_state, shadow = self._step(beside, left.shadow_version, left.shadow_state, live, inputs)
        self._say(left, live, said, number, shadow, unknown=left.version > 0 and model is None)

    def _begin(self, left: Replayed, live: Live, seen: list[Seen], facts: Sequence[int]) -> None:
        """A session starts on the newest model, from the profile as it stood before."""
        (left.version, left.shadow_version), left.challenge = _versions(live), live.control.challenges
        left.state, left.shadow_state = np.zeros((2, STATE_WIDTH), np.float32)
        models = [self._model(version, live.control) for version in (left.version, left.shadow_version)]
        if any(models):
            before = oracle.profile(self._features, seen[:-1])
            before["fact"] = facts or 0
            profile = self._features.profile.finalize(before, np.array([seen[-1].clock_ms]))
            left.state, left.shadow_state = (
                model.start(profile)[0] if model else blank
                for model, blank in zip(models, (left.state, left.shadow_state), strict=True)
            )

    def _inputs(self, left: Replayed, live: Live, seen: list[Seen]) -> tuple[NDArray[np.int32], State]:
        features = self._features
        numbers = oracle.numbers(features, seen, left.session, self._known(live))
        floats = np.array([[numbers.get(name, 0.0) for name in features.step_floats]], np.float32)
        return np.array([oracle.ids(features, live.event)], np.int32), floats

    def _step(
        self, model: Model, version: int, state: State, live: Live, inputs: tuple[NDArray[np.int32], State]
    ) -> tuple[State, NDArray[np.float64]]:
        states, said = model.step(state[None], *inputs)
        correction = live.control.correction(version)
        return states[0], (correction.correct(said) if correction else np.asarray(said, np.float64))[0]

    def _say(
        self, left: Replayed, live: Live, said: NDArray[np.float64] | None, session: int,
        shadow: NDArray[np.float64] | None, *, unknown: bool,
    ) -> None:  # fmt: skip
        probabilities = self._models.base_rates(1)[0] if said is None else said
        version = 0 if said is None else left.version
        before = left.answers[-1].probabilities if len(left.session) > 1 else self._models.base_rates(1)[0]
        left.changes.append(probabilities - before)
        own = Answer(live, version, probabilities, session, len(left.session), unknown, left.shadow_version, shadow)
        left.answers.append(own)

    def _model(self, version: int, control: Control) -> Model | None:
        entries = (one for one in control.models if one.version == version)
        return next((self._models.get(one) for one in entries), None)

    def _known(self, live: Live) -> dict[tuple[str, str | None], Sequence[float]]:
        """What the catalogue of the event's place in the log says of its product and category."""
        entry = live.control.catalogue
        catalogue = self._models.catalogues.get(entry) if entry else None
        found = {}
        for kind in KINDS if catalogue else ():
            text = getattr(live.event, kind)
            values = catalogue.look_up(kind, np.array([text_hash(text)], np.uint32))[0]  # type: ignore[union-attr]
            if not np.isnan(values[0]):
                found[kind, text] = values.tolist()
        return found
