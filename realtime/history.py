"""Every user's distinct events in the log's order, from the Delta tables: files first, then what the log archived."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from lambent import tables
from lambent.events import Event, Rejection, admit
from lambent.oracle import distinct
from lambent.settings import Settings
from lambent.taxonomy import Taxonomy

if TYPE_CHECKING:
    from deltalake import DeltaTable

Log = list[tuple[Event, int]]
"""A user's events with the ingest times of each, in order."""
FILE_MS = -1
"""Ingest time of what came from a file, to tell it from live events: before every cut-off."""

FILE_COLUMNS = (
    "event_id", "user", "type", "event_ms", "product", "category", "brand", "price", "query", "dwell_ms", "device",
)  # fmt: skip


def open_table(settings: Settings, name: str, version: int | None = None) -> DeltaTable | None:
    """A Delta table at a version, None being the newest; or None where it has not been made."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(settings.table(name), version)
    except TableNotFoundError:
        return None


def read_history(
    settings: Settings, taxonomy: Taxonomy, left_out: Collection[tuple[int, int, int]] = ()
) -> dict[str, tuple[Log, list[int]]]:
    """For each user the distinct events with their ``t`` bounds, and where each came from.

    Args:
        settings: say where the tables are.
        taxonomy: which types there are.
        left_out: entries (partition, ingest_ms, seq) that the workers gave up.

    Returns:
        By user: (events with ingest times, as the oracle reads them; ingest times with ``FILE_MS`` for files).
    """
    found: dict[str, list[tuple[Event, int, int]]] = {}
    for event in file_events(settings):
        found.setdefault(event.user, []).append((event, event.event_ms, FILE_MS))
    for event, ingest_ms in _live(settings, taxonomy, left_out):
        found.setdefault(event.user, []).append((event, ingest_ms, ingest_ms))
    return {user: _distinct(own) for user, own in found.items()}


def _distinct(own: list[tuple[Event, int, int]]) -> tuple[Log, list[int]]:
    origin: dict[str, int] = {}
    for event, _, at_ms in own:
        origin.setdefault(event.id, at_ms)
    log = distinct((event, ingest_ms) for event, ingest_ms, _ in own)
    return log, [origin[event.id] for event, _ in log]


def file_events(settings: Settings) -> Iterator[Event]:
    """Events from files, each user's in order."""
    import pyarrow.dataset as ds

    table = open_table(settings, tables.EVENTS)
    if table is None:
        return
    rows = table.to_pyarrow_dataset().to_table(columns=[*FILE_COLUMNS], filter=ds.field("source") == tables.SOURCE_FILE)
    for row in rows.sort_by([("event_ms", "ascending"), ("event_id", "ascending")]).to_pylist():
        yield event_of(row)


def event_of(row: dict[str, Any]) -> Event:
    """The event of a row of ``events``; what else is in the row is left out."""
    return Event(id=row["event_id"], **{name: row[name] for name in FILE_COLUMNS[1:]})


def _live(
    settings: Settings, taxonomy: Taxonomy, left_out: Collection[tuple[int, int, int]]
) -> Iterator[tuple[Event, int]]:
    import pyarrow.dataset as ds

    table = open_table(settings, tables.LOG)
    if table is None:
        return
    columns = ["partition", "ingest_ms", "seq", "bytes"]
    rows = table.to_pyarrow_dataset().to_table(columns=columns, filter=ds.field("kind") == "e")
    rows = rows.sort_by([(name, "ascending") for name in columns[:3]])
    partition, ingest_ms, seq, data = (rows[name].to_pylist() for name in columns)
    skipped = set(left_out)
    for p, at_ms, number, raw in zip(partition, ingest_ms, seq, data, strict=True):
        event = admit(raw, taxonomy)
        if not isinstance(event, Rejection) and (p, at_ms, number) not in skipped:
            yield event, at_ms
