"""All of it for one system, partition by partition, user by user."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from lambent import keys
from lambent.events import Event
from lambent.features import FeatureSet
from realtime.predict import Load, Models, read_control
from realtime.rebuild import LOOKBACK_MS, Loads
from realtime.store import Meta, Store
from realtime.verify.answers import Answers, Judged, check_archive
from realtime.verify.difference import Difference, Tally
from realtime.verify.evidence import Evidence, Said
from realtime.verify.logs import check_dead, check_log, check_position
from realtime.verify.records import Records
from realtime.verify.reference import Live, Reference, Replayed, walk

USERS_AT_ONCE = 256
EXAMPLES = 20
Files = Mapping[str, Sequence[tuple[Event, int]]]
"""Distinct events from files by user, with the times that stand for those of the log."""
Facts = Callable[[Collection[str]], Mapping[str, Sequence[int]]]
Kept = tuple[bytes | None, int, bytes | None]
"""A user's live record, how long it lives in ms, and the newest intent."""


class Verified(msgspec.Struct):
    """What was compared.

    Attributes:
        tally: how the log's entries fared.
        users: who did something live.
        differences: how many things are not as the log says.
        examples: the first of them.
        models_missing: versions that cannot be loaded here, so that what they said is not compared.
    """

    tally: Tally = msgspec.field(default_factory=Tally)
    users: int = 0
    differences: int = 0
    examples: list[Difference] = msgspec.field(default_factory=list)
    models_missing: tuple[str, ...] = ()


class Verification:
    """Compares one system with the reference, partition by partition.

    Args:
        store: has the records; ``meta`` as it says.
        meta: partitions, tile width and floor.
        features: the feature set.
        load: loads a model's artifact; None: LiteRT.
        files: what came from files.
        facts: the codes of what is told of users.
        examples: how many differences are kept.
    """

    def __init__(
        self, store: Store, meta: Meta, features: FeatureSet, *, load: Load | None = None, files: Files | None = None,
        facts: Facts | None = None, examples: int = EXAMPLES,
    ) -> None:  # fmt: skip
        self.report = Verified()
        self._store, self._meta, self._features, self._examples = store, meta, features, examples
        self._files, self._facts = files or {}, facts or (lambda users: {})
        self._loads = Loads(features, load)
        self._models = Models(features, self._loads)
        self._reference = Reference(self._models, meta.tile_ms)
        self._seen: set[str] = set(self._files)
        self._records = Records(features, meta, store.now_ms(), meta.floor_ms - LOOKBACK_MS)

    def partition(self, found: Evidence) -> None:
        """Compare one partition."""
        known = {user: {event.id for event, _ in own} for user, own in self._files.items()}
        given_up = {one.id for one in found.dead}
        p, tally = found.partition, self.report.tally
        walked = walk(p, self._meta.partitions, found.log(), given_up, self._models, known, tally)
        for check in (check_log(found), check_position(found), check_dead(found, walked), check_archive(found)):
            self.add(check)
        self.report.models_missing = tuple(map(str, sorted(self._loads.missing)))
        if (there := msgspec.structs.replace(read_control(found.control), features="")) != walked.control:
            words = f"the control entries have set {walked.control}, and the worker remembers {there}"
            self.add([Difference("control", words, p)])
        self._seen |= walked.seen
        self._users(p, walked.users, _by_user(found.intents()))

    def strangers(self) -> None:
        """Look for what is kept of users of whom the log has nothing, or in a partition that is not theirs; call it last."""
        for what, pattern in (("record", keys.live_pattern()), ("newest intent", keys.intent_pattern())):
            for name in sorted(set(map(bytes.decode, self._store.scan(pattern)))):
                p, user = keys.user_of(name)
                if user not in self._seen or p != keys.partition(user, self._meta.partitions):
                    self.add(
                        [
                            Difference(
                                what, "there is one, and the log of its partition has nothing of the user", p, user
                            )
                        ]
                    )

    def _users(self, p: int, users: Mapping[str, Sequence[Live]], said: dict[str, list[Said]]) -> None:
        answers = Answers(self._features, self._meta.floor_ms, self.report.models_missing)
        self.report.users += len(users)
        names = list(users)
        for first in range(0, len(names), USERS_AT_ONCE):
            own = names[first : first + USERS_AT_ONCE]
            facts = self._facts(own)
            for user, kept in zip(own, self._kept(p, own), strict=True):
                expected = self._reference.replay(self._files.get(user, ()), users[user], facts.get(user, ()))
                self._user(p, user, users[user], expected, said.pop(user, []), kept, answers)
        for user, there in said.items():
            words = f"there are {len(there)} intents of a user of whom the log has nothing"
            self.add([Difference("intent", words, p, user)])

    def _kept(self, p: int, users: Sequence[str]) -> Iterator[Kept]:
        commands = (
            command
            for user in users
            for command in (("GET", keys.live(p, user)), ("PTTL", keys.live(p, user)), ("GET", keys.intent(p, user)))
        )
        replies = self._store.pipe_or_raise(commands)
        yield from zip(replies[0::3], replies[1::3], replies[2::3], strict=True)

    def _user(
        self, p: int, user: str, lives: Sequence[Live], expected: Replayed, said: Sequence[Said], kept: Kept,
        answers: Answers,
    ) -> None:  # fmt: skip
        judged = answers.compare(expected, 0 if user in self._files else lives[0].ingest_ms, said)
        self.report.tally.late += sum(expected.lates)
        self.report.tally.answers += len(expected.answers)
        self.report.tally.unproven += judged.unproven
        self.add(self._differences(p, user, expected, judged, kept, answers))

    def _differences(
        self, p: int, user: str, expected: Replayed, judged: Judged, kept: Kept, answers: Answers
    ) -> Iterator[Difference]:
        record, left_ms, newest = kept
        for words, entry in judged.wrong:
            yield Difference("intent", words, p, user, entry.decode())
        whole = not judged.unproven
        for what, words in self._records.compare(record, left_ms, expected, proven=judged.proven, whole=whole):
            yield Difference(what, words, p, user)
        if record is not None:
            for words in answers.newest(expected, newest, judged):
                yield Difference("newest intent", words, p, user)

    def add(self, found: Iterable[Difference]) -> None:
        """Count differences, and keep the first of them."""
        for one in found:
            self.report.differences += 1
            if len(self.report.examples) < self._examples:
                self.report.examples.append(one)


def _by_user(said: Iterable[Said]) -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = {}
    for one in said:
        found.setdefault(one[1].user, []).append(one)
    return found
