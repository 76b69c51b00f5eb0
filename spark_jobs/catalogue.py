"""Builds ``catalogue``: what all shoppers did with each product and category before a day began, as smoothed rates.

Spark counts visits; what is left, a row a product and category, is summed up and smoothed in numpy. A day goes on from
the day before it, unless events have become known since that would have counted there: then all history is counted again.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lambent.encoding import encoded_sql
from lambent.errors import DataError, UsageError
from lambent.settings import Settings
from lambent.tables import CATALOGUE, CATALOGUE_COLUMNS, EVENTS
from lambent.taxonomy import Taxonomy
from spark_jobs.catalogue_rows import (
    CODES,
    DAY_MS,
    DECAYED,
    SUMS_DTYPE,
    Sums,
    added_up,
    day_number,
    day_of,
    from_arrow,
    to_arrow,
)
from spark_jobs.commits import last_metadata, load_table, need_table, open_table, replace_days
from spark_jobs.report import Report, Stopwatch, keep, run_job
from spark_jobs.session import spark_session

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame

JOB = "catalogue"
AT_ONCE = 31
"""Days that are built, and in memory, together."""

# --- pure DataFrame functions ------------------------------------------------------------------------------------------


def daily_sums(events: DataFrame, taxonomy: Taxonomy, first: int) -> DataFrame:
    """One row a kind, hash and day of the log: what came on that day, of ``catalogue_rows.SUMS_DTYPE``.

    Args:
        events: of ``tables.EVENT_COLUMNS``.
        taxonomy: the domain.
        first: a day's number; what came before counts to the day before it.
    """
    from pyspark.sql import functions as F

    number = encoded_sql(taxonomy)
    rows = events.selectExpr(
        "user", f"ingest_ms div {DAY_MS} AS visit", f"greatest(ingest_ms div {DAY_MS}, {first - 1}) AS day", "type",
        f"{number['product']} AS product", f"{number['category']} AS category", "ingest_ms", "seq", "event_id", "price",
    )  # fmt: skip
    of = zip(CODES, ("0L", "category", "product"), ("0L", "0L", "category"), strict=True)
    named = ", ".join(f"struct('{kind}' AS kind, {hash} AS hash, {parent} AS parent)" for kind, hash, parent in of)
    each = rows.selectExpr("*", f"inline(array({named}))").where(f"kind = '{CODES[0]}' OR hash <> 0")
    visits = each.groupBy("kind", "hash", "day", "visit", "user").agg(
        F.count("*").alias("events"),
        *(F.expr(f"int(max(type = '{name}'))").alias(name) for name in ("view", "cart", "purchase")),
        *(F.expr(_decayed(of, days)).alias(name) for name, (of, days) in DECAYED.items()),
        F.expr("max(struct(ingest_ms, seq, event_id, parent)) FILTER (WHERE parent <> 0)").alias("newest"),
    )
    return visits.groupBy("kind", "hash", "day").agg(
        *(F.sum(name).alias(name) for name in ("events", *DECAYED)),
        *(F.expr(f"sum({both})").alias(name) for name, both in _counted().items()),
        F.expr("max(newest).parent").alias("parent"),
    )


def _decayed(of: str, half_life_days: float) -> str:
    return f"coalesce(sum({of} * pow(2D, (ingest_ms / {DAY_MS}D - day - 1) / {half_life_days})), 0D)"


def _counted() -> dict[str, str]:
    return {
        "viewed": "view", "carted": "cart", "viewed_carted": "view * cart", "viewed_bought": "view * purchase",
        "carted_bought": "cart * purchase",
    }  # fmt: skip


# --- one run -----------------------------------------------------------------------------------------------------------


def build(settings: Settings, day: datetime.date | None = None) -> Report:
    """Build one day, or all that are missing, and keep the report. A day that is built again is replaced.

    Args:
        settings: the settings.
        day: None: all days from the last one that holds, up to today or the day after the newest event.

    Raises:
        DataError: there are no events, or the log is not archived up to the day's start.
    """
    watch = Stopwatch()
    events_table = need_table(settings.table(EVENTS), "Run lambent ingest first.")
    watermark_ms = int(last_metadata(events_table).get("watermark_ms") or 0)
    report = Report(JOB, facts={"events_version": events_table.version()})
    with spark_session(settings, "lambent catalogue") as spark:
        events = load_table(spark, settings.table(EVENTS), events_table.version())
        first, last = (day_number(day),) * 2 if day else _missing(settings, events)
        if watermark_ms and watermark_ms < last * DAY_MS:
            cause = f"The log is not archived up to the start of {day_of(last)}."
            raise DataError(cause, "Ingest it first: lambent ingest --log; or build an earlier day.")
        for start in range(first, last + 1, AT_ONCE):
            report.rows += _build(settings, events, start, min(start + AT_ONCE - 1, last))
    report.facts |= {"days": max(last - first + 1, 0), "day": str(day_of(last))}
    report.seconds = watch.seconds
    keep(settings, report)
    return report


def _build(settings: Settings, events: DataFrame, first: int, last: int) -> int:
    """Build some days in one commit; returns how many rows they have."""
    import pyarrow as pa

    base = read_day(settings, first - 1)
    before = _events_before(events, first - 1)
    came = events.where(f"ingest_ms < {last * DAY_MS}L")
    if base is None or _events_of(base) != before:
        base = np.zeros(0, SUMS_DTYPE)
    else:
        came = came.where(f"ingest_ms >= {(first - 1) * DAY_MS}L")
    daily: pa.Table = daily_sums(came, settings.load_taxonomy(), first).toArrow()
    rows = pa.concat_tables([to_arrow(number, sums) for number, sums in added_up(base, daily, first, last)])
    replace_days(rows, settings.table(CATALOGUE), str(day_of(first)), str(day_of(last)))
    return rows.num_rows


def open_catalogue(settings: Settings) -> DeltaTable | None:
    """The table; None where there is none.

    Raises:
        DataError: it is of a version that knew other things.
    """
    table = open_table(path := settings.table(CATALOGUE))
    if table is not None and {field.name for field in table.schema().fields} != CATALOGUE_COLUMNS.keys():
        raise DataError(f"{path} has other columns than this version's.", "Delete it, and run lambent batch catalogue.")
    return table


def read_day(settings: Settings, number: int) -> Sums | None:
    """The sums of a day; None where it is not built."""
    import pyarrow.compute as pc

    table = open_catalogue(settings)
    if table is None:
        return None
    rows = table.to_pyarrow_dataset().to_table(filter=pc.field("day") == day_of(number))
    return from_arrow(rows) if rows.num_rows else None


def newest_day(settings: Settings) -> datetime.date | None:
    """The last day that is built."""
    table = open_catalogue(settings)
    days = table.partitions() if table else []
    return max((datetime.date.fromisoformat(str(one["day"])) for one in days), default=None)


def _missing(settings: Settings, events: DataFrame) -> tuple[int, int]:
    """First and last day to build: after the last one that still says what is known, else from the first event on."""
    newest = newest_day(settings)
    row = events.selectExpr("min(ingest_ms) AS first", "max(ingest_ms) AS last").first()
    if row["first"] is None:
        raise DataError("There are no events.", "Run lambent ingest first.")
    today = day_number(datetime.datetime.now(datetime.UTC).date())
    last = min(row["last"] // DAY_MS + 1, today)
    built = read_day(settings, day_number(newest)) if newest else None
    if newest is not None and built is not None and _events_of(built) == _events_before(events, day_number(newest)):
        return day_number(newest) + 1, last
    return row["first"] // DAY_MS + 1, last


def _events_of(sums: Sums) -> int:
    return int(sums["events"][sums["key"] == 0].sum())


def _events_before(events: DataFrame, number: int) -> int:
    return events.where(f"ingest_ms < {number * DAY_MS}L").count()


def parse_day(text: str) -> datetime.date:
    """A day.

    Raises:
        UsageError: it is none.
    """
    try:
        return datetime.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a day.", "Write it as 2025-01-31.") from error


def main(argv: Sequence[str] | None = None) -> int:
    """``spark-submit catalogue.py [--day YYYY-MM-DD]``."""
    parser = argparse.ArgumentParser(prog=JOB, description=__doc__)
    parser.add_argument("--day", default="", metavar="YYYY-MM-DD", help="only this day; empty: all that are missing")
    given = parser.parse_args(argv)
    return run_job(lambda settings: build(settings, parse_day(given.day) if given.day else None))


if __name__ == "__main__":
    raise SystemExit(main())
