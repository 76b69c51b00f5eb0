"""The snapshot (V, T): which events, and which state of the users, a build sees, which are new since another, and the events as numbers."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from lambent.encoding import encoded_sql
from lambent.errors import UsageError
from lambent.sessions import IN_LOG_ORDER
from lambent.settings import Settings
from lambent.tables import EVENT_COLUMNS, EVENTS, SOURCE_FILE, SOURCE_LIVE, USERS
from lambent.taxonomy import Taxonomy
from spark_jobs.commits import Metadata, last_metadata, load_table, need_table, open_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

NO_USERS = -1
"""Version of a table ``users`` that is not there."""


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """(V, T).

    Attributes:
        events_version: V, of the table ``events``.
        cutoff_ms: T, on the ingest clock: live events with ``ingest_ms`` at T or later are left out.
        users_version: of the table ``users``; ``NO_USERS`` where there is none.
    """

    events_version: int
    cutoff_ms: int
    users_version: int = NO_USERS

    @classmethod
    def told(cls, said: Metadata) -> Snapshot:
        """What such a commit has said."""
        return cls(said["events_version"], said["cutoff_ms"], said.get("users_version", NO_USERS))

    def metadata(self, features_hash: str) -> Metadata:
        """What the commit of a table that was built from the snapshot says."""
        users = {} if self.users_version == NO_USERS else {"users_version": self.users_version}
        return {"events_version": self.events_version, "cutoff_ms": self.cutoff_ms, **users, "features": features_hash}


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
    users = open_table(settings.table(USERS))
    return Snapshot(table.version(), cutoff_ms, users.version() if users else NO_USERS)


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of jobs that read a snapshot."""
    parser.add_argument("--events-version", type=int, metavar="V", help="version of events; default: the newest")
    parser.add_argument(
        "--cutoff-ms", type=int, metavar="T", help="cut-off on the ingest clock; default: the watermark's"
    )


def included(events: DataFrame, cutoff_ms: int) -> DataFrame:
    """Those from files, and the live ones that the log took before T."""
    return events.where(f"source = {SOURCE_FILE} OR ingest_ms < {cutoff_ms}L")


def added_since(spark: SparkSession, path: str, old: Snapshot, new: Snapshot) -> DataFrame:
    """Events that ``new`` sees and ``old`` does not, of ``EVENT_COLUMNS``.

    They were added to the table after V, or lie between the cut-offs on the ingest clock. Reading them fails where a
    version since ``old`` is vacuumed (``is_vacuumed``).
    """
    held_back = f"source = {SOURCE_LIVE} AND ingest_ms >= {old.cutoff_ms}L AND ingest_ms < {new.cutoff_ms}L"
    rows = load_table(spark, path, old.events_version).where(held_back)
    if new.events_version > old.events_version:
        changes = spark.read.format("delta").option("readChangeFeed", "true")
        span = changes.option("startingVersion", old.events_version + 1).option("endingVersion", new.events_version)
        rows = rows.unionByName(included(span.load(path), new.cutoff_ms).select(*EVENT_COLUMNS))
    return rows


def is_vacuumed(error: Exception) -> bool:
    """Whether a read has failed because its version's files, or its part of the table's log, are cleaned up."""
    return any(sign in str(error) for sign in ("FILE_NOT_EXIST", "FileNotFoundException", "DELTA_FILE_NOT_FOUND"))


def encoded(events: DataFrame, taxonomy: Taxonomy, **also: str) -> DataFrame:
    """Events as numbers (``encoding.EVENT_DTYPE`` less ``id`` and the marks), with what orders them.

    Args:
        events: of ``EVENT_COLUMNS``.
        taxonomy: gives the codes of the types.
        also: more columns, by name as SQL.
    """
    numbers = encoded_sql(taxonomy) | also
    order = [name for name in IN_LOG_ORDER if name not in numbers]
    return events.selectExpr(*order, *(f"{sql} AS {name}" for name, sql in numbers.items()))
