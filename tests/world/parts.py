"""The processes of a world: workers, archivers, producers, and publish."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from lambent import keys, oracle
from lambent.calibration import Calibration
from lambent.control import CalibrationEntry, ControlEntry, ModelEntry, PolicyEntry, RolloutEntry, encode_control
from lambent.events import Event, Rejection, admit, encode_event
from lambent.policy import Rule
from lambent.records import encode_profiles
from lambent.settings import Settings
from realtime import ids
from realtime.archive import LOG, PASSED
from realtime.archiver import Archiver
from realtime.connection import NO_WRITES, UNAVAILABLE
from realtime.dead import read_dead
from realtime.store import Meta, Store
from realtime.verify.sent import Sent
from realtime.worker import Worker
from tests.visitors import FEATURES, Visitors, load, model_entry
from tests.world.clock import Killed, World
from tests.world.tables import Opened, Tables
from tests.world.wire import Wire, connected

Log = list[tuple[Event, int]]
COPIES = 10
"""A copy comes at most so many events later: a worker remembers 16 ids of a user at least."""


class Stop:
    """What a process waits on to be told to stop; in the world's time."""

    def __init__(self, world: World) -> None:
        self._world, self._set = world, False

    def is_set(self) -> bool:
        """Whether it has been told."""
        return self._set

    def set(self) -> None:
        """Tell it."""
        self._set = True

    def wait(self, seconds: float) -> bool:
        """Wait."""
        self._world.sleep(max(seconds, 0.001))
        return self._set


@dataclasses.dataclass
class Parts:
    """What all of them share.

    Attributes:
        world: time and chance.
        server: the store.
        tables: the archive.
        settings: name the tables.
        meta: of the store.
        risk: of a sending to meet a fault.
        lease_ms: of workers.
        batch_entries: of workers.
        sent: what producers say.
        failed: what killed a process though it was no fault.
    """

    world: World
    server: Any
    tables: Tables
    settings: Settings
    meta: Meta
    risk: float
    lease_ms: int
    batch_entries: int
    sent: list[Sent] = dataclasses.field(default_factory=list)
    failed: list[str] = dataclasses.field(default_factory=list)
    made: int = 0

    def store(self, *, mortal: bool = True) -> Store:
        """A connection behind faults."""
        return Store("", client=Wire(self.world, connected(self.server), self.risk, mortal))

    def keep(self, name: str, make: Callable[[str], Any], stop: Stop) -> Callable[[], None]:
        """A process that a service manager starts again whenever it is gone, until it is told to stop."""

        def run() -> None:
            while not stop.is_set():
                self.made += 1
                self.world.note("starts")
                try:
                    make(f"{name}-{self.made}").run(stop)
                except Killed:
                    self.world.note("is killed")
                except UNAVAILABLE:
                    self.world.note("finds no store")
                except Exception as error:
                    self.failed.append(f"{name}: {type(error).__name__}: {error}")
                    return
                stop.wait(self.world.rng.random() * 3)

        return run

    def worker(self, name: str) -> Worker:
        """A worker as it starts."""
        return Worker(
            self.store(), self.meta, FEATURES, load=load, lease_ms=self.lease_ms, name=name,
            batch_entries=self.batch_entries,
        )  # fmt: skip

    def archiver(self, name: str) -> Archiver:
        """An archiver as it starts."""
        return Archiver(self.store(), self.meta, self.settings, name=name)


@dataclasses.dataclass
class Producer:
    """Sends events, controls and what is none; sends again what it does not know to have arrived.

    Attributes:
        parts: the world.
        visitors: make the events.
        left: how many are still to be made.
        challenged: a challenger stands beside a champion from the start; else hardly any session would begin beside one.
    """

    parts: Parts
    visitors: Visitors
    left: int
    challenged: bool = False

    def run(self) -> None:
        """Send all."""
        world, rng, store = self.parts.world, self.parts.world.rng, self.parts.store(mortal=False)
        if self.challenged:
            self._control(store, model_entry(1), self._challenge(model_entry(2)))
        while self.left > 0:
            self.visitors.at_ms = int(world.now_s() * 1000)
            count = min(rng.choice([1, 1, 2, 5]), self.left)
            self.left -= count
            self._send(store, self.visitors.events(count))
            if rng.random() < 0.2:
                self._odd(store)
            world.sleep(rng.choice([0.002, 0.05, 0.3, 1]))
            if rng.random() < 0.15:
                world.wall_s += rng.choice([90, 1_200, 2_700])  # a quiet time, in which nobody would do anything

    def _send(self, store: Store, events: Sequence[Event]) -> None:
        """As often as it takes, or until it is given up."""
        partitions = self.parts.meta.partitions
        for _ in range(4):
            entries = [(keys.partition(one.user, partitions), b"e", encode_event(one)) for one in events]
            try:
                replies = store.pipe(("XADD", keys.events(p), "*", kind, data) for p, kind, data in entries)
            except UNAVAILABLE:
                self.parts.sent += [Sent("maybe", one) for one in events]
            else:
                self.parts.sent += [_told(one, reply) for one, reply in zip(events, replies, strict=True)]
                events = [one for one, reply in zip(events, replies, strict=True) if isinstance(reply, Exception)]
            if not events or self.parts.world.rng.random() < 0.3:
                return
            self.parts.world.sleep(self.parts.world.rng.random())

    def _challenge(self, challenger: ModelEntry) -> RolloutEntry:
        rng = self.parts.world.rng
        return RolloutEntry(challenger, rng.choice("abc"), rng.choice([0.3, 0.7, 1.0, 0.0]), rng.random() < 0.5)

    def _control(self, store: Store, *entries: ControlEntry) -> None:
        """Control entries for every partition, or for some if the store is gone meanwhile."""
        with contextlib.suppress(*UNAVAILABLE):
            for one in entries:
                store.publish_control(one, self.parts.meta.partitions)

    def _odd(self, store: Store) -> None:
        """A control entry, an event in another's partition, or what is no event."""
        rng, partitions = self.parts.world.rng, self.parts.meta.partitions
        model = encode_control(model_entry(rng.randrange(1, 6), rng.choice(["here", "here", "gone"])))
        policy = encode_control(PolicyEntry((Rule("browse", rng.random(), "greet"),)))
        correction = encode_control(
            CalibrationEntry(rng.randrange(1, 6), Calibration((1 + rng.random(),) * 4, (0.1, 0, 0, 0)))
        )
        challenger = model_entry(rng.randrange(1, 6), rng.choice(["here", "here", "gone"]))
        rollout, stop = encode_control(self._challenge(challenger)), encode_control(RolloutEntry())
        controls = [model, model, model, rollout, rollout, stop, policy, correction, b"{"]
        odd = rng.choice([*((b"c", one) for one in controls), (b"e", b"{"), (b"?", b"")])
        try:
            store.append((p, *odd) for p in range(partitions))
            if rng.random() < 0.5:
                (event,) = self.visitors.events(1)
                p = (keys.partition(event.user, partitions) + 1) % partitions
                self.parts.sent.append(Sent("maybe", event))
                store.append([(p, b"e", encode_event(event))])
        except UNAVAILABLE:
            pass


def _told(event: Event, reply: Any) -> Sent:
    if isinstance(reply, NO_WRITES):
        return Sent("refused", event)
    return Sent("accepted", event, reply.decode())


@dataclasses.dataclass
class Publisher:
    """Publishes now and then what the archive has, forwards or back; gives up where the store is away, halfway too."""

    parts: Parts

    def run(self, stop: Stop) -> None:
        """Until it is told to stop."""
        world = self.parts.world
        while not stop.wait(world.rng.choice([0.5, 1, 3])):
            try:
                self._publish(self.parts.store(mortal=False))
            except UNAVAILABLE:
                world.note("gives up publishing")

    def _publish(self, store: Store) -> None:
        tile_ms, rng = self.parts.meta.tile_ms, self.parts.world.rng
        # What was published stands there: a reply that was lost may have been a publish all the same.
        meta = store.meta()
        assert meta is not None
        log, watermark_ms = self._archived(store, meta)
        floor_ms = meta.published[0] if len(meta.published) > 1 else 0
        newest_ms = watermark_ms // tile_ms * tile_ms
        cutoffs = [ms for ms in {newest_ms, newest_ms - tile_ms, *meta.published} if floor_ms <= ms <= newest_ms]
        if not cutoffs or not newest_ms:
            return
        back = rng.random() < 0.4
        cutoff_ms = min(cutoffs) if back else rng.choice(sorted(cutoffs))
        values = profiles([one for one in log if one[1] < cutoff_ms], tile_ms)
        for user in sorted({event.user for event, _ in log}):
            key = keys.profile(keys.partition(user, self.parts.meta.partitions), user)
            store.call(*(("SET", key, values[user]) if user in values else ("DEL", key)))
        published = sorted({*meta.published, cutoff_ms})[-2:]
        floor_ms = published[0] if len(published) > 1 else 0
        self.parts.world.note(f"publishes {cutoff_ms}, floor {floor_ms}")
        store.call("HSET", keys.META, "floor_ms", floor_ms, "published", msgspec.json.encode(published))

    def _archived(self, store: Store, meta: Meta) -> tuple[Log, int]:
        """Distinct events of the archive that workers have passed, and up to when that is whole; not what they gave up.

        All is taken of a partition that no worker has ever worked on. What a second publish of such a one would mean stands
        among what is not promised: there is none here.
        """
        path = self.parts.settings.table("log")
        if path not in self.parts.tables.tables:
            return [], 0
        partitions = self.parts.meta.partitions
        table = Opened(self.parts.tables, path)
        ends = [_newest(table, f"{LOG[1]}-{p}") for p in range(partitions)]
        passed = [_newest(table, f"{PASSED}-{p}") for p in range(partitions)]
        if 0 in passed and meta.published:
            return [], 0
        passed = [min(at or end, end) for at, end in zip(passed, ends, strict=True)]
        dead = read_dead(self.parts.settings, store, partitions)
        left_out = {(p, *ids.parse(one.id)) for p, own in dead.items() for one in own}
        rows = table.to_pyarrow_dataset().to_table().to_pylist()
        rows.sort(key=lambda row: (row["partition"], row["ingest_ms"], row["seq"]))
        log = []
        for row in rows:
            event = admit(row["bytes"], FEATURES.taxonomy) if row["kind"] == "e" else None
            if event is None or isinstance(event, Rejection):
                continue
            p, place = row["partition"], (row["ingest_ms"], row["seq"])
            if (p, *place) in left_out or keys.partition(event.user, partitions) != p:
                continue
            if ids.to_version(ids.form(*place)) <= passed[p]:
                log.append((event, row["ingest_ms"]))
        return oracle.distinct(log), ids.ingest_ms(ids.from_version(min(passed)))


def _newest(table: Opened, application: str) -> int:
    return table.transaction_version(application) or 0


def profiles(log: Log, tile_ms: int) -> dict[str, bytes]:
    """What publish writes: profiles as of each user's last change."""
    by_user: dict[str, Log] = {}
    for one in log:
        by_user.setdefault(one[0].user, []).append(one)
    found = {}
    for user, own in by_user.items():
        head = np.array([(own[-1][1] // tile_ms + 1) * tile_ms])
        (found[user],) = encode_profiles(FEATURES, oracle.profile(FEATURES, oracle.mark(FEATURES, own)), head)
    return found
