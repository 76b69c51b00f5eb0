"""Intents against the reference: one for each event that is not late, in the log's order, and the newest one of each user."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from lambent.events import Intent, Shadow
from lambent.features import FeatureSet
from lambent.policy import Rule, decide, rules_for
from lambent.rollout import arm
from realtime import ids
from realtime.predict import BASE_RATE
from realtime.verify.difference import Difference
from realtime.verify.evidence import Evidence, Said
from realtime.verify.records import STATE_WITHIN
from realtime.verify.reference import Answer, Replayed

ROUNDED = 5e-7
"""A probability is written with six decimals."""


def check_archive(found: Evidence) -> Iterator[Difference]:
    """Archived intents that the stream still holds have to be the same."""
    p, end = found.partition, ids.parse(found.said_end)
    last = max((at for at, _ in found.said), key=ids.parse, default=ids.START)
    if ids.parse(last) > end:
        words = f"the table intents has rows up to {last.decode()}, its transaction says {found.said_end.decode()}"
        yield Difference("watermark", words, p)
    streamed = Counter(_key(one) for one in found.saying if ids.parse(one[0]) <= end)
    batches = {at for at, _ in found.saying}
    archived = Counter(_key(one) for one in found.said if one[0] in batches)
    for (at, user, event_id), count in (streamed - archived).items():
        words = f"the intent of the event {event_id!r} is {count} times too few in the table intents"
        yield Difference("intent", words, p, user, at.decode())
    for (at, user, event_id), count in (archived - streamed).items():
        words = f"the intent of the event {event_id!r} is {count} times too many in the table intents"
        yield Difference("intent", words, p, user, at.decode())


def _key(one: Said) -> tuple[bytes, str, str]:
    return one[0], one[1].user, one[1].event_id


@dataclasses.dataclass
class Judged:
    """What was found about a user's intents.

    Attributes:
        wrong: (words, id of the log's entry) of each difference.
        unproven: how many answers could not be judged.
        proven: the last session's state can be.
    """

    wrong: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)
    unproven: int = 0
    proven: bool = True

    def differ(self, words: str, entry: bytes) -> None:
        """Take down a difference."""
        self.wrong.append((words, entry))


class Answers:
    """Compares what was said of users.

    Args:
        features: the feature set.
        floor_ms: tiles before it may have been dropped.
        missing: versions of models that cannot be loaded here.
        rules: the policy; None: what is shipped.
    """

    def __init__(
        self, features: FeatureSet, floor_ms: int, missing: Collection[str] = (), rules: Sequence[Rule] | None = None
    ) -> None:
        self._names, self._floor_ms, self._missing = features.taxonomy.intents, floor_ms, missing
        self._rules = rules_for(features.taxonomy) if rules is None else tuple(rules)

    def compare(self, expected: Replayed, first_ms: int, said: Sequence[Said]) -> Judged:
        """One user's intents.

        Args:
            expected: what has to be said.
            first_ms: when the log took the user's first event; 0: a file has it.
            said: what was said, in the order of the commits.
        """
        by_event: dict[str, list[Said]] = {}
        for one in said:
            by_event.setdefault(one[1].event_id, []).append(one)
        judged, doubtful, last = Judged(), 0, ids.START
        for answer in expected.answers:
            there = by_event.pop(answer.live.event.id, [])
            if len(there) != 1:
                judged.differ(f"there are {len(there)} intents of the event {answer.live.event.id!r}", answer.live.id)
                continue
            at, intent = there[0]
            if ids.parse(at) < ids.parse(last):
                judged.differ("its intent was committed before that of an earlier event", answer.live.id)
            last = at
            for words in self._facts(answer, intent):
                judged.differ(words, answer.live.id)
            if not (words := self._model(answer, intent)):
                continue
            if answer.unknown or answer.session == doubtful or self._excused(answer, intent, first_ms):
                doubtful = answer.session
                judged.unproven += 1
            else:
                judged.differ(words, answer.live.id)
        for event_id, there in by_event.items():
            words = f"there is an intent of the event {event_id!r}, which is late, a copy, given up, or not in the log"
            judged.differ(words, there[0][0])
        judged.proven = not expected.answers or expected.answers[-1].session != doubtful
        return judged

    def newest(self, expected: Replayed, value: bytes | None, judged: Judged) -> Iterator[str]:
        """The user's newest intent; judged: what is known of all of them."""
        if not expected.answers:
            if value is not None:
                yield "there is a newest intent, though every event was late"
            return
        if value is None:
            yield "there is no newest intent, though its time is not over"
            return
        intent, answer = msgspec.json.decode(value, type=Intent), expected.answers[-1]
        if intent.event_id != answer.live.event.id:
            yield f"the newest intent is of the event {intent.event_id!r}, and has to be of {answer.live.event.id!r}"
            return
        yield from self._facts(answer, intent)
        if judged.proven and (words := self._model(answer, intent)):
            yield words

    def _facts(self, answer: Answer, intent: Intent) -> Iterator[str]:
        event, rollout = answer.live.event, answer.live.control.rollout
        wanted = {
            "user": event.user,
            "event_ms": event.event_ms,
            "ingest_ms": answer.live.ingest_ms,
            "session_events": answer.session_events,
            "arm": arm(rollout.experiment, event.user, rollout.share) if rollout and not rollout.shadow else "",
            "actions": decide(
                self._rules if (set_by := answer.live.control.rules) is None else set_by, intent.probabilities
            ),
        }
        if self._missing:
            del wanted["arm"]  # a challenge whose champion is gone was one to the worker, and is none here
        for name, value in wanted.items():
            if getattr(intent, name) != value:
                yield f"the intent's {name} is {getattr(intent, name)}, and has to be {value}"
        if intent.cutoff_ms > intent.ingest_ms:
            yield f"the intent's profile has a cut-off of {intent.cutoff_ms}, after the event itself"

    def _model(self, answer: Answer, intent: Intent) -> str:
        """What is wrong with what the model said; empty: nothing."""
        if answer.unknown:
            return "what the model says is not worked out"
        version = str(answer.version) if answer.version else BASE_RATE
        if intent.model != version:
            return f"the intent is of model {intent.model}, and has to be of {version}"
        if words := self._off("the intent's probabilities", intent.probabilities, answer.probabilities):
            return words
        return self._shadow(answer, intent.shadow)

    def _off(self, what: str, said: Mapping[str, float], expected: NDArray[np.float64]) -> str:
        there = np.array([said[name] for name in self._names])
        most = float(np.abs(there - expected).max())
        return f"{what} are {most:.2g} off" if most > STATE_WITHIN + ROUNDED else ""

    def _shadow(self, answer: Answer, said: Shadow | None) -> str:
        """What is wrong with what the shadow said."""
        there, version = said.model if said else "none", answer.shadow_version
        if self._missing and there != str(version or "none"):
            return ""
        if answer.shadow is None:
            return "" if said is None or version else f"the intent's shadow is {there}, and has to be none"
        if said is None or there != str(version):
            return f"the intent's shadow is {there}, and has to be {version}"
        return self._off("the shadow's probabilities", said.probabilities, answer.shadow)

    def _excused(self, answer: Answer, intent: Intent, first_ms: int) -> bool:
        """Whether what the worker saw cannot be known: it answered without a profile, and tiles have been dropped since; or
        the model is gone, or another is, without which nobody knows which one's turn it was.
        """
        turn = bool(self._missing) and intent.model != str(answer.version or BASE_RATE)
        return turn or intent.model in self._missing or (intent.cutoff_ms == 0 and first_ms < self._floor_ms)
