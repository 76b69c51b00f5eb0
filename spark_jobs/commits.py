"""Delta tables as the jobs see them: schemas from the declarations, and what each commit says of itself.

A commit's user metadata is one JSON object. Looking at a table needs no JVM: ``deltalake`` reads the log.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lambent.errors import DataError, UnwritableError

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame, SparkSession

SQL_TYPES = {
    "string": "STRING",
    "binary": "BINARY",
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int32": "INT",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "date32": "DATE",
    "map<string,string>": "MAP<STRING, STRING>",
    "list<float>": "ARRAY<FLOAT>",
    "list<double>": "ARRAY<DOUBLE>",
    "list<int64>": "ARRAY<BIGINT>",
    "list<int32>": "ARRAY<INT>",
    "list<int8>": "ARRAY<TINYINT>",
}
"""Spark's name for each of Arrow's that ``lambent.tables`` uses."""

Metadata = dict[str, Any]
SUPERSEDED = "superseded"
"""In a commit's metadata: so many rows of the table do not count, since there are newer ones in their place."""


def ddl(columns: Mapping[str, str]) -> str:
    """A schema as Spark reads it."""
    return ", ".join(f"`{name}` {SQL_TYPES[kind]}" for name, kind in columns.items())


def open_table(path: str, version: int | None = None) -> DeltaTable | None:
    """The table, read without a JVM; None where there is none."""
    from deltalake import DeltaTable

    return DeltaTable(path, version=version) if DeltaTable.is_deltatable(path) else None


def need_table(path: str, remedy: str, version: int | None = None) -> DeltaTable:
    """The table.

    Args:
        path: folder or URL.
        remedy: what to do where it is missing.
        version: None is the newest.

    Raises:
        DataError: there is no such table, or no such version of it.
    """
    try:
        table = open_table(path, version)
    except Exception as error:
        raise DataError(f"{path} has no version {version} that can be read ({error}).", remedy) from error
    if table is None:
        raise DataError(f"There is no table {path}.", remedy)
    return table


def load_table(spark: SparkSession, path: str, version: int) -> DataFrame:
    """The rows of one version of a table."""
    return spark.read.format("delta").option("versionAsOf", version).load(path)


def commits(table: DeltaTable) -> Iterator[Metadata]:
    """The commits that made a table what it is, newest first, each with its ``version``."""
    seen = 0
    for most in (8, None):  # the whole history is seldom needed
        listed = _history(table, most)[seen:]
        seen += len(listed)
        yield from listed


def _history(table: DeltaTable, most: int | None) -> list[Metadata]:
    """``deltalake`` lists commits from the newest of all, but counts them down from the version that was opened."""
    from deltalake import DeltaTable

    while True:
        newest = DeltaTable(table.table_uri)
        later = newest.version() - table.version()
        listed = newest.history(most and later + most)
        if DeltaTable(table.table_uri).version() == newest.version():  # or another commit came in between
            return listed[later:]


def last_metadata(table: DeltaTable | None) -> Metadata:
    """The metadata of the newest commit that has any: of a job, not of an OPTIMIZE after it. Empty if there is none."""
    said = (commit.get("userMetadata") for commit in (commits(table) if table else ()))
    return json.loads(next(filter(None, said), "{}"))


def count_rows(table: DeltaTable) -> int:
    """How many rows of a table count."""
    return int(table.count()) - int(last_metadata(table).get(SUPERSEDED, 0))


def create_clustered(spark: SparkSession, path: str, columns: Mapping[str, str], by: Sequence[str]) -> None:
    """Make an empty table clustered by some columns, that says what was added between two versions; unless it is there."""
    from delta.tables import DeltaTable as SparkTable

    empty = spark.createDataFrame([], ddl(columns))
    table = SparkTable.createIfNotExists(spark).location(path).addColumns(empty.schema).clusterBy(*by)
    with writing(path):
        table.property("delta.enableChangeDataFeed", "true").execute()


def append(rows: DataFrame, path: str, metadata: Metadata, transaction: tuple[str, int] | None = None) -> None:
    """Append rows in one commit.

    Args:
        rows: exactly the table's columns.
        path: folder or URL; the table is made where there is none.
        metadata: what the commit says of itself.
        transaction: application and version; Delta skips, silently, a version that is not above the last one.
    """
    writer = rows.write.format("delta").mode("append").option("userMetadata", json.dumps(metadata))
    if transaction:
        writer = writer.option("txnAppId", transaction[0]).option("txnVersion", transaction[1])
    with writing(path):
        writer.save(path)


def merge(changes: DataFrame, path: str, keys: Sequence[str], metadata: Metadata) -> dict[str, int]:
    """Set and delete rows in one commit; without changes there is none.

    Args:
        changes: the table's columns, and ``gone``: delete the row with these keys, else set it.
        path: of a table.
        keys: columns that name a row.
        metadata: what the commit says of itself.

    Returns:
        How many rows were ``inserted``, ``updated`` and ``deleted``.

    Raises:
        DataError: another job has written to the table in the meantime.
    """
    from delta.tables import DeltaTable as SparkTable

    spark = changes.sparkSession
    changes = changes.localCheckpoint()
    if changes.isEmpty():
        return dict.fromkeys(_MERGED, 0)
    values = {name: f"s.{name}" for name in changes.columns if name != "gone"}
    same = " AND ".join(f"t.{name} = s.{name}" for name in keys)
    spark.conf.set(_METADATA, json.dumps(metadata))
    try:
        with writing(path), alone(path):
            into = SparkTable.forPath(spark, path).alias("t").merge(changes.alias("s"), same)
            into = into.whenMatchedDelete("s.gone").whenMatchedUpdate(set=values)
            into.whenNotMatchedInsert("NOT s.gone", values).execute()
    finally:
        spark.conf.unset(_METADATA)
    table = open_table(path)
    said = table.history(1)[0]["operationMetrics"] if table else {}
    return {name: int(said[f"numTargetRows{name.capitalize()}"]) for name in _MERGED}


_MERGED = ("inserted", "updated", "deleted")
_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


_ANOTHER_CAME = re.compile(
    r"DELTA_CONCURRENT|Failed to commit transaction: \d+$|A Delta Lake table already exists at that location"
)
"""As Spark and ``deltalake`` say it."""


@contextlib.contextmanager
def alone(path: str) -> Iterator[None]:
    """Say in words that a commit came too late.

    Raises:
        DataError: another job has written to the table in the meantime.
    """
    try:
        yield
    except Exception as error:
        if _ANOTHER_CAME.search(str(error)) is None:
            raise
        cause = f"Another job has written to {path} in the meantime; this one wrote nothing."
        raise DataError(cause, "Run it again.") from error


def replace_days(rows: pa.Table, path: str, first: str, last: str) -> None:
    """Replace the rows of some days in one commit, without a JVM; the table is partitioned by ``day``.

    Args:
        rows: all rows of these days.
        path: folder or URL; the table is made where there is none.
        first, last: days, ``YYYY-MM-DD``.
    """
    from deltalake import write_deltalake

    predicate = f"day >= '{first}' AND day <= '{last}'" if open_table(path) else None
    with writing(path):
        write_deltalake(path, rows, mode="overwrite", partition_by=["day"], predicate=predicate)


_NO_ROOM = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|Permission denied|Read-only file system"
)


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Name the table that could not be written, and why, in place of Spark's trace.

    Raises:
        UnwritableError: there is no room for it, or for what Spark writes on the way to it.
    """
    try:
        yield
    except Exception as error:
        reason = _NO_ROOM.search(str(error))
        if reason is None:
            raise
        remedy = "Make room there and under ROOT/spark, or mend the permissions, and run it again: nothing was added."
        raise UnwritableError(f"The table {path} cannot be written ({reason[0]}).", remedy) from error
