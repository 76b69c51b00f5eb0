"""Files of any shape, read by a mapping, one task a file.

History takes for granted that what happened was known at once: ``ingest_ms`` is the event's own time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lambent.mapping import Mapping, read_events
from lambent.tables import SOURCE_FILE
from lambent.taxonomy import Taxonomy
from spark_jobs.commits import ddl
from spark_jobs.rows import BATCH_ROWS, ROW_COLUMNS, RowBuilder

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


def check_files(paths: Sequence[Path], mapping: Mapping, taxonomy: Taxonomy, user_key: bytes) -> None:
    """Read the first row of each file, so that a wrong mapping is told before Spark has started.

    Raises:
        DataError: a file cannot be read. MappingError: the mapping does not fit it.
    """
    for path in paths:
        rows = read_events(path, mapping, taxonomy, user_key)
        next(rows, None)
        rows.close()  # type: ignore[attr-defined]


def read_files(
    spark: SparkSession, paths: Sequence[Path], mapping: Mapping, taxonomy: Taxonomy, user_key: bytes
) -> DataFrame:
    """Rows of ``ROW_COLUMNS``. Every executor must be able to read the paths."""

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for path in batch.column(0).to_pylist():
                yield from read_file(Path(path), mapping, taxonomy, user_key)

    named = [(str(path),) for path in paths]
    one_a_task = spark.createDataFrame(spark.sparkContext.parallelize(named, len(named)), "path STRING")
    return one_a_task.mapInArrow(read, ddl(ROW_COLUMNS))


def read_file(path: Path, mapping: Mapping, taxonomy: Taxonomy, user_key: bytes) -> Iterator[pa.RecordBatch]:
    """One file as batches. A rejected row's bytes hold the raw user id, so only its line is kept."""
    origin, dropped, builder = str(path), 0, RowBuilder(SOURCE_FILE)
    for row in read_events(path, mapping, taxonomy, user_key):
        if row.event is not None:
            builder.add_event(row.event, origin, row.line, row.event.event_ms, 0)
        elif row.rejection is not None:
            builder.add_rejection(row.rejection, origin, row.line, 0, None)
        else:
            dropped += 1
        if len(builder) >= BATCH_ROWS:
            yield builder.batch()
    builder.add_dropped(origin, dropped)
    yield builder.batch()
