"""A log to be worked through once more, and a store in memory that holds it: so a replay is what the worker does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from lambent import keys
from lambent.errors import FencedError
from lambent.events import UNDECODABLE
from lambent.features import FeatureSet
from realtime import ids
from realtime.bases import Base
from realtime.batch import EVENT
from realtime.commit import Commit, Dead
from realtime.store import Entry, Meta, Standing
from realtime.stores import FullStore

if TYPE_CHECKING:
    import pyarrow as pa

    from realtime.predict import Load

BATCH_ENTRIES = 8_192
"""Entries of a batch, about: a user's record is read and written once in it."""
STREAM_ENTRIES = 1_000


@dataclasses.dataclass
class Log:
    """Entries of one partition that are replayed: archived ones, then those that are only in the stream yet.

    Attributes:
        rows: archived, in the log's order: ``ingest_ms``, ``seq``, ``kind``, ``bytes``; None: none.
        streamed: entries after them.
        left_out: ids that a worker gave up.
    """

    rows: pa.Table | None
    streamed: list[Entry]
    left_out: Collection[bytes] = ()
    _at: int = 0

    @property
    def entries(self) -> int:
        """How many there are."""
        return (self.rows.num_rows if self.rows else 0) + len(self.streamed)

    def take(self, count: int) -> list[Entry]:
        """The next entries, at most ``count``; empty only at the end."""
        found: list[Entry] = []
        while not found and self._at < self.entries:
            found = [one for one in self._slice(self._at, count) if one[0] not in self.left_out]
            self._at += count
        return found

    def _slice(self, first: int, count: int) -> list[Entry]:
        archived = self.rows.num_rows if self.rows else 0
        found: list[Entry] = []
        if self.rows and first < archived:
            rows = self.rows.slice(first, count)
            columns = (rows[name].to_pylist() for name in ("ingest_ms", "seq", "kind", "bytes"))
            found = [(ids.form(ms, seq), kind.encode(), data) for ms, seq, kind, data in zip(*columns, strict=True)]
        return [*found, *self.streamed[max(first - archived, 0) : max(first + count - archived, 0)]]

    def users(self) -> set[str]:
        """Whom the events are of."""
        import pyarrow.compute as pc

        data = [one for _, kind, one in self.streamed if kind == EVENT]
        if self.rows:
            data += self.rows["bytes"].filter(pc.equal(self.rows["kind"], EVENT.decode())).to_pylist()
        return set(filter(None, map(_user_of, data)))


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the entries of a partition are.

    Attributes:
        partition: p.
        rows: as in ``Log``, of all that is archived.
        archived: the id at which the archive ends.
        left_out: as in ``Log``.
    """

    partition: int
    rows: pa.Table | None
    archived: bytes
    left_out: Collection[bytes] = ()

    def until(self, store: FullStore, stood: bytes, begins_ms: int) -> tuple[bytes, Log]:
        """Up to which id the partition is replayed, and what there is up to it.

        That is where the worker stood, who goes on from the stream. Where the stream does not have what the archive has
        after that, it is the archive's end.

        Args:
            store: has the stream.
            stood: the worker's position.
            begins_ms: of the rows; what is older is not among them.
        """
        versions = self._versions()
        after = int((versions > ids.to_version(stood)).sum())
        behind = ids.parse(stood) < ids.parse(self.archived)
        if behind and (ids.ingest_ms(stood) < begins_ms or after != len(self._streamed(store, stood, self.archived))):
            return self.archived, Log(self.rows, [], self.left_out)
        kept = self.rows.slice(0, len(versions) - after) if self.rows else None
        return stood, Log(kept, [] if behind else self._streamed(store, self.archived, stood), self.left_out)

    def _versions(self) -> NDArray[np.int64]:
        """[n] the ids of the rows as numbers."""
        if self.rows is None:
            return np.empty(0, np.int64)
        versions: NDArray[np.int64] = self.rows["ingest_ms"].to_numpy() << ids.SEQ_BITS | self.rows["seq"].to_numpy()
        return versions

    def _streamed(self, store: FullStore, after: bytes, upto: bytes) -> list[Entry]:
        """Entries of the stream behind one id, up to another."""
        found: list[Entry] = []
        while read := store.read({self.partition: found[-1][0] if found else after}, STREAM_ENTRIES).get(
            self.partition
        ):
            wanted = [one for one in read if ids.parse(one[0]) <= ids.parse(upto)]
            found += wanted
            if len(wanted) < len(read):
                break
        return found


class _Of(msgspec.Struct):
    user: str = ""


_decode_user = msgspec.json.Decoder(_Of).decode


def _user_of(data: bytes) -> str:
    try:
        return _decode_user(data).user
    except UNDECODABLE:
        return ""  # no event: the door says so


class ReplayStore:
    """A ``stores.WorkerStore`` in memory, for one worker, which needs no leases.

    Args:
        meta: the store's; its floor is where the replay begins, so that no tile is dropped on the way.
        logs: by partition.
        bases: what is known of users before.

    Attributes:
        values: what the worker has written, by key, with the bases.
        dead: what it gave up, by partition.
    """

    def __init__(self, meta: Meta, logs: Mapping[int, Log], bases: Iterable[Base]) -> None:
        self._meta, self._logs = meta, logs
        self.values: dict[str, bytes] = {}
        self.live: dict[int, set[str]] = {p: set() for p in logs}
        self.dead: dict[int, list[Dead]] = {p: [] for p in logs}
        for user, profile, record in bases:
            p = keys.partition(user, meta.partitions)
            self.values[keys.profile(p, user)], self.values[keys.live(p, user)] = profile, record

    def meta(self) -> Meta:
        """See ``WorkerStore``."""
        return self._meta

    def standing(self, partitions: Sequence[int]) -> list[Standing]:
        """At first at the beginning; what is replayed has not been trimmed."""
        get = self.values.get
        return [Standing(get(keys.position(p), ids.START), get(keys.control(p), b""), ids.START) for p in partitions]

    def take(self, leases: Sequence[str], name: str, ttl_ms: int) -> list[bool]:
        """Nobody else is there."""
        return [True] * len(leases)

    hold = take

    def announce(self, worker: str, ttl_ms: int) -> list[bytes]:
        """Nobody else is there."""
        return [worker.encode()]

    def holders(self, partitions: Iterable[int]) -> list[bytes | None]:
        """Nobody does."""
        return [None for _ in partitions]

    def read(
        self,
        positions: Mapping[int, bytes],
        count: int,
        block_ms: int = 0,
        stream: Callable[[int], str] = keys.events,
    ) -> dict[int, list[Entry]]:
        """The next entries; the worker goes on from where it has read to."""
        found = {p: self._logs[p].take(count) for p in positions}
        return {p: entries for p, entries in found.items() if entries}

    def users(self, wanted: Mapping[int, Sequence[str]]) -> list[bytes | None]:
        """See ``WorkerStore``."""
        get = self.values.get
        pairs = ((p, user) for p, users in wanted.items() for user in users)
        return [get(key) for p, user in pairs for key in (keys.profile(p, user), keys.live(p, user))]

    def shadows(self, wanted: Mapping[int, Sequence[str]]) -> list[bytes | None]:
        """See ``WorkerStore``."""
        return [self.values.get(keys.shadow(p, user)) for p, users in wanted.items() for user in users]

    def commit(self, commits: Sequence[Commit]) -> list[FencedError | None]:
        """Takes all but the intents' stream: what was said was archived as it was said."""
        for one in commits:
            p = one.partition
            self.values |= {keys.live(p, user): value for user, value in one.live.items()}
            self.values |= {keys.intent(p, user): value for user, value in one.newest.items()}
            self.values |= {keys.shadow(p, user): value for user, value in one.shadow.items()}
            self.values[keys.position(p)] = one.end
            if one.control:
                self.values[keys.control(p)] = one.control
            self.live[p].update(one.live)
            self.dead[p] += one.dead
        return [None] * len(commits)


def replay(
    store: ReplayStore, features: FeatureSet, partitions: Sequence[int], load: Load | None, told: Callable[[int], None]
) -> None:
    """Work through all of the logs.

    Args:
        store: the logs; it holds the outcome.
        features: the feature set.
        partitions: of the logs.
        load: loads a model's artifact; None: LiteRT.
        told: is told how many entries each batch had.
    """
    from realtime.worker import Worker

    worker = Worker(
        store, store.meta(), features, partitions=partitions, load=load, lease_ms=0, batch_entries=BATCH_ENTRIES
    )
    while entries := worker.turn(block_ms=0):
        told(entries)
