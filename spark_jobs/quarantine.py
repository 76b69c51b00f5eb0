"""The tables ``quarantine`` and ``dead``: what in them is still open, summed up for people; and how a row is settled.

All of it without a JVM, and in bounded memory however many rows there are.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lambent.dimensions import DIMENSIONS
from lambent.errors import DataError
from lambent.mapping.validation import without_values
from lambent.masking import mask_row
from lambent.settings import Settings
from lambent.tables import BECAME, QUARANTINE, QUARANTINE_COLUMNS
from spark_jobs.commits import open_table
from spark_jobs.rows import arrow_types

if TYPE_CHECKING:
    from deltalake import DeltaTable

LOG_ORIGIN = "log/"
"""How the origin of a row from the live log begins; the partition follows."""
BATCH_ROWS = 1_024
SETTLED_AT_ONCE = 50_000

Row = dict[str, Any]
"""A row of the table by its columns' names."""


class Place(NamedTuple):
    """Where a row was met: the file and the line, or the partition's origin and the entry's id."""

    origin: str
    line: int
    seq: int


class Outcome(NamedTuple):
    """What a retry makes of a row: what it ``became`` (see ``tables.BECAME``), or why it is still no event."""

    place: Place
    became: str | None
    reason: str | None = None
    detail: str | None = None


@dataclasses.dataclass(frozen=True)
class Chosen:
    """Which rows are meant.

    Attributes:
        reason: only those rejected for it; None: all.
        origin: only those of it: a file's path or its end, or ``log/3``; with ``*`` as a shell has it; None: all.
    """

    reason: str | None = None
    origin: str | None = None

    def takes(self, row: Row) -> bool:
        """Whether the row is meant."""
        if self.reason is not None and row["reason"] != self.reason:
            return False
        if self.origin is None or self.origin == row["origin"]:
            return True
        return any(fnmatch.fnmatchcase(row["origin"], pattern) for pattern in (self.origin, f"*/{self.origin}"))


def place_of(row: Row) -> Place:
    """Where a row of the table was met."""
    return Place(row["origin"], row["line"], row["seq"])


def dimension_origin(name: str, path: Path) -> str:
    """The origin of rows of a dimension's file, which no event comes from: read again, the file settles them."""
    return f"{name}:{path}"


def is_dimension(origin: str) -> bool:
    """Whether a row comes from a dimension's file."""
    return origin.partition(":")[0] in DIMENSIONS


def is_live(origin: str) -> bool:
    """Whether a row comes from the live log, not from a file."""
    return origin.startswith(LOG_ORIGIN)


def open_rows(settings: Settings, chosen: Chosen = Chosen(), name: str = QUARANTINE) -> Iterator[Row]:
    """The chosen rows of a table that are not settled, in its order; none where there is no table."""
    table = open_table(settings.table(name))
    if table is None:
        return
    dataset = table.to_pyarrow_dataset()
    names = [one for one in (*QUARANTINE_COLUMNS, BECAME) if one in dataset.schema.names]
    for batch in dataset.to_batches(columns=names, batch_size=BATCH_ROWS, batch_readahead=1, fragment_readahead=1):
        for row in batch.to_pylist():
            if row.pop(BECAME, None) is None and chosen.takes(row):
                yield row


# --- for people --------------------------------------------------------------------------------------------------------


class Example(msgspec.Struct, frozen=True):
    """One row: its place, why it is no event, and its shape. Values are masked: any of them can be a raw user id."""

    line: int
    seq: int
    detail: str
    raw: str | None


class Group(msgspec.Struct):
    """The open rows of one reason and one origin; ``first`` and ``last`` are lines, or an entry's ``ingest_ms``."""

    reason: str
    origin: str
    first: int
    last: int
    rows: int = 0
    examples: list[Example] = []


def summary(rows: Iterable[Row], examples: int) -> list[Group]:
    """Rows by reason and origin, the largest group first, each with its first few rows."""
    groups: dict[tuple[str, str], Group] = {}
    for row in rows:
        reason, origin, line = row["reason"], row["origin"], row["line"]
        group = groups.setdefault((reason, origin), Group(reason, origin, line, line))
        group.rows += 1
        group.first, group.last = min(group.first, line), max(group.last, line)
        if len(group.examples) < examples:
            raw = None if row["raw"] is None else mask_row(row["raw"])
            group.examples.append(Example(line, row["seq"], without_values(reason, row["detail"] or ""), raw))
    return sorted(groups.values(), key=lambda group: -group.rows)


# --- settling ----------------------------------------------------------------------------------------------------------


def settle(settings: Settings, outcomes: Iterable[Outcome], name: str = QUARANTINE) -> None:
    """Write what became of a table's rows; to do so twice does no harm. What is settled stays so.

    Raises:
        DataError: another job has written to the table in the meantime.
    """
    table = open_table(settings.table(name))
    rest = iter(outcomes)
    while table is not None and (own := list(itertools.islice(rest, SETTLED_AT_ONCE))):
        _settle(table, own)


def _settle(table: DeltaTable, outcomes: list[Outcome]) -> None:
    from deltalake import Field
    from deltalake.exceptions import CommitFailedError

    try:
        if BECAME not in {field.name for field in table.schema().fields}:
            table.alter.add_columns([Field(BECAME, "string")])  # type: ignore[arg-type]
        _merge(table, outcomes)
    except CommitFailedError as error:
        cause = (
            f"What became of the rows could not be written: another job has written to it in the meantime ({error})."
        )
        raise DataError(cause, "Run it again: what went in is not added twice.") from error


def _merge(table: DeltaTable, outcomes: list[Outcome]) -> None:
    import pyarrow as pa

    types = arrow_types({**QUARANTINE_COLUMNS, BECAME: "string"})
    names = ("origin", "line", "seq", BECAME, "reason", "detail")
    last = {one.place: one for one in outcomes}.values()  # a file that changed under its name can have a place twice
    columns = zip(*((*place, *why) for place, *why in last), strict=True)
    source = pa.table({name: pa.array(column, types[name]) for name, column in zip(names, columns, strict=True)})
    same_place = " AND ".join(f"q.{name} = s.{name}" for name in Place._fields)
    merge = table.merge(source, f"{same_place} AND q.{BECAME} IS NULL", source_alias="s", target_alias="q")
    merge.when_matched_update({BECAME: f"s.{BECAME}"}, f"s.{BECAME} IS NOT NULL").when_matched_update(
        {"reason": "s.reason", "detail": "s.detail"}, f"s.{BECAME} IS NULL AND s.reason IS NOT NULL"
    ).execute()
