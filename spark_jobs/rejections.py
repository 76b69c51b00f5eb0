"""How rejections enter the table ``quarantine``: each once, however often it is met."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambent.settings import Settings
from lambent.tables import QUARANTINE, QUARANTINE_COLUMNS
from spark_jobs.commits import append, open_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PLACE = ("origin", "line", "seq", "reason", "detail")
"""What names a rejection: its place, and why, since a file can change under its name."""


def new_rejections(rows: DataFrame, quarantine: DataFrame | None) -> DataFrame:
    """Rejections of ``QUARANTINE_COLUMNS`` that the table does not have."""
    rejected = rows.where("reason IS NOT NULL").select(*QUARANTINE_COLUMNS).dropDuplicates(list(PLACE))
    if quarantine is None:
        return rejected
    return rejected.join(quarantine.select(*PLACE), list(PLACE), "left_anti").select(*QUARANTINE_COLUMNS)


def read_refused(spark: SparkSession, settings: Settings, name: str = QUARANTINE) -> DataFrame | None:
    """The table ``quarantine`` or ``dead``; None where there is none."""
    path = settings.table(name)
    return spark.read.format("delta").load(path) if open_table(path) else None


def quarantine_new(settings: Settings, rows: DataFrame) -> None:
    """Append those rejections among rows that are not there."""
    append(new_rejections(rows, read_refused(rows.sparkSession, settings)), settings.table(QUARANTINE), {})
