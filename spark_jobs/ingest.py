"""Files and the archived log become distinct ``events``, and what is no event goes to the ``quarantine``.

Exactly once, wherever a run stops: an event is known again by its id, a rejection by its place, and the commit of
``events`` says up to which version ``log`` is consumed. Of two copies the first in the log's order counts; a copy of an
event that the table has already is left out, whenever it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.cli import Command
from lambent.dimensions import DIMENSIONS
from lambent.errors import DataError, UsageError
from lambent.settings import Settings
from lambent.tables import CLUSTERED_BY, DEAD, EVENT_COLUMNS, EVENTS, QUARANTINE
from lambent.utc import parse_time
from spark_jobs.commits import Metadata, append, create_clustered, last_metadata, load_table, open_table
from spark_jobs.products import with_products
from spark_jobs.rejections import quarantine_new, read_refused
from spark_jobs.report import Report, Stopwatch, keep, run_job
from spark_jobs.session import spark_session, told_plainly

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

JOB = "ingest"
WRITER = "lambent-ingest"
"""The Delta application of every commit to ``events``: two ingests at once cannot both append."""


# --- pure functions over rows ------------------------------------------------------------------------------------------


def first_copies(rows: DataFrame, known_ids: DataFrame | None) -> DataFrame:
    """Events of ``EVENT_COLUMNS``: the first copy of each in the log's order, less those that are known.

    Args:
        rows: of ``ROW_COLUMNS``.
        known_ids: ``event_id`` of the events that the table has; None if it is empty.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    order = Window.partitionBy("event_id").orderBy("source", "ingest_ms", "seq", "origin", "line")
    events = rows.where("event_id IS NOT NULL")
    if known_ids is not None:
        events = events.join(known_ids, "event_id", "left_anti")
    return events.withColumn("copy", F.row_number().over(order)).where("copy = 1").select(*EVENT_COLUMNS)


def count_rows(rows: DataFrame) -> dict[str, int]:
    """How many events, rejections by reason, and rows dropped on purpose there are among ``rows``, by name."""
    kind = "CASE WHEN event_id IS NOT NULL THEN 'read' ELSE coalesce('rejected_' || reason, 'dropped') END AS kind"
    number = "CASE WHEN event_id IS NULL AND reason IS NULL THEN line ELSE 1 END AS number"
    totals = rows.selectExpr(kind, number).groupBy("kind").sum("number").collect()
    return {kind: number for kind, number in totals if number}


# --- one run -----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Target:
    """``events`` as a run finds it.

    Attributes:
        settings: where the tables are.
        version: of ``events``, that the run knows; -1 if there was none.
        runs: number of the last run of ``WRITER`` in that version. It, and not the version, says that no other ingest came
            between: maintenance makes versions too.
        metadata: of its newest commit.
    """

    settings: Settings
    version: int
    runs: int
    metadata: Metadata

    @classmethod
    def find(cls, settings: Settings) -> Target:
        """Look at the table, without a JVM."""
        table = open_table(settings.table(EVENTS))
        runs = table.transaction_version(WRITER) if table else None
        return cls(settings, table.version() if table else -1, runs or 0, last_metadata(table))


def write_rows(spark: SparkSession, target: Target, rows: DataFrame, metadata: Metadata) -> Report:
    """Write the new ones among rows of ``ROW_COLUMNS``: rejections first, so that a run that stops between is repeated.

    Args:
        spark: the session.
        target: what the run has found.
        rows: read from files or the log; computed once.
        metadata: what the commit of ``events`` says besides what it carries on.
    """
    rows = rows.persist()
    try:
        counts = count_rows(rows)
        if any(name.startswith("rejected") for name in counts):
            quarantine_new(target.settings, rows)
        written = write_events(spark, target, rows, metadata)
    finally:
        rows.unpersist()
    counts["duplicates"] = counts.get("read", 0) - written
    return Report(JOB, written, counts=counts)


def write_events(spark: SparkSession, target: Target, rows: DataFrame, metadata: Metadata) -> int:
    """Append the new events among rows of ``ROW_COLUMNS``; returns how many. ``metadata``: as for ``write_rows``.

    Raises:
        DataError: another ingest has written in the meantime.
    """
    path, run = target.settings.table(EVENTS), uuid.uuid4().hex
    known = None
    if target.version < 0:
        create_clustered(spark, path, EVENT_COLUMNS, CLUSTERED_BY[EVENTS])
    else:
        known = load_table(spark, path, target.version).select("event_id")
    said = {**target.metadata, **metadata, "run": run}
    rows = with_products(first_copies(rows, known), target.settings)
    append(rows, path, said, (WRITER, target.runs + 1))
    table = open_table(path)
    commits = table.history(8) if table else []
    # An OPTIMIZE in between says again what the newest commit said.
    own = next((one for one in commits if one["operation"] == "WRITE" and run in one.get("userMetadata", "")), None)
    if own is None:
        raise DataError(
            "Another ingest has written to events in the meantime; this one wrote nothing.", "Run it again."
        )
    return int(own["operationMetrics"]["numOutputRows"])


def ingest_files(settings: Settings, paths: Sequence[Path], mapping_name: str, before_ms: int | None = None) -> Report:
    """Add the events of files.

    Args:
        settings: the settings.
        paths: files that every executor can read.
        mapping_name: a shipped mapping's name, or the path of one.
        before_ms: only events with ``event_ms`` below; None: all.

    Raises:
        DataError: a file cannot be read. MappingError: the mapping is wrong or does not fit a file.
    """
    from lambent.mapping import load_mapping
    from spark_jobs.files import check_files, read_files

    mapping, taxonomy = load_mapping(mapping_name), settings.load_taxonomy()
    paths, user_key = [path.expanduser().resolve() for path in paths], settings.user_key_bytes()
    check_files(paths, mapping, taxonomy, user_key)
    with spark_session(settings, "lambent ingest") as spark, told_plainly():
        rows = read_files(spark, paths, mapping, taxonomy, user_key)
        if before_ms is not None:
            rows = rows.where(f"event_ms < {before_ms}L OR event_id IS NULL")
        said = {"files": [describe(path) for path in paths], "before_ms": before_ms}
        return write_rows(spark, Target.find(settings), rows, said)


def describe(path: Path) -> dict[str, Any]:
    """What names a file's content well enough to see that it was read before."""
    stat = path.stat()
    return {"path": str(path), "bytes": stat.st_size, "modified_ms": stat.st_mtime_ns // 1_000_000}


def ingest_log(settings: Settings) -> Report:
    """Add the events that the archiver has appended to ``log`` since the last run."""
    from spark_jobs.log import find_new, read_log, without

    target = Target.find(settings)
    new = find_new(settings, target.metadata.get("log_version"))
    if new is None or new.version == target.metadata.get("log_version"):
        return Report(JOB, facts=_log_facts(target.metadata))
    said = {"log_version": new.version, "watermark_ms": new.watermark_ms, "files": None, "before_ms": None}
    with spark_session(settings, "lambent ingest") as spark, told_plainly():
        rows = read_log(spark, new, settings.load_taxonomy())
        for name in (QUARANTINE, DEAD):
            if (refused := read_refused(spark, settings, name)) is not None:
                rows = without(rows, refused)
        report = write_rows(spark, target, rows, said)
    report.facts = _log_facts(said)
    return report


def ingest_new_log(settings: Settings) -> Report:
    """``ingest_log``, timed and with its report kept."""
    return timed(settings, lambda: ingest_log(settings))


def timed(settings: Settings, job: Callable[[], Report]) -> Report:
    """Run a job, say how long it took, and keep its report."""
    watch = Stopwatch()
    report = job()
    report.seconds = watch.seconds
    keep(settings, report)
    return report


def _log_facts(metadata: Metadata) -> Metadata:
    return {name: metadata.get(name, 0) for name in ("log_version", "watermark_ms")}


# --- the command -------------------------------------------------------------------------------------------------------


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``lambent ingest``."""
    parser.add_argument("file", nargs="*", type=Path, help="CSV, JSON lines or Parquet, compressed or not")
    parser.add_argument("--mapping", help="how to read them: a shipped mapping's name, or a TOML file")
    parser.add_argument(
        "--before", metavar="TIME", help="only events before this time (ISO 8601; UTC if it does not say)"
    )
    parser.add_argument("--log", action="store_true", help="the archived log instead of files")
    parser.add_argument(
        "--into",
        choices=(EVENTS, *DIMENSIONS),
        default=EVENTS,
        help="what the files' rows are of (default: %(default)s)",
    )
    parser.add_argument(
        "--as-of", metavar="TIME", help="of users and products: when the files were so; default: as their rows say"
    )


def ingest(arguments: argparse.Namespace, settings: Settings) -> Report:
    """Do what the arguments say, and keep the report.

    Raises:
        UsageError: they contradict each other.
    """
    if arguments.log == bool(arguments.file):
        raise UsageError("Name files to ingest, or --log, and not both.", "See lambent ingest --help.")
    if arguments.log:
        return ingest_new_log(settings)
    if not arguments.mapping:
        raise UsageError("Files need --mapping.", "Shipped: lambent, rees46, taobao; or write a TOML file.")
    if arguments.into != EVENTS:
        return timed(settings, lambda: _into_dimension(arguments, settings))
    if arguments.as_of:
        raise UsageError("--as-of is for users and products.", "Events say themselves when they happened.")
    before_ms = parse_time(arguments.before) if arguments.before else None
    return timed(settings, lambda: ingest_files(settings, arguments.file, arguments.mapping, before_ms))


def _into_dimension(arguments: argparse.Namespace, settings: Settings) -> Report:
    from spark_jobs.dimensions import ingest_dimension

    if arguments.before:
        raise UsageError("--before is for events.", "Give --as-of TIME, or name the column as_of_ms.")
    as_of_ms = parse_time(arguments.as_of) if arguments.as_of else None
    return ingest_dimension(settings, DIMENSIONS[arguments.into], arguments.file, arguments.mapping, as_of_ms)


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """``lambent ingest``."""
    report = ingest(arguments, settings)
    if not arguments.json:
        print(report.sentence())
    return report.flat()


COMMAND = Command(
    help="read logs of events into the tables",
    description="Reads files by a mapping, or the archived log, into the Delta tables events and quarantine. "
    "What is there already is not added again. "
    "With --into, files say what is known of users or products, and as of when.",
    examples=[
        ("lambent ingest 2019-Oct.csv.gz --mapping rees46", "a file, by a shipped mapping"),
        ("lambent ingest shop.jsonl --mapping shop.toml --before 2024-05-01", "what happened before May"),
        ("lambent ingest items.csv --mapping items.toml --into products --as-of 2024-05-01", "what is sold"),
        ("lambent ingest --log", "what the archiver has added since the last time"),
    ],
    configure=configure,
    run=run,
)


def main(argv: Sequence[str] | None = None) -> int:
    """``spark-submit ingest.py …``: as the command, and prints the report as one line of JSON."""
    parser = argparse.ArgumentParser(prog=JOB, description=COMMAND.description)
    configure(parser)
    arguments = parser.parse_args(argv)
    return run_job(lambda settings: ingest(arguments, settings))


if __name__ == "__main__":
    raise SystemExit(main())
