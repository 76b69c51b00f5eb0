"""A small run with all that can happen in it, for the oracle and for what is planted to try it."""

from __future__ import annotations

import dataclasses
import random
import time

from lambent import keys
from lambent.control import ControlEntry, RolloutEntry, encode_control
from lambent.events import Event, encode_event
from realtime import ids
from realtime.archiver import Archiver
from realtime.predict import Load
from realtime.store import Store
from realtime.verify.command import Report, verify
from realtime.verify.sent import Sent
from tests.chaos.rig import FEATURES, TILE_MS, Rig
from tests.visitors import Visitors, load, model_entry

PARTITIONS = 3
HOUR_MS = 3_600_000
CONTROLS = (
    (),
    (model_entry(1), RolloutEntry(model_entry(3), "colours", 0.5)),
    (RolloutEntry(), model_entry(2), RolloutEntry(model_entry(3), "shapes", 0.7, shadow=True)),
)


@dataclasses.dataclass
class Run:
    """A run.

    Attributes:
        rig: the system; ``rig.log`` holds what was sent.
        rng: decides all.
        load: loads the worker's models.
        tile_ms: tile width that the worker goes by.
        sent: what the producer says.
        worker_store: the worker's own connection.
    """

    rig: Rig
    rng: random.Random
    load: Load = load
    tile_ms: int = TILE_MS
    sent: list[Sent] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.worker_store = Store(self.rig.url)

    def play(self) -> None:
        """Events of some hours with two models, a challenger and a shadow among them, published twice; archived; then some that come now."""
        rig, now_ms = self.rig, time.time_ns() // 1_000_000
        visitors = Visitors(self.rng, now_ms - 20 * HOUR_MS)
        meta = dataclasses.replace(rig.meta, tile_ms=self.tile_ms)
        worker = dataclasses.replace(rig, meta=meta).worker(self.worker_store, load=self.load)
        for n in range(3):
            for entry in CONTROLS[n]:
                self._control(entry)
            log = [(event, max(event.event_ms, visitors.at_ms)) for event in visitors.events(20)]
            self._send(sorted(log, key=lambda one: one[1]))
            rig.drain(worker)
            if n:
                rig.publish(log[-1][1] // TILE_MS * TILE_MS)
                worker._floor_due_s = 0
        self.archive()
        visitors.at_ms = now_ms
        for _ in range(2):
            self._send_now(visitors.events(15))
            rig.drain(worker)
        self.archive()
        self._send_now(visitors.events(5))
        self._strays(visitors.events(2))
        rig.drain(worker)

    def archive(self) -> None:
        """A round of the archiver."""
        Archiver(self.rig.store, self.rig.meta, self.rig.settings, name="archiver").round()

    def verify(self, sent: list[Sent] | None = None) -> Report:
        """What the oracle says."""
        rig, meta = self.rig, self.rig.store.meta()
        assert meta is not None
        return verify(rig.store, meta, rig.settings, FEATURES, load=load, sent=sent)

    def _control(self, entry: ControlEntry) -> None:
        for p, last in self.rig.last.items():
            ms, seq = ids.parse(last)
            self.rig.last[p] = self.rig.store.call(
                "XADD", keys.events(p), ids.form(ms, seq + 1), "c", encode_control(entry)
            )

    def _send(self, log: list[tuple[Event, int]]) -> None:
        self.rig.feed(log)
        self.sent += [Sent("accepted", event) for event, _ in log]

    def _send_now(self, events: list[Event]) -> None:
        self.rig.feed_now(events)
        self.sent += [Sent("accepted", event) for event in events]

    def _strays(self, events: list[Event]) -> None:
        """Events in partitions that are not their users', and bytes that are no event."""
        entries = [((keys.partition(one.user, PARTITIONS) + 1) % PARTITIONS, b"e", encode_event(one)) for one in events]
        self.sent += [Sent("accepted", event) for event in events]
        self.rig.store.append([*entries, (0, b"e", b"{"), (1, b"e", b'{"user":"x"}')])
        self.archive()
