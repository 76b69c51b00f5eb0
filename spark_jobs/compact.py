"""Makes ``profiles`` whole again: one row a user, which then holds what it held."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from spark_jobs.builds import Built, lineage
from spark_jobs.by_file import file_numbers, files_of
from spark_jobs.commits import count_rows, need_table
from spark_jobs.newest import NewestRows, Stamps
from spark_jobs.profile_rows import file_batches
from spark_jobs.written import Made, Target, write_by_tasks

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from pyspark.sql import SparkSession

SUPERSEDED_SHARE = 0.25
"""Of the rows that count: beyond it a reader of the whole table decodes a fourth more than it would have to."""
APPENDS = 24
"""Builds that append, an hour apart a day of them: each adds files, and whose users a publish holds in memory."""
GROUP_ROWS = 8_192


def is_due(table: DeltaTable, built: Built) -> bool:
    """Whether the build that an open table holds is to be made whole."""
    appends = itertools.takewhile(lambda one: one.snapshot != built.whole, lineage(table))
    return built.superseded > SUPERSEDED_SHARE * count_rows(table) or sum(1 for _ in appends) >= APPENDS


def compact_if_due(spark: SparkSession, target: Target) -> None:
    """Make the newest build whole where that is due. A build that died before it did is no harm: the next one does."""
    table = need_table(target.path, "Build it: lambent batch profiles.")
    built = Built.find(table)
    if built and is_due(table, built):
        compact(spark, target, table, built)


def compact(spark: SparkSession, target: Target, table: DeltaTable, built: Built) -> None:
    """Write the rows that count, as they are, in the place of all.

    Args:
        spark: the session.
        target: the table.
        table: open at the version that holds the build.
        built: the build.

    Raises:
        DataError: another job has written to the table in the meantime.
    """
    version, several = built.version, NewestRows.of(table, built).several

    def make(numbers: Iterable[pa.RecordBatch]) -> Iterator[Made]:
        files = files_of(target.path, version, numbers)
        return (Made([group]) for group in regrouped(_counting_rows(file, target, several) for file in files))

    said = built.snapshot.metadata(built.features) | {"base": version}
    write_by_tasks(file_numbers(spark, target.path, version), make, target, said, version=version)


def _counting_rows(file: Any, target: Target, several: Stamps) -> Iterator[pa.RecordBatch]:
    names = list(target.columns)
    for batch in file_batches(file, names, None, GROUP_ROWS):
        yield several.counting(batch).select(names).cast(target.schema)


def regrouped(files: Iterable[Iterable[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """The same rows, ``GROUP_ROWS`` or a few more together."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    for batch in itertools.chain.from_iterable(files):
        held.append(batch)
        if sum(part.num_rows for part in held) >= GROUP_ROWS:
            yield pa.concat_batches(held)
            held = []
    if held:
        yield pa.concat_batches(held)
