"""A version of a table, read by tasks file by file, with pyarrow: whoever wants few rows or columns of wide ones, or files as
they are, pays for what is wanted. Files are told by number, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from spark_jobs.commits import need_table

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


def file_numbers(spark: SparkSession, path: str, version: int) -> DataFrame:
    """The numbers of the files, one column, in as many tasks as run at once."""
    files = len(need_table(path, "", version).file_uris())
    return spark.range(0, files, 1, max(1, min(files, spark.sparkContext.defaultParallelism)))


def files_of(path: str, version: int, batches: Iterable[pa.RecordBatch]) -> Iterator[Any]:
    """In a task: the files that ``file_numbers`` gave it, fragments of a dataset."""
    rows = need_table(path, "", version).to_pyarrow_dataset()
    files = sorted(rows.get_fragments(), key=lambda file: str(file.path))
    for batch in batches:
        for number in batch.column(0).to_pylist():
            yield files[number]
