"""Files of any shape, read by a mapping, one task a file.

History takes for granted that what happened was known at once: ``ingest_ms`` is the event's own time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lambent.events import Rejection
from lambent.mapping import Mapping as FileMapping
from lambent.mapping import Row, read_events
from lambent.mapping.validation import without_values
from lambent.tables import SOURCE_FILE
from lambent.taxonomy import Taxonomy
from spark_jobs.commits import ddl
from spark_jobs.rows import BATCH_ROWS, ROW_COLUMNS, RowBuilder

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


def check_files(paths: Sequence[Path], mapping: FileMapping, taxonomy: Taxonomy, user_key: bytes) -> None:
    """Read the first row of each file, so that a wrong mapping is told before Spark has started.

    Raises:
        DataError: a file cannot be read. MappingError: the mapping does not fit it.
    """
    for path in paths:
        rows = read_events(path, mapping, taxonomy, user_key)
        next(rows, None)
        rows.close()  # type: ignore[attr-defined]


def read_files(
    spark: SparkSession, paths: Sequence[Path], mapping: FileMapping, taxonomy: Taxonomy, user_key: bytes
) -> DataFrame:
    """Rows of ``ROW_COLUMNS``. Every executor must be able to read the paths."""
    return one_a_task(spark, paths, lambda path: read_file(path, mapping, taxonomy, user_key))


def one_a_task(
    spark: SparkSession,
    paths: Sequence[Path],
    read: Callable[[Path], Iterator[pa.RecordBatch]],
    columns: Mapping[str, str] = ROW_COLUMNS,
) -> DataFrame:
    """Rows of ``columns`` that ``read`` makes of each path on the executors."""

    def read_all(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for path in batch.column(0).to_pylist():
                yield from read(Path(path))

    named = [(str(path),) for path in paths]
    parted = spark.createDataFrame(spark.sparkContext.parallelize(named, len(named)), "path STRING")
    return parted.mapInArrow(read_all, ddl(columns))


def read_file(path: Path, mapping: FileMapping, taxonomy: Taxonomy, user_key: bytes) -> Iterator[pa.RecordBatch]:
    """One file as batches."""
    origin, dropped, builder = str(path), 0, RowBuilder(SOURCE_FILE)
    for row in read_events(path, mapping, taxonomy, user_key):
        dropped += not add_row(builder, origin, row)
        if len(builder) >= BATCH_ROWS:
            yield builder.batch()
    builder.add_dropped(origin, dropped)
    yield builder.batch()


def add_row(builder: RowBuilder, origin: str, row: Row) -> bool:
    """Add what became of a row; False if its mapping drops it on purpose.

    Any value of a rejected row can be the raw user id, so only its line, the reason and the value's shape are kept.
    """
    if row.event is not None:
        builder.add_event(row.event, origin, row.line, row.event.event_ms, 0)
    elif row.rejection is not None:
        reason, detail = row.rejection.reason, row.rejection.detail
        builder.add_rejection(Rejection(reason, without_values(reason, detail)), origin, row.line, 0, None)
    return row.event is not None or row.rejection is not None
