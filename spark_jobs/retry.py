"""Puts quarantined rows through the door again: the door has changed, or the rows have been mended.

A row of a file enters ``events`` as the history that it is. A row of the live log enters the stream as a new entry: a
worker has passed its old place, and a cut-off may be behind it, so that only at a new place do both layers see it.

Exactly once, wherever a run stops: first the event, then the mark that settles the row. A repeated run finds an event of
a file in the table by its id, and an entry of the log by its place, which the store notes in the same step.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from lambent.errors import UsageError
from lambent.events import Event, Rejection, admit
from lambent.mapping import Row, load_mapping
from lambent.settings import Settings
from lambent.tables import DEAD, DROPPED, EVENTS, QUARANTINE, SOURCE_FILE
from spark_jobs.commits import ddl, open_table
from spark_jobs.files import add_row, check_files, one_a_task
from spark_jobs.ingest import Target, write_events
from spark_jobs.mended import Door, Lines, Mended, RowReader, at_lines, bytes_of, lines_of, read_mended
from spark_jobs.quarantine import Chosen, Outcome, Place, is_dimension, is_live, open_rows, place_of, settle
from spark_jobs.report import Report
from spark_jobs.rows import BATCH_ROWS, ROW_COLUMNS, RowBuilder
from spark_jobs.session import spark_session, told_plainly
from spark_jobs.store import connected, meet_store
from spark_jobs.stream import send_once

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

JOB = "retry"
ENTRIES = 1_000
"""Entries of the log that are sent at once."""

LATER = Rejection("later", "it happened after the time up to which its file was ingested; lambent replay sends it live")

Limits = dict[str, int | None]
"""Of each file the time before which it is history, in milliseconds; None: all of it is."""

Offered = Iterator[tuple[Place, bytes | None]]
"""Open rows, each with what the table has of it."""


class Retry(msgspec.Struct):
    """What is to be retried.

    Attributes:
        chosen: which open rows.
        mended: their mended texts by place; None: as they were met.
        door: how rows of files are read; None where no mapping is given.
        before_ms: rows of files only with ``event_ms`` below; None: as the ingest of each file was told.
        table: which they are in.
    """

    chosen: Chosen = Chosen()
    mended: dict[Place, Mended] | None = None
    door: Door | None = None
    before_ms: int | None = None
    table: str = QUARANTINE

    def offered(self, settings: Settings, live: bool) -> Offered:
        """The open rows that are meant, of the live log or of files."""
        for row in open_rows(settings, self.chosen, self.table):
            place = place_of(row)
            if is_dimension(place.origin):
                continue
            if is_live(place.origin) == live and (self.mended is None or place in self.mended):
                yield place, row["raw"]


def retry(
    settings: Settings,
    chosen: Chosen,
    mapping_name: str | None = None,
    mended_path: Path | None = None,
    before_ms: int | None = None,
) -> Report:
    """Offer rows again, and settle those that go in; the others stay, with the reason that they have now.

    Args:
        settings: the settings.
        chosen: which open rows.
        mapping_name: how rows of files are read: a shipped mapping's name, or the path of one.
        mended_path: rows as ``mended.write_out`` writes them; None: the rows as they were met.
        before_ms: rows of files only with ``event_ms`` below; None: as the ingest of each file was told.

    Returns:
        ``rows`` went in. Of those ``offered``, rows ``entered`` events, were ``sent`` to the log, were ``duplicates``,
        were ``dropped`` by the mapping on purpose, were ``gone`` from their file, or were rejected again, by reason;
        ``not_offered`` are mended rows that are not open (any more), or not chosen.

    Raises:
        DataError: a file cannot be read. MappingError: the mapping is wrong or does not fit a file.
        StoreError: the log takes nothing.
        UsageError: there are rows of files, and no mapping.
    """
    mended = None if mended_path is None else read_mended(mended_path)
    door = mapping_name and Door(load_mapping(mapping_name), settings.load_taxonomy(), settings.user_key_bytes())
    what = Retry(chosen, mended, door or None, before_ms)
    lines = lines_of(place for place, _ in what.offered(settings, live=False))
    if lines and what.door is None:
        rows = sum(map(len, lines.values()))
        remedy = "Give --mapping, or leave them out: --origin 'log/*'."
        raise UsageError(f"{rows:,} of the rows are from files, which are read by a mapping.", remedy)
    counts = Counter[str]()
    settle(settings, _retry_log(settings, what, counts))
    missing = _retry_files(settings, what, lines, counts)
    return _report(what, counts, {"missing": missing} if missing else {})


def retry_dead(settings: Settings, chosen: Chosen, mended_path: Path | None = None) -> Report:
    """The same of what workers gave up: each is sent to the log again, as a new entry. Without Spark.

    Args:
        settings: the settings.
        chosen: which open rows.
        mended_path: rows as ``mended.write_out`` writes them; None: as they were sent.

    Raises:
        StoreError: the log takes nothing. DataError: the file cannot be read.
    """
    what = Retry(chosen, None if mended_path is None else read_mended(mended_path), table=DEAD)
    counts = Counter[str]()
    settle(settings, _retry_log(settings, what, counts), what.table)
    return _report(what, counts, {})


def _report(what: Retry, counts: Counter[str], facts: dict[str, list[str]]) -> Report:
    if what.mended is not None and len(what.mended) > counts["offered"]:
        counts["not_offered"] = len(what.mended) - counts["offered"]
    rows = counts["entered"] + counts["sent"]
    return Report(JOB, rows, counts={name: n for name, n in counts.items() if n}, facts=facts)


# --- the live log ------------------------------------------------------------------------------------------------------


def _retry_log(settings: Settings, what: Retry, counts: Counter[str]) -> Iterator[Outcome]:
    """Send those that are events by now, and say what became of each.

    One that was an event all along, in another user's partition or under another field, goes where it should have been.
    """
    taxonomy = settings.load_taxonomy()
    rest = what.offered(settings, live=True)
    while own := list(itertools.islice(rest, ENTRIES)):
        counts["offered"] += len(own)
        judged = [(place, admit(_bytes(what, place, raw), taxonomy)) for place, raw in own]
        events = [(place, one) for place, one in judged if isinstance(one, Event)]
        if events:
            with connected(settings) as store:
                sent = send_once(store, meet_store(store, settings), events, settings.stream_max_events)
            counts.update(sent=sent, duplicates=len(events) - sent)
        for place, one in judged:
            if isinstance(one, Event):
                yield Outcome(place, one.id)
            else:
                counts[f"rejected_{one.reason}"] += 1
                yield Outcome(place, None, one.reason, one.detail)


def _bytes(what: Retry, place: Place, raw: bytes | None) -> bytes:
    return bytes_of(what.mended[place], "utf-8") if what.mended is not None else raw or b""


# --- files -------------------------------------------------------------------------------------------------------------


def _retry_files(settings: Settings, what: Retry, lines: Lines, counts: Counter[str]) -> list[str]:
    """Read rows again, add the events, settle the rows; returns the files that are missing."""
    missing = [] if what.mended else [origin for origin in lines if not Path(origin).exists()]
    lines = {origin: own for origin, own in lines.items() if origin not in missing}
    if not lines or what.door is None:
        return missing
    offered = sum(map(len, lines.values()))
    limits = _limits(settings, lines, what.before_ms)
    with spark_session(settings, "lambent retry") as spark, told_plainly():
        if what.mended is not None:
            rows = _read_mended(
                spark, what.door, [what.mended[Place(o, n, 0)] for o in lines for n in lines[o]], limits
            )
        else:
            check_files([Path(origin) for origin in lines], what.door.mapping, what.door.taxonomy, what.door.user_key)
            rows = _read_again(spark, what.door, lines, limits)
        answered = _enter(spark, settings, rows, counts)
    counts.update(offered=offered, gone=offered - answered)
    return missing


def _enter(spark: SparkSession, settings: Settings, rows: DataFrame, counts: Counter[str]) -> int:
    """Add the events among rows and settle all; returns how many rows there are."""
    rows = rows.persist()
    try:
        events = rows.where("event_id IS NOT NULL").count()
        if events:
            said = {"files": None, "before_ms": None}
            entered = write_events(spark, Target.find(settings), rows, said)
            counts.update(entered=entered, duplicates=events - entered)
        settle(settings, _outcomes(rows, counts))
        return rows.count()
    finally:
        rows.unpersist()


def _outcomes(rows: DataFrame, counts: Counter[str]) -> Iterator[Outcome]:
    for row in rows.select("origin", "line", "event_id", "reason", "detail").toLocalIterator():
        place = Place(row.origin, row.line, 0)
        if row.event_id is not None:
            yield Outcome(place, row.event_id)
        elif row.reason is not None:
            counts[f"rejected_{row.reason}"] += 1
            yield Outcome(place, None, row.reason, row.detail)
        else:
            counts["dropped"] += 1
            yield Outcome(place, DROPPED)


def _limits(settings: Settings, origins: Iterable[str], before_ms: int | None) -> Limits:
    """The given limit for all; where none is given, what the newest ingest of each file was told."""
    if before_ms is not None:
        return dict.fromkeys(origins, before_ms)
    table = open_table(settings.table(EVENTS))
    found: Limits = {}
    for commit in table.history() if table else ():
        said = msgspec.json.decode(commit.get("userMetadata") or "{}")
        for file in said.get("files") or ():
            found.setdefault(file["path"], said.get("before_ms"))
    return found


def _read_again(spark: SparkSession, door: Door, lines: Lines, limits: Limits) -> DataFrame:
    """Rows of ``ROW_COLUMNS`` at the lines of files."""

    def read(path: Path) -> Iterator[pa.RecordBatch]:
        origin = str(path)
        yield from _batches(
            (origin, row) for row in _in_time(at_lines(door.read(path), lines[origin]), limits.get(origin))
        )

    return one_a_task(spark, [Path(origin) for origin in lines], read)


def _read_mended(spark: SparkSession, door: Door, mended: Iterable[Mended], limits: Limits) -> DataFrame:
    """Rows of ``ROW_COLUMNS`` from mended texts."""
    import pyarrow as pa

    with RowReader(door) as reader:
        rows = ((one.origin, row) for one in mended for row in _in_time([reader.read(one)], limits.get(one.origin)))
        table = pa.Table.from_batches(list(_batches(rows)))
    return spark.createDataFrame(table, ddl(ROW_COLUMNS))


def _in_time(rows: Iterable[Row], before_ms: int | None) -> Iterator[Row]:
    """Rows, less the events that are for the live log."""
    for row in rows:
        late = row.event is not None and before_ms is not None and row.event.event_ms >= before_ms
        yield Row(row.line, None, LATER) if late else row


def _batches(rows: Iterable[tuple[str, Row]]) -> Iterator[pa.RecordBatch]:
    builder = RowBuilder(SOURCE_FILE)
    for origin, row in rows:
        if not add_row(builder, origin, row):
            builder.add_dropped(origin, row.line)  # a row each, so that it can be settled
        if len(builder) >= BATCH_ROWS:
            yield builder.batch()
    yield builder.batch()
