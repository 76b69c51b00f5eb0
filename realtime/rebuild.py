"""Makes the live side anew: live records, control states and positions, by working through the archived log once more.

    hold the partitions → for some of them at a time: read → replay → write → give back

The replay is the worker's own code over a store in memory (``replayed``). It begins some time before the oldest cut-off that
may be rolled back to, with the profiles as they stood then (``bases``), and ends where the workers stood, or where the
archive does if what came after is not in the streams any more.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from lambent import keys, tables
from lambent.errors import StoreError
from lambent.features import FeatureSet
from lambent.progress import Progress
from lambent.records import decode_live, encode_live
from lambent.settings import Settings
from realtime.archive import LOG, read_ends
from realtime.archived import (
    count_entries,
    count_lost,
    raise_ids,
    read_entries,
    read_trimmed,
    refuse_gap,
    refuse_other_partitions,
)
from realtime.bases import read_bases
from realtime.commit import EXPIRY_MS
from realtime.dead import read_dead
from realtime.fence import Fence, Write
from realtime.history import open_table
from realtime.predict import load_artifact
from realtime.replayed import ReplayStore, Source, replay
from realtime.store import Meta
from realtime.stores import FullStore

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from lambent.control import ModelEntry
    from realtime.model import Model
    from realtime.predict import Load

JOB = "rebuild"
LOOKBACK_MS = 24 * 3600 * 1000
"""So long before the floor the replay begins: a session that began earlier is taken up from the profile."""
ENTRIES_AT_ONCE = 1_000_000
"""About so many entries are held in memory: partitions are rebuilt together as far as that goes."""
USERS_AT_ONCE = 256
SCANNED = 10_000


class Report(msgspec.Struct):
    """What was done, or would be.

    Attributes:
        partitions: how many were made anew.
        floor_ms: tiles that start at it or later were made.
        begins_ms: ingest time of the first entry that could count.
        entries: how many were replayed, markers and control entries among them.
        streamed: those of them that were in a stream and not in the archive.
        records: live records that were written.
        intents: newest intents that were missing, at most.
        deleted: live records that the log does not give, or whose time is over.
        dead: events that could not be folded, and were given up.
        lost: events that were answered, and are in no archive and no stream.
        models_missing: versions whose artifact cannot be loaded: a session that began on one of them goes on with the model
            before it, or with base rates, until it ends.
        dry_run: nothing was changed.
        seconds: time taken.
    """

    partitions: int = 0
    floor_ms: int = 0
    begins_ms: int = 0
    entries: int = 0
    streamed: int = 0
    records: int = 0
    intents: int = 0
    deleted: int = 0
    dead: int = 0
    lost: int = 0
    models_missing: tuple[int, ...] = ()
    dry_run: bool = False
    seconds: float = 0.0


@dataclasses.dataclass
class Rebuild:
    """One run.

    Attributes:
        store: the store; ``meta`` as it says, with the floor that is wanted.
        settings: say where the tables are.
        features: the feature set.
        table: the archived log; None: there is none.
        archived: where it ends, by partition.
        stood: where the workers stood, by partition.
        fence: holds the partitions; None: nothing is changed.
        load: loads a model's artifact; None: LiteRT.
        report: what has been done.
    """

    store: FullStore
    meta: Meta
    settings: Settings
    features: FeatureSet
    table: DeltaTable | None
    archived: dict[int, bytes]
    stood: dict[int, bytes]
    fence: Fence | None
    load: Load | None
    report: Report

    def run(self) -> None:
        """Make all partitions anew."""
        counts = count_entries(self.table, self.meta.partitions, self.report.begins_ms)
        left_out = self._left_out()
        load = Loads(self.features, self.load)
        with Progress("replaying", total=sum(counts), unit="entries") as bar:
            for own in groups(counts, ENTRIES_AT_ONCE):
                self._make(own, left_out, load, bar)
        self.report.models_missing = tuple(sorted(load.missing))

    def _left_out(self) -> dict[int, set[bytes]]:
        """What workers gave up, by partition."""
        found = read_dead(self.settings, self.store, self.meta.partitions)
        return {p: {one.id for one in own} for p, own in found.items()}

    def _make(self, partitions: Sequence[int], left_out: dict[int, set[bytes]], load: Loads, bar: Progress) -> None:
        rows = read_entries(self.table, partitions, self.report.begins_ms)
        ends, logs = {}, {}
        for p in partitions:
            source = Source(p, rows.pop(p, None), self.archived[p], left_out.get(p, set()))
            ends[p], logs[p] = source.until(self.store, self.stood[p], self.report.begins_ms)
        users = set().union(*(log.users() for log in logs.values()))
        bases = read_bases(self.settings, self.features, users, self.report.begins_ms)
        meta = dataclasses.replace(self.meta, floor_ms=self.report.begins_ms)
        made = ReplayStore(meta, logs, bases)
        replay(made, self.features, partitions, load, bar.update)
        there = self._live_keys(partitions)
        for p in partitions:
            self._write(p, made, there[p])
            self._release(p, made, ends[p])
            self.report.entries += logs[p].entries
            self.report.streamed += len(logs[p].streamed)

    def _live_keys(self, partitions: Sequence[int]) -> dict[int, set[str]]:
        """The live records that are there."""
        found: dict[int, set[str]] = {p: set() for p in partitions}
        for name in map(bytes.decode, self.store.scan(keys.live_pattern())):
            p, _ = keys.user_of(name)
            if p in found:
                found[p].add(name)
        return found

    def _write(self, p: int, made: ReplayStore, there: set[str]) -> None:
        now_ms = self.store.now_ms()
        users = sorted(made.live[p])
        for first in range(0, len(users), USERS_AT_ONCE):
            writes = list(self._records(p, made, users[first : first + USERS_AT_ONCE], now_ms))
            self.report.records += len({one.key for one in writes} & {keys.live(p, user) for user in users})
            self.report.intents += sum(one.if_missing for one in writes)
            there.difference_update(one.key for one in writes)
            self._send(p, writes)
        strangers = sorted(there)
        self.report.deleted += len(strangers)
        for first in range(0, len(strangers), SCANNED):
            self._send(p, [Write(key) for key in strangers[first : first + SCANNED]])

    def _records(self, p: int, made: ReplayStore, users: Sequence[str], now_ms: int) -> Iterator[Write]:
        """Live records without the tiles before the floor, and the newest intents, of those whose time is not over."""
        records = decode_live(self.features, [made.values[keys.live(p, user)] for user in users])
        last_ms = np.zeros(len(users), np.int64)  # an event is younger than its tile's start
        last_ms[records.tiles.user] = records.tiles.start_ms  # of a user's tiles the last one stays
        lives_ms = (last_ms + self.meta.tile_ms + EXPIRY_MS - now_ms).tolist()
        records.tiles = records.tiles[records.tiles.start_ms >= self.meta.floor_ms]
        for user, value, left_ms in zip(users, encode_live(self.features, records), lives_ms, strict=True):
            if left_ms > 0:
                yield Write(keys.live(p, user), value, left_ms)
                if intent := made.values.get(keys.intent(p, user)):
                    yield Write(keys.intent(p, user), intent, left_ms, if_missing=True)
                if shadow := made.values.get(keys.shadow(p, user)):
                    yield Write(keys.shadow(p, user), shadow, left_ms)

    def _send(self, p: int, writes: Sequence[Write]) -> None:
        if self.fence and writes:
            self.fence.write(p, writes)

    def _release(self, p: int, made: ReplayStore, end: bytes) -> None:
        self.report.partitions += 1
        self.report.dead += len(made.dead[p])
        if self.fence:
            self.fence.release(p, end, made.values.get(keys.control(p), b""), made.dead[p])


class Loads:
    """Loads models, and remembers which could not be loaded."""

    def __init__(self, features: FeatureSet, load: Load | None) -> None:
        self._load = load or functools.partial(load_artifact, features)
        self.missing: set[int] = set()

    def __call__(self, entry: ModelEntry) -> Model:
        """The model of an entry."""
        try:
            return self._load(entry)
        except Exception:
            self.missing.add(entry.version)
            raise


def groups(counts: Sequence[int], most: int) -> Iterator[list[int]]:
    """Partitions in turn, as many together as have ``most`` entries at most; at least one."""
    own: list[int] = []
    for p, count in enumerate(counts):
        if own and sum(counts[one] for one in own) + count > most:
            yield own
            own = []
        own.append(p)
    yield own


def rebuild(
    store: FullStore, meta: Meta, settings: Settings, features: FeatureSet, *, since_ms: int | None = None,
    lookback_ms: int = LOOKBACK_MS, dry_run: bool = False, load: Load | None = None,
) -> Report:  # fmt: skip
    """Make the live side anew.

    Args:
        store: the store; ``meta`` as it says.
        meta: partitions, tile width and floor.
        settings: say where the tables are.
        features: the feature set.
        since_ms: profiles with a cut-off at it or later may be published from now on; None: as before.
        lookback_ms: so long before the floor the replay begins.
        dry_run: change nothing, and count what would be.
        load: loads a model's artifact; None: LiteRT.

    Raises:
        StoreError: entries are missing that nobody has any more, or a publish is running that would raise the floor.
        DataError: the log was archived from a store with another number of partitions.
        FencedError: another rebuild has begun.
    """
    started_s = time.monotonic()
    _check(store, settings, meta.partitions)
    if store.call("GET", keys.PUBLISHER):
        raise StoreError("A publish is running, which changes the floor.", "Run this when it has ended.")
    partitions, fence = range(meta.partitions), Fence(store)
    stood = fence.stood(partitions) if dry_run else fence.hold(partitions)
    table = _check(store, settings, meta.partitions)  # again: now nothing more is trimmed, so all that was is in there
    archived = read_ends(table, LOG[1], meta.partitions)
    meta = meta if since_ms is None else lower_floor(store, meta, since_ms, dry_run=dry_run)
    begins_ms = max(meta.floor_ms - lookback_ms, 0) // meta.tile_ms * meta.tile_ms
    report = Report(floor_ms=meta.floor_ms, begins_ms=begins_ms, dry_run=dry_run)
    report.lost = count_lost(settings, store, archived)
    if not dry_run:
        raise_ids(store, archived)
    run = Rebuild(store, meta, settings, features, table, archived, stood, None if dry_run else fence, load, report)
    run.run()
    report.seconds = round(time.monotonic() - started_s, 3)
    return report


def _check(store: FullStore, settings: Settings, partitions: int) -> DeltaTable | None:
    """The archived log, which has what was trimmed."""
    trimmed = read_trimmed(store, partitions)
    table = open_table(settings, tables.LOG)
    refuse_other_partitions(table, partitions)
    refuse_gap(trimmed, read_ends(table, LOG[1], partitions))
    return table


def lower_floor(store: FullStore, meta: Meta, since_ms: int, *, dry_run: bool) -> Meta:
    """Let profiles be published whose cut-off is ``since_ms`` or later; the meta with that floor."""
    since_ms = since_ms // meta.tile_ms * meta.tile_ms
    if since_ms >= meta.floor_ms:
        return meta
    published = tuple(sorted({since_ms, *meta.published[-2:]}))
    if not dry_run:
        store.call("HSET", keys.META, "floor_ms", since_ms, "published", msgspec.json.encode(published))
    return dataclasses.replace(meta, floor_ms=since_ms, published=published)
