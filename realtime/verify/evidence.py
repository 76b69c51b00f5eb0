"""What the store and the archive hold of each partition, as they say it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from lambent import keys, tables
from lambent.errors import StoreError
from lambent.events import Event, Intent, Shadow
from lambent.oracle import distinct
from lambent.settings import Settings
from realtime import ids
from realtime.archive import INTENTS, LOG, read_ends
from realtime.archived import read_entries, refuse_other_partitions
from realtime.batch import MARKER
from realtime.commit import Dead
from realtime.dead import read_dead
from realtime.history import file_events, open_table
from realtime.store import Entry, Store

if TYPE_CHECKING:
    from deltalake import DeltaTable

STREAM_ENTRIES = 1_000
Said = tuple[bytes, Intent]
"""An intent with the id of the entry of its batch."""
_decode_intents = msgspec.json.Decoder(list[Intent]).decode
_FIELDS = ("user", "event_id", "event_ms", "ingest_ms", "model", "cutoff_ms", "session_events")


@dataclasses.dataclass
class Evidence:
    """One partition.

    Attributes:
        partition: p.
        position: the worker's.
        control: what the worker remembers of control entries; None: nothing.
        trimmed: up to where its stream has been trimmed.
        told: up to where the archiver says that it has come; ``0-0``: it has said nothing.
        archived: rows of the table ``log``, by id; end: the id at which its transactions say that it ends.
        streamed: entries of the stream.
        said: rows of the table ``intents``, by id; said_end: as ``end``.
        saying: intents of the stream.
        dead: dead letters.
    """

    partition: int
    position: bytes = ids.START
    control: bytes | None = None
    trimmed: bytes = ids.START
    told: bytes = ids.START
    archived: list[Entry] = dataclasses.field(default_factory=list)
    end: bytes = ids.START
    streamed: list[Entry] = dataclasses.field(default_factory=list)
    said: list[Said] = dataclasses.field(default_factory=list)
    said_end: bytes = ids.START
    saying: list[Said] = dataclasses.field(default_factory=list)
    dead: list[Dead] = dataclasses.field(default_factory=list)

    def log(self) -> list[Entry]:
        """All entries: the archived ones, then those that are only in the stream yet."""
        return [*self.archived, *(one for one in self.streamed if ids.parse(one[0]) > ids.parse(self.end))]

    def intents(self) -> list[Said]:
        """All intents, likewise."""
        return [*self.said, *(one for one in self.saying if ids.parse(one[0]) > ids.parse(self.said_end))]


def read_evidence(store: Store, partitions: int, settings: Settings) -> Iterator[Evidence]:
    """What there is, partition by partition.

    Raises:
        DataError: the log was archived from a store with another number of partitions.
    """
    # The store first: what leaves it meanwhile is in the tables by then, and these are not behind what it says of them.
    stored = [read_stored(store, p) for p in range(partitions)]
    log, said = open_table(settings, tables.LOG), open_table(settings, tables.INTENTS)
    refuse_other_partitions(log, partitions)
    ends, said_ends = read_ends(log, LOG[1], partitions), read_ends(said, INTENTS[1], partitions)
    dead = read_dead(settings, store, partitions)
    for p, found in enumerate(stored):
        found.dead = dead.get(p, [])
        found.archived, found.end = _archived(log, p), ends[p]
        found.said, found.said_end = _said(said, p), said_ends[p]
        yield found


def refuse_news(store: Store, ends: Mapping[int, bytes]) -> None:
    """What came while the log was replayed is in what it is compared with.

    Args:
        store: has the streams.
        ends: the last entry of each partition that was replayed.

    Raises:
        StoreError: something came.
    """
    for p, end in ends.items():
        if any(kind != MARKER for _, kind, _ in _stream(store, p, keys.events, end)):
            raise StoreError(f"Partition {p} got entries while its log was replayed.", "Stop what sends events.")


def read_stored(store: Store, p: int) -> Evidence:
    """What the store alone holds of a partition."""
    single = [("GET", key(p)) for key in (keys.position, keys.control, keys.trimmed)]
    position, control, trimmed, told = store.pipe_or_raise([*single, ("HGET", keys.ARCHIVED, p)])
    found = Evidence(p, position or ids.START, control, trimmed or ids.START, told or ids.START)
    found.streamed = list(_stream(store, p, keys.events))
    found.saying = [(at, one) for at, _, data in _stream(store, p, keys.intents) for one in _decode_intents(data)]
    return found


def read_files(settings: Settings) -> dict[str, list[tuple[Event, int]]]:
    """Distinct events from files by user, with the times that stand for those of the log."""
    found: dict[str, list[tuple[Event, int]]] = {}
    for event in file_events(settings):
        found.setdefault(event.user, []).append((event, event.event_ms))
    return {user: distinct(own) for user, own in found.items()}


def _stream(store: Store, p: int, stream: Callable[[int], str], at: bytes = ids.START) -> Iterator[Entry]:
    while found := store.read({p: at}, STREAM_ENTRIES, stream=stream).get(p):
        yield from found
        at = found[-1][0]


def _archived(table: DeltaTable | None, p: int) -> list[Entry]:
    rows = read_entries(table, [p], 0).get(p)
    if rows is None:
        return []
    columns = (rows[name].to_pylist() for name in ("ingest_ms", "seq", "kind", "bytes"))
    return [(ids.form(ms, seq), kind.encode(), data) for ms, seq, kind, data in zip(*columns, strict=True)]


def _said(table: DeltaTable | None, p: int) -> list[Said]:
    import pyarrow.dataset as ds

    if table is None:
        return []
    rows = table.to_pyarrow_dataset().to_table(filter=ds.field("partition") == p).to_pylist()
    return sorted(map(_intent, rows), key=lambda one: ids.parse(one[0]))


def _intent(row: dict[str, Any]) -> Said:
    said = {name: row[name] for name in _FIELDS}
    arm = row.get("arm") or ""  # an earlier version had no such column
    one = Intent(**said, probabilities=dict(row["probabilities"]), actions=tuple(row["actions"]), arm=arm)
    shadow = Shadow(row["shadow_model"], dict(row["shadow"])) if row.get("shadow_model") else None
    return ids.form(row["committed_ms"], row["seq"]), msgspec.structs.replace(one, shadow=shadow)
