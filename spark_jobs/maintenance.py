"""Keeps the tables quick and small: files of a good size, nothing that nobody can ask for any more, a short log.

``events`` is clustered by user and time, what is known of users and products by its key, which only Spark does. The archiver's
tables are compacted by the day once a day is over, beside the archiver, which appends on: neither moves what the other
commits. ``training_sessions`` and a day of the ``catalogue`` are written anew by each build, ``profiles`` by each that finds it
worth while (``compact``); they need no compaction.

Every commit says again what the job before it said of the table, since the log forgets old commits (``last_metadata``).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lambent.errors import DataError
from lambent.settings import Settings
from lambent.tables import CATALOGUE, CLUSTERED_BY, DEAD, INTENTS, LOG, PROFILES, QUARANTINE, TRAINING_SESSIONS
from spark_jobs.commits import commits, last_metadata, open_table
from spark_jobs.needed import needed_versions
from spark_jobs.report import Report, Stopwatch, keep, run_job
from spark_jobs.session import spark_session

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable
    from pyspark.sql import SparkSession

JOB = "maintenance"
TABLES = (*CLUSTERED_BY, LOG, INTENTS, DEAD, QUARANTINE, CATALOGUE, PROFILES, TRAINING_SESSIONS)
BY_DAY = (LOG, INTENTS, DEAD)
WRITTEN_ANEW = (CATALOGUE, PROFILES, TRAINING_SESSIONS)

FILE_BYTES = 16 << 20
"""Of a clustered table: some half a million events. Small, since what a query saves is whole files."""
CLUSTER_BYTES = 1 << 30
"""Files that are clustered together; a group of this size is not rewritten again, which bounds what a run costs."""
LOG_DAYS = 30
"""Delta's own default; a table's log is kept so long at least, and twice as long as often as a version needs it."""
MARGIN_DAYS = 15
"""A version that is needed is in the log for this long beyond now: until the next run at the latest."""
DAY_MS = 86_400_000


@dataclasses.dataclass
class Upkeep:
    """One table on its way.

    Attributes:
        path: of the table.
        table: open at its newest version.
        needed: versions whose files have to stay.
        days: how long files stay that no newer version needs.
        said: what its commits say of it.
        counts: what was done, by name.
    """

    path: str
    table: DeltaTable
    needed: Sequence[int]
    days: int
    said: Mapping[str, Any]
    counts: Counter[str]

    @classmethod
    def find(cls, settings: Settings, name: str, needed: set[int]) -> Upkeep | None:
        """The table; None where there is none."""
        path = settings.table(name)
        table = open_table(path)
        if table is None:
            return None
        readable = sorted(version for version in needed if _can_be_read(path, version))
        return cls(path, table, readable, settings.retention_days, last_metadata(table), Counter())

    @property
    def properties(self) -> CommitProperties | None:
        """What each commit says."""
        from deltalake import CommitProperties

        return CommitProperties(custom_metadata={"userMetadata": json.dumps(self.said)}) if self.said else None

    def lasting(self, now_ms: int) -> dict[str, str]:
        """Delta's properties that keep files and log as long as they are needed, so far as the table has others."""
        oldest = min(self.needed, default=None)
        first_ms = now_ms if oldest is None else _committed_ms(self.table, oldest)
        log_days = LOG_DAYS
        while log_days < max(self.days, math.ceil((now_ms - first_ms) / DAY_MS) + MARGIN_DAYS):
            log_days *= 2
        wanted = {"deletedFileRetentionDuration": self.days, "logRetentionDuration": log_days}
        has = self.table.metadata().configuration
        default = {"deletedFileRetentionDuration": 7, "logRetentionDuration": LOG_DAYS}
        return {
            f"delta.{name}": f"interval {days} days"
            for name, days in wanted.items()
            if has.get(f"delta.{name}", f"interval {default[name]} days") != f"interval {days} days"
        }

    def doomed(self) -> list[str]:
        """Files, below the table's folder, that VACUUM may delete: old enough, and of no version that is needed."""
        found = self.table.vacuum(
            self.days * 24, dry_run=True, full=True, keep_versions=list(self.needed), enforce_retention_duration=False
        )
        return list(found)

    def shorten_log(self) -> None:
        """A checkpoint, and what the log keeps no longer."""
        self.table.update_incremental()
        self.table.create_checkpoint()
        self.table.cleanup_metadata()


def _can_be_read(path: str, version: int) -> bool:
    try:
        return open_table(path, version) is not None
    except Exception:  # its part of the log is gone, and with it the use of its files
        return False


def _committed_ms(table: DeltaTable, version: int) -> int:
    return next((int(one["timestamp"]) for one in commits(table) if one["version"] == version), 0)


# --- tables that deltalake can write -----------------------------------------------------------------------------------


def maintain_plain(upkeep: Upkeep, name: str, today: datetime.date, now_ms: int) -> None:
    """Compact, keep and let go of a table's files."""
    table = upkeep.table
    if name not in WRITTEN_ANEW:
        done = [("day", "<", today.isoformat())] if name in BY_DAY else None
        told = table.optimize.compact(partition_filters=done, commit_properties=upkeep.properties)
        upkeep.counts.update(compacted=told["numFilesRemoved"], written=told["numFilesAdded"])
    if lasting := upkeep.lasting(now_ms):
        table.alter.set_table_properties(lasting, commit_properties=upkeep.properties)
    if upkeep.doomed():
        deleted = table.vacuum(
            upkeep.days * 24,
            dry_run=False,
            full=True,
            keep_versions=list(upkeep.needed),
            enforce_retention_duration=False,
            commit_properties=upkeep.properties,
        )
        upkeep.counts.update(deleted=len(deleted))


# --- tables that only Spark can write -----------------------------------------------------------------------------------


def maintain_clustered(spark: SparkSession, upkeep: Upkeep, by: Sequence[str], now_ms: int) -> None:
    """Cluster, keep and let go of a table's files."""
    name = f"delta.`{upkeep.path}`"
    conf = {
        "spark.databricks.delta.optimize.maxFileSize": FILE_BYTES,
        "spark.databricks.delta.optimize.clustering.mergeStrategy.minCubeSize.threshold": CLUSTER_BYTES,
        "spark.databricks.delta.optimize.clustering.mergeStrategy.minCubeSize.targetCubeSize": CLUSTER_BYTES,
        "spark.databricks.delta.vacuum.logging.enabled": "false",  # it would be two versions for nothing new
        "spark.databricks.delta.retentionDurationCheck.enabled": "false",
        **({"spark.databricks.delta.commitInfo.userMetadata": json.dumps(upkeep.said)} if upkeep.said else {}),
    }
    with _told(spark, conf):
        if tuple(spark.sql(f"DESCRIBE DETAIL {name}").first()["clusteringColumns"]) != tuple(by):
            spark.sql(f"ALTER TABLE {name} CLUSTER BY ({', '.join(by)})")
        metrics = spark.sql(f"OPTIMIZE {name}").first()["metrics"]
        upkeep.counts.update(compacted=metrics["numFilesRemoved"], written=metrics["numFilesAdded"])
        if lasting := upkeep.lasting(now_ms):
            properties = ", ".join(f"'{key}' = '{value}'" for key, value in lasting.items())
            spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ({properties})")
        upkeep.table.update_incremental()
        if doomed := upkeep.doomed():
            _vacuum(spark, upkeep, doomed)
            upkeep.counts.update(deleted=len(doomed))


def _vacuum(spark: SparkSession, upkeep: Upkeep, doomed: Sequence[str]) -> None:
    """Delete these files, so far as Spark takes them for unused too."""
    folder = spark._jvm.org.apache.hadoop.fs.Path(upkeep.path)
    whole = folder.getFileSystem(spark._jsc.hadoopConfiguration()).makeQualified(folder).toString()  # such as file:/…
    rows = [(f"{whole}/{path}", 0, False, 0) for path in doomed]
    inventory = spark.createDataFrame(rows, "path STRING, length BIGINT, isDir BOOLEAN, modificationTime BIGINT")
    inventory.createOrReplaceTempView("doomed")
    spark.sql(f"VACUUM delta.`{upkeep.path}` USING INVENTORY (SELECT * FROM doomed) RETAIN {upkeep.days * 24} HOURS")
    spark.catalog.dropTempView("doomed")


@contextlib.contextmanager
def _told(spark: SparkSession, conf: Mapping[str, Any]) -> Iterator[None]:
    """The session, told so; afterwards as it was."""
    before = {key: spark.conf.get(key, None) for key in conf}
    for key, value in conf.items():
        spark.conf.set(key, str(value))
    try:
        yield
    finally:
        for key, value in before.items():
            spark.conf.unset(key) if value is None else spark.conf.set(key, value)


# --- one run -----------------------------------------------------------------------------------------------------------


def maintain(settings: Settings) -> Report:
    """Maintain every table that is there, and keep the report.

    Returns:
        By table: small files that were ``compacted`` into so many ``written``, unused ones ``deleted``; ``needed`` are the
        versions that were spared.

    Raises:
        DataError: another job has rewritten a table in the meantime.
    """
    watch, report = Stopwatch(), Report(JOB)
    needed = needed_versions(settings)
    now = datetime.datetime.now(datetime.UTC)
    for name in TABLES:
        upkeep = Upkeep.find(settings, name, needed.get(name, set()))
        if upkeep is None:
            continue
        with _one_at_a_time(name):
            _maintain(settings, name, upkeep, now)
        report.counts.update({f"{name}_{what}": count for what, count in upkeep.counts.items()})
        report.rows += upkeep.counts["written"]
        report.facts[f"{name}_needed"] = list(upkeep.needed)
    report.seconds = watch.seconds
    keep(settings, report)
    return report


def _maintain(settings: Settings, name: str, upkeep: Upkeep, now: datetime.datetime) -> None:
    now_ms = int(now.timestamp() * 1_000)
    if name in CLUSTERED_BY:
        with spark_session(settings, "lambent maintenance") as spark:
            maintain_clustered(spark, upkeep, CLUSTERED_BY[name], now_ms)
    else:
        maintain_plain(upkeep, name, now.date(), now_ms)
    upkeep.shorten_log()


@contextlib.contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    from deltalake.exceptions import CommitFailedError

    try:
        yield
    except CommitFailedError as error:
        raise DataError(f"Another job has rewritten {name} in the meantime ({error}).", "Run this again.") from error


def main(argv: Sequence[str] | None = None) -> int:
    """``spark-submit maintenance.py``."""
    argparse.ArgumentParser(prog=JOB, description=__doc__).parse_args(argv)
    return run_job(maintain)


if __name__ == "__main__":
    raise SystemExit(main())
