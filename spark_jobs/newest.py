"""Which rows of ``profiles`` count: of each user the one of the newest snapshot.

A build appends the rows of users of whom something is new, and leaves the rest of the table alone. So users whose rows were
appended since the table was last *whole* (``builds.Built.whole``) may have several. They are looked up by name, and every other
row counts as it is: what is held in memory grows with what was appended, not with the table.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from spark_jobs.builds import Built
from spark_jobs.profile_rows import row_batches
from spark_jobs.snapshot import Snapshot

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

STAMP = tuple(field.name for field in dataclasses.fields(Snapshot))
"""The snapshot at which a row last changed. Of two rows of a user no number of the later one is smaller."""
KEY = ("user", *STAMP)
KEYS_AT_ONCE = 65_536
"""Rows of ``KEY`` that are read together."""


def is_later(snapshot: Snapshot) -> Any:
    """Whether a row changed after a snapshot of the same line of builds: an expression, by which files are left out unread."""
    import pyarrow.compute as pc

    later = (pc.field(name) > value for name, value in dataclasses.asdict(snapshot).items())
    return functools.reduce(operator.or_, later)


def keys_of(rows: pa.Table) -> pa.RecordBatch:
    """``KEY`` of rows."""
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([rows.column(name).combine_chunks() for name in KEY], names=list(KEY))


def stamped(batch: pa.RecordBatch, stamps: pa.RecordBatch) -> pa.Array:
    """Whether each row is the one that ``stamps`` (``KEY``, a row a user) names of its user; null where it names none."""
    import pyarrow.compute as pc

    place = pc.index_in(batch.column("user"), stamps.column("user"))
    return functools.reduce(pc.and_, (pc.equal(batch.column(name), stamps.column(name).take(place)) for name in STAMP))


def counting(batch: pa.RecordBatch, several: pa.RecordBatch) -> pa.Array:
    """Whether each row counts: of a user who is not in ``several`` (``KEY`` of the newest rows) there is no other one."""
    import pyarrow.compute as pc

    return pc.fill_null(stamped(batch, several), True)


@dataclasses.dataclass(frozen=True)
class NewestRows:
    """The rows that count of one version of the table, read without a JVM.

    Attributes:
        rows: of the version, a dataset.
        since: only rows that changed after this snapshot, from which the version was reached; None: all.
        several: ``KEY`` of the newest row of users of whom there may be several.
    """

    rows: Any
    since: Snapshot | None
    several: pa.RecordBatch

    @classmethod
    def of(cls, table: DeltaTable, built: Built, since: Snapshot | None = None) -> NewestRows:
        """Those of the build that an open table holds."""
        rows = table.to_pyarrow_dataset()
        appended = is_later(max(built.whole, since or built.whole, key=dataclasses.astuple))
        keys = rows.to_table(columns=list(KEY), filter=appended)
        newest = keys.group_by("user").aggregate([(name, "max") for name in STAMP])
        return cls(rows, since, keys_of(newest.rename_columns(KEY)))

    def batches(self, names: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
        """Columns, those of ``KEY`` among them, of at most so many rows together; batches may be empty."""
        condition = None if self.since is None else is_later(self.since)
        for batch in row_batches(self.rows, names, condition, most):
            yield batch.filter(counting(batch, self.several)) if len(self.several) else batch

    def count(self) -> int:
        """How many there are."""
        if self.since is None and not len(self.several):
            return int(self.rows.count_rows())  # by what the files say of themselves
        return sum(batch.num_rows for batch in self.batches(KEY, KEYS_AT_ONCE))
