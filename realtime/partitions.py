"""Which partitions a worker holds, and where it stands in each. A lease only saves double work; the position is the fence."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from lambent import keys
from lambent.errors import StoreError
from realtime import ids
from realtime.logs import fields, get_logger
from realtime.predict import Control, read_control
from realtime.store import Entry
from realtime.stores import WorkerStore

LEASE_MS = 3_000
"""How long a lease outlives its worker; it is renewed three times in that time."""

log = get_logger("partitions")


class Lease:
    """One key that only its holder renews.

    Args:
        store: where it lies.
        name: who holds it.
        ttl_ms: how long it lives without being renewed.
    """

    def __init__(self, store: WorkerStore, name: str, ttl_ms: int = LEASE_MS) -> None:
        self._store, self._name, self._ttl_ms = store, name, ttl_ms

    def take(self, wanted: Sequence[str]) -> list[bool]:
        """Take what is free; true for each key that is ours now."""
        return self._store.take(wanted, self._name, self._ttl_ms)

    def renew(self, held: Sequence[str]) -> list[bool]:
        """Renew; true for each key that is still ours."""
        return self._store.hold(held, self._name, self._ttl_ms)

    def release(self, held: Sequence[str]) -> None:
        """Give up what is still ours."""
        self._store.hold(held, self._name, 0)


@dataclasses.dataclass
class Held:
    """Where this worker stands in a partition.

    Attributes:
        position: id of the last entry whose effects are in the store.
        control: what the control entries up to it have set.
        ahead: entries that have been read beyond the position.
    """

    position: bytes
    control: Control
    ahead: list[Entry] = dataclasses.field(default_factory=list)


class Partitions:
    """The partitions that this worker holds.

    Args:
        store: the store.
        wanted: partitions that it may take.
        name: names the worker in its leases.
        lease_ms: how long a lease outlives the worker; 0: work without leases, which the fence makes safe.
    """

    def __init__(self, store: WorkerStore, wanted: Sequence[int], name: str, lease_ms: int = LEASE_MS) -> None:
        self._store, self._wanted, self._lease_ms = store, tuple(wanted), lease_ms
        self._lease = Lease(store, name, lease_ms or LEASE_MS)
        self._due_s = 0.0
        self.held: dict[int, Held] = {}

    def keep(self) -> None:
        """Renew, drop what was lost and take what is free, when it is time to."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + (self._lease_ms or LEASE_MS) / 3000
        if self._lease_ms:
            self._renew()
        self._take()

    def _renew(self) -> None:
        held = list(self.held)
        for p, ours in zip(held, self._lease.renew([keys.lease(p) for p in held]), strict=True):
            if not ours:
                log.warning(fields("lease-lost", partition=p))
                del self.held[p]

    def _take(self) -> None:
        free = [p for p in self._wanted if p not in self.held]
        if self._lease_ms:
            ours = self._lease.take([keys.lease(p) for p in free])
            free = [p for p, taken in zip(free, ours, strict=True) if taken]
        if free:
            self.load(free)
            log.info(fields("partitions-taken", taken=len(free), held=len(self.held)))

    def load(self, partitions: Sequence[int]) -> None:
        """Read where partitions stand, forgetting what was read ahead. One that is being rebuilt is left alone until later.

        Raises:
            StoreError: a stream has been trimmed beyond the position.
        """
        for p, at in zip(partitions, self._store.standing(partitions), strict=True):
            if at.position == ids.HELD:
                log.info(fields("being-rebuilt", partition=p))
                self.held.pop(p, None)
                continue
            _refuse_gap(p, at.position, at.trimmed)
            self.held[p] = Held(at.position, read_control(at.control))

    def reload(self) -> None:
        """Read again where all held partitions stand."""
        self.load(list(self.held))

    def release(self) -> None:
        """Give all partitions back."""
        if self._lease_ms:
            self._lease.release([keys.lease(p) for p in self.held])
        self.held.clear()


def _refuse_gap(partition: int, position: bytes, trimmed: bytes) -> None:
    if ids.parse(position) < ids.parse(trimmed):
        raise StoreError(
            f"Partition {partition} stands at {position.decode()}, but its stream was trimmed up to {trimmed.decode()}.",
            "Entries between them are only in the table log, from which lambent rebuild reads them.",
        )
