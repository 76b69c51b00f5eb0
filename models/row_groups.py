"""The files of a table as row groups, which Parquet decodes as a whole: which hold a split, and the rows of some."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa


@dataclasses.dataclass(frozen=True)
class Group:
    """A row group of a file.

    Attributes:
        rows: the group, as a fragment of a data set.
        schema: the data set's.
        count: its sessions of the split that is read.
        wanted: which those are; None: all.
    """

    rows: Any
    schema: pa.Schema
    count: int
    wanted: pa.compute.Expression | None

    @property
    def size_bytes(self) -> int:
        """When it is decoded, about; other splits' sessions included."""
        return sum(int(group.total_byte_size) for group in self.rows.row_groups)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Its sessions of the split."""
        return self.rows.to_table(self.schema, list(columns), filter=self.wanted, use_threads=False)


def groups_of(data: Any, split: str) -> Iterator[Group]:
    """The row groups of a data set that have sessions of a split, in the same order for all who read it."""
    wanted = pa.compute.field("split") == split
    for file in sorted(data.get_fragments(filter=wanted), key=lambda file: str(file.path)):
        for rows in file.split_by_row_group(filter=wanted, schema=data.schema):
            count, every = rows.count_rows(filter=wanted), sum(group.num_rows for group in rows.row_groups)
            if count:  # to filter costs as much as to decode
                yield Group(rows, data.schema, count, None if count == every else wanted)


def gathered(groups: Iterator[Group], least_bytes: int) -> Iterator[list[Group]]:
    """The groups in lists as small as reach so many bytes."""
    waiting: list[Group] = []
    for group in groups:
        waiting.append(group)
        if sum(one.size_bytes for one in waiting) >= least_bytes:
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def sessions_between(groups: Sequence[Group], columns: Sequence[str], low: int, high: int) -> Iterator[pa.Table]:
    """The sessions ``low`` to ``high`` of all that groups have; a group that has none of these is not read."""
    first = 0
    for group in groups:
        start, stop = max(low - first, 0), min(high - first, group.count)
        first += group.count
        if start < stop:
            yield group.read(columns).slice(start, stop - start)
