"""Tables whose files the tasks write themselves: Parquet beside the table, named by one commit once all tasks are done.

A task that makes wide rows in Python would else send them to the JVM, which takes each number apart and puts it together
again. What a task writes counts only when the commit names it: of a task that was retried the files of the attempt that
Spark took, of a job that died none. The rest is nobody's, and VACUUM deletes it.
"""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lambent.errors import DataError
from spark_jobs.commits import Metadata, alone, ddl, open_table, writing
from spark_jobs.rows import arrow_types

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction
    from pyarrow.parquet import FileMetaData
    from pyspark.sql import DataFrame

FILE_BYTES = 128 << 20
"""A task begins another file beyond it."""
PARQUET: Mapping[str, Any] = {
    "compression": "zstd",
    "use_dictionary": False,  # numbers seldom repeat: dictionaries cost time, and the files are larger
    "store_schema": False,  # Arrow's own names of the types, which only Arrow reads
}
FILE_COLUMNS: Mapping[str, str] = {
    "path": "string",  # below the table's folder; none: the row has counts alone
    "bytes": "int64",
    "stats": "string",  # JSON, as Delta's log has it
    "counts": "string",  # JSON: what the task has counted besides
}
"""What tasks tell the driver: a row a file, and one for what they have counted."""


@dataclasses.dataclass(frozen=True)
class Made:
    """What a task has made of some of its input.

    Attributes:
        groups: rows of the table; each becomes a row group of a file, which readers decode as a whole.
        counts: what there is to count besides.
    """

    groups: Sequence[pa.RecordBatch]
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Target:
    """The table that tasks write to; sent to the executors.

    Attributes:
        path: folder or URL.
        columns: as in ``lambent.tables``.
        told: columns of one value each, whose least and largest the log tells of each file, so that readers pass files by.
    """

    path: str
    columns: Mapping[str, str]
    told: Sequence[str] = ()

    @property
    def schema(self) -> pa.Schema:
        """Arrow's; each column may be null, as Spark writes it."""
        import pyarrow as pa

        return pa.schema(list(arrow_types(self.columns).items()))


# --- in a task ---------------------------------------------------------------------------------------------------------


def write_files(made: Iterable[Made], target: Target) -> Iterator[pa.RecordBatch]:
    """Write what a task makes; what to tell the driver of it, as ``FILE_COLUMNS``.

    Args:
        made: one after another; held no longer than it takes to write them.
        target: its folder is there.
    """
    import pyarrow as pa

    rows, counts = [], Counter[str]()

    def groups() -> Iterator[pa.RecordBatch]:
        for one in made:
            counts.update(one.counts)
            yield from (group.cast(target.schema) for group in one.groups if group.num_rows)

    waiting = groups()
    while group := next(waiting, None):
        rows.append(_write_file(group, waiting, target))
    rows.append({"counts": json.dumps(counts)})
    yield pa.RecordBatch.from_pylist(rows, pa.schema(list(arrow_types(FILE_COLUMNS).items())))


def _write_file(first: pa.RecordBatch, more: Iterator[pa.RecordBatch], target: Target) -> dict[str, Any]:
    """A file of the first group and as many more as it takes."""
    from deltalake.fs import DeltaStorageHandler
    from pyarrow.fs import PyFileSystem
    from pyarrow.parquet import ParquetWriter

    said: list[FileMetaData] = []
    path = f"part-{_partition():05d}-{uuid.uuid4()}.zstd.parquet"
    with PyFileSystem(DeltaStorageHandler(target.path)).open_output_stream(path) as file:
        told = {"write_statistics": list(target.told), "metadata_collector": said}
        with ParquetWriter(file, target.schema, **PARQUET, **told) as writer:
            writer.write_batch(first, row_group_size=first.num_rows)
            while file.tell() < FILE_BYTES and (group := next(more, None)):
                writer.write_batch(group, row_group_size=group.num_rows)
        size = file.tell()
    return {"path": path, "bytes": size, "stats": json.dumps(statistics(said[0], target.told))}


def _partition() -> int:
    from pyspark import TaskContext

    task = TaskContext.get()
    return task.partitionId() if task else 0


def statistics(file: FileMetaData, told: Sequence[str]) -> dict[str, Any]:
    """Of a file: its rows, and the least and largest value of some columns, in Delta's names."""
    groups = [file.row_group(n) for n in range(file.num_row_groups)]
    place = {groups[0].column(n).path_in_schema: n for n in range(groups[0].num_columns)}
    least, largest, nulls = {}, {}, {}
    for name in told:
        found = [group.column(place[name]).statistics for group in groups]
        nulls[name] = sum(one.null_count for one in found)
        with_values = [one for one in found if one.has_min_max]
        if with_values:
            least[name], largest[name] = min(one.min for one in with_values), max(one.max for one in with_values)
    return {"numRecords": file.num_rows, "minValues": least, "maxValues": largest, "nullCount": nulls}


# --- in the driver -----------------------------------------------------------------------------------------------------


def write_by_tasks(
    rows: DataFrame,
    make: Callable[[Iterable[pa.RecordBatch]], Iterator[Made]],
    target: Target,
    metadata: Metadata,
    mode: Literal["overwrite", "append"] = "overwrite",
    version: int | None = None,
) -> Counter[str]:
    """Write what each task makes of its rows, in one commit.

    Args:
        rows: in the partitions, and the order, in which tasks shall have them.
        make: what a task makes of its batches; is sent to the executors.
        target: the table; it is made where there is none.
        metadata: what the commit says of itself.
        mode: ``overwrite`` replaces all rows, and the schema; older versions stay readable.
        version: of the table, which the rows go with; None: the newest.

    Returns:
        What the tasks have counted.

    Raises:
        UnwritableError: there is no room for it.
        DataError: another job has written to the table since that version, or rows of other columns are appended.
    """

    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return write_files(make(batches), target)

    with writing(target.path):
        make_folder(target.path)
        table = open_table(target.path, version)
        told = rows.mapInArrow(write, ddl(FILE_COLUMNS)).collect()
    commit_files(table, target, [add_action(row) for row in told if row["path"]], metadata, mode)
    return sum((Counter(json.loads(row["counts"])) for row in told if row["counts"]), Counter())


def make_folder(path: str) -> None:
    """The folder of a table that is not on an object store, which has none; all machines see the same one."""
    if "://" not in path:
        Path(path).mkdir(parents=True, exist_ok=True)


def add_action(row: Mapping[str, Any]) -> AddAction:
    """What the log says of a file, of which a task has told as ``FILE_COLUMNS``."""
    from deltalake.transaction import AddAction

    return AddAction(row["path"], row["bytes"], {}, int(time.time() * 1_000), True, row["stats"])


def commit_files(
    table: DeltaTable | None, target: Target, files: Sequence[AddAction], metadata: Metadata, mode: str
) -> None:
    """One commit that names files.

    Args:
        table: as it was before the files were made; None: there was none.
        target: the table.
        files: below its folder.
        metadata: what the commit says of itself.
        mode: as in ``write_by_tasks``.

    Raises:
        DataError: another job has written to the table since, or rows of other columns are appended.
    """
    from deltalake import CommitProperties, Schema
    from deltalake.transaction import create_table_with_add_actions

    schema = Schema.from_arrow(target.schema)
    if mode == "append" and table is not None and table.schema() != schema:
        raise DataError(f"{target.path} has other columns than the rows that are added.", "Build the table anew.")
    # Without a retry, since what was added in the meantime would else be there beside the new rows.
    said = CommitProperties(custom_metadata={"userMetadata": json.dumps(metadata)}, max_commit_retries=0)
    with alone(target.path), writing(target.path):
        if table is None:
            create_table_with_add_actions(target.path, schema, list(files), mode="error", commit_properties=said)
        else:
            table.create_write_transaction(list(files), mode, schema, commit_properties=said)
