"""Which partitions a worker holds, and where it stands in each. A lease only saves double work; the position is the fence."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from lambent import keys
from lambent.errors import StoreError
from realtime import ids
from realtime.logs import fields, get_logger
from realtime.partition_list import format_partitions, parse_partitions
from realtime.predict import Control, read_control
from realtime.sharing import share
from realtime.store import Entry
from realtime.stores import WorkerStore

LEASE_MS = 3_000
"""How long a lease outlives its worker; it is renewed three times in that time."""

LEAVE_S = 30.0
"""So long a worker leaves a partition alone that is not for it."""
HASTE = 10
"""So many times as often a worker looks while its share is not free yet."""

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
    """The partitions that this worker holds: its share of all, as ``sharing`` has it.

    Args:
        store: the store.
        partitions: P.
        wanted: partitions that it may take.
        name: names the worker in its leases; without blanks.
        lease_ms: how long a lease outlives the worker; 0: work without leases, which the fence makes safe.
        features: hash of the feature set that it computes; empty: any.
    """

    def __init__(
        self, store: WorkerStore, partitions: int, wanted: Sequence[int], name: str, lease_ms: int = LEASE_MS,
        features: str = "",
    ) -> None:  # fmt: skip
        self._store, self._partitions, self._wanted = store, partitions, tuple(wanted)
        self._name, self._lease_ms, self._features = name, lease_ms, features
        self._doubtful_at_s = dict.fromkeys(wanted, 0.0) if features else {}
        self._lease = Lease(store, name, lease_ms or LEASE_MS)
        self._leased: set[int] = set()
        self._due_s = 0.0
        self.held: dict[int, Held] = {}

    def keep(self) -> None:
        """Renew, drop what was lost, give up what is too much and take what is free of its share, when it is time to."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        renewal_s = (self._lease_ms or LEASE_MS) / 3000
        self._reconsider(now_s)
        settled = self._balance() if self._lease_ms else True
        self._due_s = now_s + (renewal_s if settled else renewal_s / HASTE)
        missing = [p for p in (self._leased if self._lease_ms else self._may_take()) if p not in self.held]
        self.load(missing)
        if taken := sum(p in self.held for p in missing):
            log.info(fields("partitions-taken", taken=taken, held=len(self.held)))

    def _balance(self) -> bool:
        """Come closer to the share; false while some of it is not free yet."""
        self._renew()
        wanted, holders = self._look()
        shared = [p for p in range(self._partitions) if holders.get(p, self._name) in wanted]
        own = share(wanted, holders, shared)[self._name]
        self._leased |= {p for p in own if holders.get(p) == self._name}  # taken, though the reply was lost
        self._give_up(self._leased - own)
        free = [p for p in own if p not in holders]
        taken = self._lease.take([keys.lease(p) for p in free])
        self._leased |= {p for p, ours in zip(free, taken, strict=True) if ours}
        return self._leased == own

    def _renew(self) -> None:
        leased = sorted(self._leased)
        for p, ours in zip(leased, self._lease.renew([keys.lease(p) for p in leased]), strict=True):
            if not ours:
                log.warning(fields("lease-lost", partition=p))
                self._drop(p)

    def _look(self) -> tuple[dict[str, list[int]], dict[int, str]]:
        """Say that this worker is there; by worker what each may take, and by partition who holds it."""
        members = self._store.announce(self._member(), self._lease_ms)
        leases = self._store.holders(range(self._partitions))
        wanted = dict(read_worker(member, self._partitions) for member in members)
        return wanted, {p: lease.decode() for p, lease in enumerate(leases) if lease}

    def _member(self) -> str:
        return f"{self._name} {format_partitions(self._may_take())}"

    def _may_take(self) -> list[int]:
        return [p for p in self._wanted if p not in self._doubtful_at_s]

    def _reconsider(self, now_s: float) -> None:
        """Before it asks for them, look whether partitions are for this worker: at first all, then those that were not."""
        due = [p for p, at_s in self._doubtful_at_s.items() if at_s <= now_s]
        unfit = defaultdict[str, list[int]](list)
        for p, at in zip(due, self._store.standing(due), strict=True):
            del self._doubtful_at_s[p]
            if (theirs := read_control(at.control).features) not in ("", self._features):
                unfit[theirs].append(p)
        self._leave(unfit)

    def _give_up(self, excess: Collection[int]) -> None:
        """Between batches: what was read ahead is forgotten, and whoever is next goes on from the position."""
        if excess:
            self._lease.release([keys.lease(p) for p in excess])
            for p in excess:
                self._drop(p)
            log.info(fields("partitions-given-up", given_up=len(excess), held=len(self.held)))

    def _drop(self, p: int) -> None:
        self._leased.discard(p)
        self.held.pop(p, None)

    def load(self, partitions: Sequence[int]) -> None:
        """Read where partitions stand, forgetting what was read ahead. One that is being rebuilt is left alone until later.

        Raises:
            StoreError: a stream has been trimmed beyond the position.
        """
        rebuilt, unfit = 0, defaultdict[str, list[int]](list)
        for p, at in zip(partitions, self._store.standing(partitions), strict=True):
            if at.position == ids.HELD:
                rebuilt += 1
                self.held.pop(p, None)
                continue
            _refuse_gap(p, at.position, at.trimmed)
            control = read_control(at.control)
            if self._features and control.features not in ("", self._features):
                unfit[control.features].append(p)
                continue
            self.held[p] = Held(at.position, control)
        self._leave(unfit)
        if rebuilt:
            log.info(fields("being-rebuilt", partitions=rebuilt))

    def _leave(self, unfit: Mapping[str, list[int]]) -> None:
        """Leave partitions whose records are of another feature set to workers that compute it, or to a rebuild."""
        for features, own in unfit.items():
            remedy = "They wait for a worker with those features; to go on with these, lambent rebuild."
            log.error(
                fields("other-features", partitions=len(own), theirs=features, ours=self._features, remedy=remedy)
            )
            self._doubtful_at_s |= dict.fromkeys(own, time.monotonic() + LEAVE_S)
            if leased := self._leased & set(own):
                self._lease.release([keys.lease(p) for p in leased])
            for p in own:
                self._drop(p)

    def reload(self) -> None:
        """Read again where all held partitions stand."""
        self.load(list(self.held))

    def release(self) -> None:
        """Give all partitions back, and say that this worker is gone."""
        self.held.clear()
        if self._lease_ms:
            self._lease.release([keys.lease(p) for p in self._leased])
            self._leased.clear()
            self._store.announce(self._member(), 0)


def read_worker(member: bytes, partitions: int) -> tuple[str, list[int]]:
    """A worker's name, and the partitions that it may take, as ``lambent:workers`` has them."""
    name, _, text = member.decode().partition(" ")
    return name, parse_partitions(text, partitions) if text else []


def _refuse_gap(partition: int, position: bytes, trimmed: bytes) -> None:
    if ids.parse(position) < ids.parse(trimmed):
        raise StoreError(
            f"Partition {partition} stands at {position.decode()}, but its stream was trimmed up to {trimmed.decode()}.",
            "Entries between them are only in the table log, from which lambent rebuild reads them.",
        )
