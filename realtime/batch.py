"""A micro-batch: entries of many partitions become admitted events, rejections and control entries."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Sequence

import msgspec

from lambent import keys
from lambent.events import Event, Rejection, admit
from lambent.features import FeatureSet
from realtime import ids
from realtime.commit import Dead
from realtime.predict import Control, Models
from realtime.store import Entry

EVENT, CONTROL, MARKER = b"e", b"c", b"m"
CONTROLS = 16
"""Control states that are kept to be shared; partitions come to a new one one after the other."""


class Admitted(msgspec.Struct, frozen=True, gc=False):
    """An event with where it lies in the log."""

    event: Event
    partition: int
    id: bytes
    ingest_ms: int
    data: bytes


@dataclasses.dataclass
class Slice:
    """One partition's part of a batch.

    Attributes:
        partition: p.
        start, end: the position before and after.
        before, control: the control state before and after its entries.
        entries: how many stream entries it covers.
    """

    partition: int
    start: bytes
    end: bytes
    before: Control
    control: Control
    entries: int = 0


@dataclasses.dataclass
class Batch:
    """What a micro-batch holds.

    Attributes:
        slices: by partition.
        events: admitted events, each partition's in the log's order.
        rejected: how many entries are no events, by reason; ``ingest`` puts them into the quarantine from the log.
        dead: what has to be given up, by partition.
        shadows: of each user of the events what is kept of its shadow; empty: there is no shadow.
    """

    slices: dict[int, Slice] = dataclasses.field(default_factory=dict)
    events: list[Admitted] = dataclasses.field(default_factory=list)
    rejected: Counter[str] = dataclasses.field(default_factory=Counter)
    dead: dict[int, list[Dead]] = dataclasses.field(default_factory=dict)
    shadows: Sequence[bytes | None] = ()

    def give_up(self, one: Admitted, reason: str) -> None:
        """Move an event to the dead letters."""
        self.dead.setdefault(one.partition, []).append(Dead(one.id, reason, one.data))


def cut(entries: Sequence[Entry]) -> int:
    """How many entries belong to one batch: a control entry that follows an event begins the next one."""
    seen_event = False
    for index, (_, kind, _) in enumerate(entries):
        if kind == CONTROL and seen_event:
            return index
        seen_event = seen_event or kind == EVENT
    return len(entries)


@functools.lru_cache(CONTROLS)
def _shared(control: Control) -> Control:
    """The same object for equal ones: a batch asks of each partition, and all have nearly always set the same."""
    return control


class Gate:
    """Decides on entries: admits, rejects, applies control entries.

    Args:
        features: the feature set.
        models: what control entries change.
        partitions: P.
    """

    def __init__(self, features: FeatureSet, models: Models, partitions: int) -> None:
        self._taxonomy = features.taxonomy
        self._models = models
        self._partitions = partitions

    def take(self, batch: Batch, partition: int, start: bytes, control: Control, entries: Sequence[Entry]) -> None:
        """Add a partition's entries, up to its cut, to the batch."""
        stamped = control if control.features else msgspec.structs.replace(control, features=self._models.features.hash)
        part = Slice(partition, start, entries[-1][0], control, stamped, len(entries))
        batch.slices[partition] = part
        for entry_id, kind, data in entries:
            if kind == EVENT:
                self._event(batch, partition, entry_id, data)
            elif kind == CONTROL:
                part.control, rejection = self._models.enter(part.control, data)
                if rejection is not None:
                    batch.rejected[rejection.reason] += 1
            elif kind != MARKER:
                batch.rejected["kind"] += 1
        if part.control is not control:
            part.control = _shared(part.control)

    def _event(self, batch: Batch, partition: int, entry_id: bytes, data: bytes) -> None:
        event = admit(data, self._taxonomy)
        if isinstance(event, Rejection):
            batch.rejected[event.reason] += 1
            return
        one = Admitted(event, partition, entry_id, ids.ingest_ms(entry_id), data)
        if keys.partition(event.user, self._partitions) == partition:
            batch.events.append(one)
        else:  # a producer that counts partitions wrong: folding it here would give the user two orders
            batch.give_up(one, "partition")
