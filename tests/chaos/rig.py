"""A small Lambent on a real Valkey, for tests that break it: feed a log, publish, crash, and compare with the oracle."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from lambent import keys, oracle, tables
from lambent.events import Event, Intent, encode_event
from lambent.features import shop_features
from lambent.law import differs
from lambent.profile import Profiles
from lambent.records import encode_profiles
from lambent.sessions import GAP_MS
from lambent.settings import Settings, load_settings
from realtime import ids
from realtime.archive import arrow_schema
from realtime.law import read_live
from realtime.store import Meta, Store, open_store
from realtime.worker import Worker
from tests.valkey import Valkey

FEATURES = shop_features()
TILE_MS = 1_000
Log = Sequence[tuple[Event, int]]


@dataclasses.dataclass
class Rig:
    """One store, what was put into its log, and where it has been published."""

    settings: Settings
    store: Store
    meta: Meta
    log: list[tuple[Event, int]] = dataclasses.field(default_factory=list)
    last: dict[int, bytes] = dataclasses.field(default_factory=dict)
    published: list[int] = dataclasses.field(default_factory=list)

    @property
    def url(self) -> str:
        return self.settings.store_url.get_secret_value()

    def worker(self, store: Store | None = None, **options: Any) -> Worker:
        """A worker without leases, which the fence makes safe."""
        return Worker(store or self.store, self.meta, FEATURES, **{"lease_ms": 0, **options})

    def feed(self, log: Log) -> None:
        """Add events to the log at their own ingest times."""
        for event, ingest_ms in log:
            p = keys.partition(event.user, self.meta.partitions)
            ms, seq = ids.parse(self.last.get(p, b"0-0"))
            at = ids.form(ingest_ms, seq + 1 if ms == ingest_ms else 0)
            self.last[p] = self.store.call("XADD", keys.events(p), at, "e", encode_event(event))
            self.log.append((event, ingest_ms))

    def feed_now(self, events: Sequence[Event]) -> None:
        """Add events as producers do: the server says when."""
        entries = [(keys.partition(one.user, self.meta.partitions), b"e", encode_event(one)) for one in events]
        for (p, _, _), event, at in zip(entries, events, self.store.append(entries), strict=True):
            self.last[p] = at
            self.log.append((event, ids.ingest_ms(at)))

    def publish(self, cutoff_ms: int) -> None:
        """What the batch layer does, forwards or back: profiles of all that was taken before the cut-off, each as of the
        user's last change."""
        before = [one for one in self.log if one[1] < cutoff_ms]
        changed_ms = {event.user: (ingest_ms // TILE_MS + 1) * TILE_MS for event, ingest_ms in before}
        values: dict[str, bytes] = {}
        if changed_ms:
            heads = np.array(list(changed_ms.values()))
            values = dict(
                zip(changed_ms, encode_profiles(FEATURES, expected(before, list(changed_ms)), heads), strict=True)
            )
        for user in {event.user for event, _ in self.log}:
            key = keys.profile(keys.partition(user, self.meta.partitions), user)
            self.store.call(*(("SET", key, values[user]) if user in values else ("DEL", key)))
        self.published = sorted({*self.published, cutoff_ms})[-2:]
        floor_ms = self.published[0] if len(self.published) > 1 else 0
        self.store.call("HSET", keys.META, "floor_ms", floor_ms, "published", msgspec.json.encode(self.published))

    def drain(self, worker: Worker | None = None) -> Worker:
        """Work until nothing is left."""
        worker = worker or self.worker()
        while worker.turn(block_ms=0):
            pass
        return worker

    def said(self) -> list[Intent]:
        """All intents of all streams."""
        found = []
        for p in range(self.meta.partitions):
            for _, pairs in self.store.call("XRANGE", keys.intents(p), "-", "+"):
                found += msgspec.json.decode(pairs[1], type=list[Intent])
        return found

    def check(self) -> None:
        """Every user, every position and every intent is what the oracle says."""
        users = sorted({e.user for e, _ in self.log}, key=lambda user: keys.partition(user, self.meta.partitions))
        if users:
            live, _ = read_live(self.store, self.meta.partitions, FEATURES, users)
            found = differs(FEATURES.profile, live, expected(self.log, users), stored=bool(self.published))
            wrong = {name: np.array(users)[rows].tolist() for name, rows in found.items() if rows.any()}
            assert not wrong, wrong
        for p, last in self.last.items():
            (position,) = self.store.positions([p])
            after = self.store.call("XRANGE", keys.events(p), b"(" + last, position)
            assert position == (after[-1][0] if after else last)
            assert {pairs[0] for _, pairs in after} <= {b"m"}, "only an archiver's markers come after what was sent"
        assert sorted(i.event_id for i in self.said()) == sorted(answered(self.log))


def expected(log: Log, users: Sequence[str]) -> Profiles:
    """The oracle's profiles."""
    own = ([one for one in oracle.distinct(log) if one[0].user == user] for user in users)
    return np.concatenate([oracle.profile(FEATURES, oracle.mark(FEATURES, one)) for one in own])


def answered(log: Log) -> list[str]:
    """Ids of the distinct events that are not late: each has one intent."""
    clocks: dict[str, int] = {}
    found = []
    for event, ingest_ms in oracle.distinct(log):
        t_ms = min(event.event_ms, ingest_ms)
        clock_ms = clocks.get(event.user)
        if clock_ms is None or t_ms >= clock_ms - GAP_MS:
            found.append(event.id)
        clocks[event.user] = t_ms if clock_ms is None else max(t_ms, clock_ms)
    return found


def make_rig(valkey: Valkey, root: Path, partitions: int = 4, **settings: Any) -> Rig:
    """A rig on an empty server."""
    values = {"root": root, "store_url": valkey.url, "partitions": partitions, "tile_ms": TILE_MS, **settings}
    loaded = load_settings(**values)
    store, meta = open_store(loaded)
    return Rig(loaded, store, meta)


def events_of(users: int, count: int, start: int = 0) -> list[Event]:
    """Events that happen now: a view after the other, users in turn."""
    now_ms = time.time_ns() // 1_000_000
    return [
        Event(user=f"{n % users:022d}", type="view", event_ms=now_ms + n, id=f"e{n}", product=f"p{n % 7}", category="a")
        for n in range(start, start + count)
    ]


def ingest(settings: Settings, files: Sequence[Event], live: Log = ()) -> None:
    """What ingest makes of a file, and of the archived log."""
    columns = {name: kind for name, kind in tables.EVENT_COLUMNS.items() if name != "attributes"}
    placed = [(event, tables.SOURCE_FILE, event.event_ms, 0) for event in files]
    placed += [
        (event, tables.SOURCE_LIVE, ingest_ms, seq) for seq, (event, ingest_ms) in enumerate(oracle.distinct(live))
    ]
    rows = [
        {**msgspec.structs.asdict(event), "event_id": event.id, "source": source, "ingest_ms": ingest_ms, "seq": seq}
        for event, source, ingest_ms, seq in placed
    ]
    write_deltalake(settings.table(tables.EVENTS), pa.Table.from_pylist(rows, arrow_schema(columns)), mode="overwrite")


def in_background(run: Callable[[threading.Event], object]) -> Callable[[], None]:
    """Start ``run(stop)`` in a thread; call what comes back to stop it, which raises what it raised."""
    stop, failed = threading.Event(), []

    def target() -> None:
        try:
            run(stop)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=target, daemon=True)  # a test that fails leaves it, and has to end
    thread.start()

    def end() -> None:
        stop.set()
        thread.join(10)
        if failed:
            raise failed[0]

    return end


def wait_until(done: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something; fails after ``seconds``."""
    end_s = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.02)
