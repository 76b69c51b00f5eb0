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

import numpy as np

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


@dataclasses.dataclass(frozen=True)
class Stamps:
    """The newest row of each of some users.

    Attributes:
        rows: ``KEY``, a row a user.
    """

    rows: pa.RecordBatch

    @classmethod
    def of(cls, rows: pa.Table) -> Stamps:
        """Those of rows with ``KEY``."""
        import pyarrow as pa

        arrays = [rows.column(name).combine_chunks() for name in KEY]
        return cls(pa.RecordBatch.from_arrays(arrays, names=list(KEY)))

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __reduce__(self) -> tuple[Any, ...]:
        return Stamps, (self.rows,)  # without the hashes, which a task makes in less time than it would read them

    @functools.cached_property
    def _places(self) -> Any:
        """Where each user is: hashed once, where Arrow's own lookup would hash all of them for each batch."""
        import pandas as pd

        return pd.Index(self.rows.column("user").to_pylist(), dtype=object)

    def name(self, batch: pa.RecordBatch, *, others: bool) -> pa.Array:
        """Whether each row of a batch with ``KEY`` is the one of its user; ``others`` where the user is none of these."""
        import pyarrow as pa

        if not len(self):
            return pa.repeat(others, batch.num_rows)
        place = self._places.get_indexer(batch.column("user").to_pylist())
        same = [batch.column(key).to_numpy() == self.rows.column(key).to_numpy()[place] for key in STAMP]
        return pa.array(np.where(place < 0, others, np.logical_and.reduce(same)))

    def counting(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that count, where of a user who is none of these there is no other row."""
        named = self.name(batch, others=True)
        return batch if named.true_count == len(named) else batch.filter(named)


@dataclasses.dataclass(frozen=True)
class NewestRows:
    """The rows that count of one version of the table, read without a JVM.

    Attributes:
        rows: of the version, a dataset.
        since: only rows that changed after this snapshot, from which the version was reached; None: all.
        several: the newest row of users of whom there may be several.
        superseded: rows of the version that do not count.
    """

    rows: Any
    since: Snapshot | None
    several: Stamps
    superseded: int

    @classmethod
    def of(cls, table: DeltaTable, built: Built, since: Snapshot | None = None) -> NewestRows:
        """Those of the build that an open table holds."""
        rows = table.to_pyarrow_dataset()
        appended = is_later(max(built.whole, since or built.whole, key=dataclasses.astuple))
        keys = rows.to_table(columns=list(KEY), filter=appended)
        newest = keys.group_by("user").aggregate([(name, "max") for name in STAMP])
        return cls(rows, since, Stamps.of(newest.rename_columns(KEY)), built.superseded)

    def batches(self, names: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
        """Columns, those of ``KEY`` among them, of at most so many rows together; batches may be empty."""
        condition = None if self.since is None else is_later(self.since)
        for batch in row_batches(self.rows, names, condition, most):
            yield self.several.counting(batch)

    def count(self) -> int:
        """How many there are."""
        if self.since is None:
            return int(self.rows.count_rows()) - self.superseded  # by what files and commit say of themselves
        return sum(batch.num_rows for batch in self.batches(KEY, KEYS_AT_ONCE))
