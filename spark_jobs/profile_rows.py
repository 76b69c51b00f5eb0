"""Rows of the table ``profiles`` as a structured array, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import FeatureSet
from lambent.profile import Profiles
from lambent.tables import profile_columns
from spark_jobs.rows import batch_of, lists
from spark_jobs.snapshot import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa

BUFFER_BYTES = 1 << 16
"""Of each column of a file that is being read."""


def row_batches(rows: Any, names: Sequence[str], condition: Any, most: int) -> Iterator[pa.RecordBatch]:
    """The rows that a condition lets pass, at most so many together; batches may be empty.

    A dataset's own scan decodes row groups as a whole, and they are as large as whoever wrote them liked.

    Args:
        rows: a dataset of Parquet files.
        names: columns, those of the condition among them.
        condition: an expression, by which files and row groups are left out unread; None: all rows.
        most: rows of a batch.
    """
    for file in rows.get_fragments(condition):
        yield from file_batches(file, names, condition, most)


def file_batches(file: Any, names: Sequence[str], condition: Any, most: int) -> Iterator[pa.RecordBatch]:
    """The same of one file of the dataset."""
    import pyarrow.parquet as pq

    kept = file if condition is None else file.subset(condition)
    groups = [group.id for group in kept.row_groups]
    with file.filesystem.open_input_file(file.path) as opened:
        # Once: to read what a file says of each column of each group takes as long as to read a group.
        parquet = pq.ParquetFile(opened, metadata=file.metadata, pre_buffer=False, buffer_size=BUFFER_BYTES)
        for batch in parquet.iter_batches(most, groups, columns=names, use_threads=False):
            batch = _with_plain_text(batch)
            yield batch if condition is None else batch.filter(condition)


def _with_plain_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    """With ``string`` for whichever of Arrow's kinds of text the file's writer took: not all can be looked up."""
    import pyarrow as pa

    columns = [column.cast("string") if pa.types.is_string_view(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def from_arrow(features: FeatureSet, batch: pa.RecordBatch) -> Profiles:
    """[n] profiles of n rows."""
    profiles = features.profile.identity(batch.num_rows)
    profiles["clock_ms"] = batch.column("clock_ms").to_numpy()
    for aggregate in features.profile.aggregates:
        column = batch.column(aggregate.name)
        values = column.flatten() if column.type.num_fields else column  # more than one cell is a list
        features.profile.block(profiles, aggregate)[:] = values.to_numpy().reshape(-1, aggregate.width)
    return profiles


def to_arrow(
    features: FeatureSet, users: pa.Array, profiles: Profiles, source: NDArray[np.int8], snapshot: Snapshot
) -> pa.RecordBatch:
    """Rows of ``tables.profile_columns``.

    Args:
        features: the feature set.
        users: [n] their keys.
        profiles: [n].
        source: [n] the largest source of the user's events.
        snapshot: at which the rows changed.
    """
    n = len(users)
    columns: dict[str, Any] = {"user": users, "clock_ms": profiles["clock_ms"], "source": source}
    for aggregate in features.profile.aggregates:
        block = features.profile.block(profiles, aggregate)
        columns[aggregate.name] = block[:, 0] if aggregate.width == 1 else lists(block, np.full(n, aggregate.width))
    columns["features"] = [features.hash] * n
    columns |= {name: np.full(n, value) for name, value in dataclasses.asdict(snapshot).items()}
    return batch_of(columns, profile_columns(features.profile))
