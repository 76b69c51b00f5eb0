"""The snapshot (V, T): which events a build sees, encoded and marked as the fold marks them, by column expressions alone."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from lambent.encoding import encoded_sql
from lambent.errors import UsageError
from lambent.sessions import IN_LOG_ORDER, marks_sql, previous_clock_sql
from lambent.settings import Settings
from lambent.tables import EVENTS, SOURCE_FILE
from lambent.taxonomy import Taxonomy
from spark_jobs.commits import Metadata, last_metadata, need_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

IDENTITY = ("user", "source", "seq", "event_id")
"""What orders a user's events, besides ``ingest_ms``."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """(V, T).

    Attributes:
        events_version: V, of the table ``events``.
        cutoff_ms: T, on the ingest clock: live events with ``ingest_ms`` at T or later are left out.
    """

    events_version: int
    cutoff_ms: int

    def metadata(self, features_hash: str) -> Metadata:
        """What the commit of a table that was built from the snapshot says."""
        return {"events_version": self.events_version, "cutoff_ms": self.cutoff_ms, "features": features_hash}


def choose(settings: Settings, version: int | None = None, cutoff_ms: int | None = None) -> Snapshot:
    """A snapshot that keeps the law.

    Args:
        settings: give the table and the tile width.
        version: V; None: the newest.
        cutoff_ms: T; None: the archive's watermark, aligned down to the tile width.

    Raises:
        DataError: there is no such version of ``events``.
        UsageError: T is after the watermark, or not a multiple of the tile width.
    """
    table = need_table(settings.table(EVENTS), "Run lambent ingest first.", version)
    watermark_ms = int(last_metadata(table).get("watermark_ms") or 0)
    aligned_ms = watermark_ms // settings.tile_ms * settings.tile_ms
    if cutoff_ms is None:
        cutoff_ms = aligned_ms
    if cutoff_ms % settings.tile_ms:
        raise UsageError(f"The cut-off {cutoff_ms} is not a multiple of the tile width, {settings.tile_ms} ms.")
    if cutoff_ms > aligned_ms:
        remedy = "Ingest the log first, or leave the cut-off out."
        raise UsageError(f"The cut-off {cutoff_ms} is after the archive's watermark, {watermark_ms}.", remedy)
    return Snapshot(table.version(), cutoff_ms)


def events_of(spark: SparkSession, settings: Settings, snapshot: Snapshot) -> DataFrame:
    """The events that the snapshot sees, as they are in the table."""
    reader = spark.read.format("delta").option("versionAsOf", snapshot.events_version)
    return included(reader.load(settings.table(EVENTS)), snapshot.cutoff_ms)


def included(events: DataFrame, cutoff_ms: int) -> DataFrame:
    """Those from files, and the live ones that the log took before T."""
    return events.where(f"source = {SOURCE_FILE} OR ingest_ms < {cutoff_ms}L")


def encoded(events: DataFrame, taxonomy: Taxonomy) -> DataFrame:
    """Events as numbers (``encoding.EVENT_DTYPE`` less ``id`` and the marks), with what orders them."""
    columns = (f"{sql} AS {name}" for name, sql in encoded_sql(taxonomy).items())
    return events.selectExpr(*IDENTITY, *columns)


def marked(events: DataFrame) -> DataFrame:
    """Encoded events with ``opens``, ``late``, and the user's ``clock_ms``, since the last silence beyond the horizon.

    One shuffle, by user; all windows share its order.
    """
    clocked = events.selectExpr("*", f"{previous_clock_sql()} AS previous_clock_ms")
    with_marks = clocked.selectExpr("*", *(f"{sql} AS {name}" for name, sql in marks_sql().items()))
    so_far = f"sum(CAST(expired AS INT)) OVER ({IN_LOG_ORDER} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    lives = with_marks.selectExpr("*", f"{so_far} AS life")
    whole = lives.selectExpr(
        "*", "max(life) OVER (PARTITION BY user) AS last_life", "max(t_ms) OVER (PARTITION BY user) AS clock_ms"
    )
    return whole.where("life = last_life").select(*events.columns, "opens", "late", "clock_ms")
