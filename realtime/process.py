"""From a batch and its users' bytes to what is committed: fold, predict, decide. It talks to nobody."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from lambent import compiled
from lambent.encoding import Events, encode_events
from lambent.errors import StoreError
from lambent.features import FeatureSet
from lambent.fold import FoldState, fold
from lambent.policy import Rule, rules_for
from lambent.records import kept_fields, last_dtype
from realtime.batch import Admitted, Batch
from realtime.commit import Commit
from realtime.logs import fields, get_logger
from realtime.predict import Control, Models, Runs
from realtime.shadow import ShadowRuns, read_kept
from realtime.users import Users, duplicates, fold_state, read_users, remember, write_users
from realtime.wording import Wording, arms

WORDINGS = 8
"""Policies that are kept ready; partitions come to a new one one after the other."""

Rows = NDArray[np.int64]
Kind = TypeVar("Kind")
log = get_logger("process")
_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclasses.dataclass
class Outcome:
    """What became of a batch's events.

    Attributes:
        records: live records by user; shadows: what is kept of shadows, by user.
        answered: the events that are not late, in the batch's order; intents: of each its intent as JSON.
        applied, late, duplicates: how many events; the late ones are applied too.
        unreadable: how many users were answered without their profile, which this version cannot read.
        missed: the same where the profile is newer than the event, or older than a reset.
        restarted: how many sessions began anew, since the model that they ran on is remembered no more.
    """

    records: dict[str, bytes] = dataclasses.field(default_factory=dict)
    shadows: dict[str, bytes] = dataclasses.field(default_factory=dict)
    answered: list[Admitted] = dataclasses.field(default_factory=list)
    intents: list[bytes] = dataclasses.field(default_factory=list)
    applied: int = 0
    late: int = 0
    duplicates: int = 0
    unreadable: int = 0
    missed: int = 0
    restarted: int = 0


class Processor:
    """Folds and answers batches.

    Args:
        features: the feature set.
        models: the loaded models.
        tile_ms: tile width.
        rules: the policy until an entry sets another; None: what is shipped.
    """

    def __init__(self, features: FeatureSet, models: Models, tile_ms: int, rules: Sequence[Rule] | None = None) -> None:
        self.features, self.models, self.tile_ms = features, models, tile_ms
        self._rules = rules_for(features.taxonomy) if rules is None else tuple(rules)
        self._wording = functools.lru_cache(WORDINGS)(functools.partial(Wording, features.taxonomy))
        self._told: set[str] = set()

    def run(self, batch: Batch, users: dict[str, int], values: Sequence[bytes | None], floor_ms: int) -> Outcome:
        """Fold and answer all events, giving up those that cannot be folded (into ``batch.dead``).

        Args:
            batch: the events.
            users: row of each user in ``values``.
            values: for each user its profile and live record.
            floor_ms: tiles before it are dropped.
        """
        events = batch.events
        while events:
            try:
                return self._run(events, batch, users, values, floor_ms)
            except StoreError:  # the store holds what this version cannot read: no event's fault
                raise
            except Exception as error:
                poison = self._poison(events, batch, users, values, floor_ms)
                reason = f"{type(error).__name__}: {error}"[:200]
                log.error(
                    fields("dead-letter", partition=events[poison].partition, id=events[poison].id, error=type(error))
                )
                batch.give_up(events[poison], reason)
                events = [*events[:poison], *events[poison + 1 :]]
        return Outcome()

    def _poison(
        self, events: list[Admitted], batch: Batch, users: dict[str, int], values: Sequence[bytes | None], floor_ms: int
    ) -> int:
        """Index of the event with which the shortest failing beginning ends, by bisection."""
        works, fails = 0, len(events)
        while fails - works > 1:
            middle = (works + fails) // 2
            try:
                self._run(events[:middle], batch, users, values, floor_ms)
                works = middle
            except Exception:
                fails = middle
        return fails - 1

    def _run(
        self, events: list[Admitted], batch: Batch, users: dict[str, int], values: Sequence[bytes | None], floor_ms: int
    ) -> Outcome:
        encoded = encode_events(
            [one.event for one in events], [one.ingest_ms for one in events], self.features.taxonomy
        )
        self._show_catalogue(encoded, events, batch)
        user = np.array([users[one.event.user] for one in events], np.int64)
        first_ms = np.empty(len(users), np.int64)
        first_ms[user[::-1]] = encoded["ingest_ms"][::-1]  # of a user's events the first one is assigned last
        known = read_users(self.features, values, first_ms)
        fresh = np.flatnonzero(~duplicates(known.recent, user, encoded["id"]))
        state = fold_state(self.features, known)
        controls = _controls(batch, events, user, len(users))
        session_events = known.fixed["session"]["events"].copy()
        forgotten = _begin_anew(known, controls, batch)
        user, kept = user[fresh], encoded[fresh]
        names = list(users)
        shadow = ShadowRuns(self.models, names, controls, read_kept(batch.shadows)) if batch.shadows else None
        said = self._fold(
            state, Runs(self.models, names, controls, known.fixed["model"], known.fixed["state"]), shadow, user, kept
        )
        if forgotten.any():
            waits = forgotten.copy()
            waits[user[~kept["late"]]] = False  # else it was a late event, which begins none
            known.fixed["session"]["events"][waits] = session_events[waits]
        outcome = Outcome(applied=len(fresh), late=int(kept["late"].sum()), duplicates=len(events) - len(fresh))
        remember(known, user, kept["id"], self._last(said, kept, user, known))
        records = write_users(self.features, known, state, self.tile_ms, floor_ms)
        outcome.unreadable, outcome.missed = len(known.unreadable), known.missed
        outcome.restarted = _restarted(forgotten, kept, user) if forgotten.any() else 0
        self._tell(known.unreadable)
        rows = np.flatnonzero(np.bincount(user)).tolist()
        outcome.records = {names[row]: records[row] for row in rows}
        if shadow:
            outcome.shadows = {names[row]: value for row in rows if (value := shadow.written(row))}
        answered = np.flatnonzero(said.session_events)
        outcome.answered = [events[i] for i in fresh[answered].tolist()]
        outcome.intents = self._word(outcome.answered, said, answered, known.cutoff_ms[user[answered]], batch)
        return outcome

    def _word(self, events: list[Admitted], said: Said, answered: Rows, cutoff_ms: Rows, batch: Batch) -> list[bytes]:
        """Intents as JSON, by the policy of each partition."""
        rules = {
            p: self._rules if part.control.rules is None else part.control.rules for p, part in batch.slices.items()
        }
        policies = distinct(rules.values())
        each = [rules[one.partition] for one in events] if len(policies) > 1 else []
        beside = self._beside(events, said, answered, batch)
        intents = [b""] * len(events)
        for policy in policies:
            rows = np.array([own is policy for own in each]).nonzero()[0] if each else np.arange(len(events))
            of = answered[rows]
            written = self._wording(policy).write(
                [events[row] for row in rows.tolist()], said.probabilities[of], said.version[of].tolist(),
                said.session_events[of].tolist(), cutoff_ms[rows].tolist(),
                [beside[row] for row in rows.tolist()] if beside else (),
            )  # fmt: skip
            for row, intent in zip(rows.tolist(), written, strict=True):
                intents[row] = intent
        return intents

    def _beside(self, events: list[Admitted], said: Said, answered: Rows, batch: Batch) -> list[str]:
        """What intents say besides: the user's arm, and the shadow; empty where no partition has a challenger."""
        if not any(part.control.rollout for part in batch.slices.values()):
            return []
        found = arms([batch.slices[one.partition].control.arm(one.event.user) for one in events])
        if said.shadow is None or said.shadow_version is None:
            return found
        shadows = self._wording(self._rules).shadows(said.shadow[answered], said.shadow_version[answered].tolist())
        return [arm + shadow for arm, shadow in zip(found, shadows, strict=True)]

    def _show_catalogue(self, encoded: Events, events: list[Admitted], batch: Batch) -> None:
        """Write into each event what the catalogue of its partition knows of its product and category."""
        entries = {p: part.control.catalogue for p, part in batch.slices.items()}
        every = distinct(entries.values())
        for entry in every:
            catalogue = entry and self.models.catalogues.get(entry)
            if catalogue:
                rows = slice(None) if len(every) == 1 else [entries[one.partition] is entry for one in events]
                encoded["known"][rows] = catalogue.known(encoded["product"][rows], encoded["category"][rows])

    def _tell(self, problems: Sequence[str]) -> None:
        """Each problem is logged once; the metric counts."""
        for problem in set(problems) - self._told:
            remedy = "Events go on being answered without such profiles. Upgrade the workers, or publish anew: lambent publish --full."
            log.error(fields("profile-unreadable", reason=problem, remedy=remedy))
            self._told.add(problem)

    def _fold(self, state: FoldState, runs: Runs, shadow: ShadowRuns | None, user: Rows, events: Events) -> Said:
        """Step the fold and the models through the waves."""
        n, intents = len(events), len(self.features.taxonomy.intents)
        said = Said(np.zeros((n, intents)), np.zeros(n, np.uint32), np.zeros(n, np.int64))
        if shadow:
            said.shadow, said.shadow_version = np.zeros((n, intents)), np.zeros(n, np.uint32)
        for wave in fold(self.features, state, user, events, self.tile_ms).waves():
            said.probabilities[wave.event], said.version[wave.event] = runs.answer(wave)
            said.session_events[wave.event] = wave.session_events
            if shadow and said.shadow is not None and said.shadow_version is not None:
                said.shadow[wave.event], said.shadow_version[wave.event] = shadow.answer(wave)
        return said

    def _last(self, said: Said, events: Events, user: Rows, known: Users) -> NDArray[np.void]:
        """[n] of ``last_dtype``: the events, and how far each moved its session's intent; of a late one nothing."""
        taxonomy = self.features.taxonomy
        last, change = np.zeros(len(events), last_dtype(taxonomy)), np.zeros(said.probabilities.shape)
        base_rates = np.array(taxonomy.base_rates)
        compiled.find_change(user, said.session_events, said.probabilities, base_rates, known.fixed["said"], change)
        for name in kept_fields(self.features):
            last[name] = events[name]
        last["change"] = change
        return last


@dataclasses.dataclass
class Said:
    """What was said of n events: [n, intents] probabilities, [n] model version, [n] events of the session (0: late).

    The same of a shadow; None: there is none.
    """

    probabilities: NDArray[np.float64]
    version: NDArray[np.uint32]
    session_events: Rows
    shadow: NDArray[np.float64] | None = None
    shadow_version: NDArray[np.uint32] | None = None


def distinct(values: Iterable[Kind]) -> list[Kind]:
    """The objects that there are: partitions with equal control states have the same ones (``batch.Gate``)."""
    return list({id(one): one for one in values}.values())


def _controls(batch: Batch, events: list[Admitted], user: Rows, users: int) -> list[Control]:
    """For each user the control state of its partition."""
    controls = [Control()] * users
    for row, one in zip(user.tolist(), events, strict=True):
        controls[row] = batch.slices[one.partition].control
    return controls


def _begin_anew(known: Users, controls: list[Control], batch: Batch) -> NDArray[np.bool_]:
    """[users] true where the session runs on a model that is remembered no more: its next event begins a session."""
    versions = known.fixed["model"]
    forgotten = np.zeros(len(versions), bool)
    everywhere = frozenset[int].intersection(
        *(one.remembered for one in distinct(part.control for part in batch.slices.values()))
    )
    if not {0, *everywhere}.issuperset(versions.tolist()):
        pairs = zip(versions.tolist(), controls, strict=True)
        forgotten[:] = [version > 0 and version not in control.remembered for version, control in pairs]
        known.fixed["session"]["events"][forgotten] = 0
    return forgotten


def _restarted(forgotten: NDArray[np.bool_], events: Events, user: Rows) -> int:
    """How many of those sessions would have gone on."""
    rows = np.flatnonzero(~events["late"])
    whose, first = np.unique(user[rows], return_index=True)
    return int((forgotten[whose] & ~events["opens"][rows[first]]).sum())


def commits_of(batch: Batch, outcome: Outcome) -> list[Commit]:
    """What each partition's part of the batch changes."""
    encoded: dict[int, list[bytes]] = {p: [] for p in batch.slices}
    newest: dict[int, dict[str, bytes]] = {p: {} for p in batch.slices}
    shadow: dict[int, dict[str, bytes]] = {p: {} for p in batch.slices}
    live: dict[int, dict[str, bytes]] = {p: {} for p in batch.slices}
    for one, data in zip(outcome.answered, outcome.intents, strict=True):
        encoded[one.partition].append(data)
        newest[one.partition][one.event.user] = data
    where = {one.event.user: one.partition for one in batch.events}
    for user, record in outcome.records.items():
        live[where[user]][user] = record
    for user, state in outcome.shadows.items():
        shadow[where[user]][user] = state
    return [
        Commit(
            partition=p,
            start=part.start,
            end=part.end,
            control=b"" if part.control == part.before else _encode(part.control),
            live=live[p],
            newest=newest[p],
            shadow=shadow[p],
            intents=b"[" + b",".join(encoded[p]) + b"]" if encoded[p] else b"",
            dead=tuple(batch.dead.get(p, ())),
        )
        for p, part in batch.slices.items()
    ]
