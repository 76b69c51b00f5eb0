"""Users' histories, folded in Python: SQL encodes the events and sorts them into the log's order, each task then takes
whole users through the numpy fold of the core, many at once and in bounded memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lambent.encoding import EVENT_DTYPE, Events
from lambent.sessions import IN_LOG_ORDER
from spark_jobs.commits import ddl

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

CHUNK_EVENTS = 100_000
"""A task folds whole users together, about this many events at once."""


@dataclasses.dataclass(frozen=True)
class Histories:
    """Histories of some users, each in the log's order.

    Attributes:
        names: [users] the users' keys.
        user: [n] index of each row's user, never falling.
        rows: [n] what the rows hold besides, by column.
    """

    names: pa.Array
    user: NDArray[np.int64]
    rows: pa.Table

    def where(self, kept: NDArray[np.bool_]) -> Histories:
        """The same users with some of their rows: ``kept`` is [n]."""
        import pyarrow as pa

        return Histories(self.names, self.user[kept], self.rows.filter(pa.array(kept)))

    def events(self) -> Events:
        """[n] the rows as encoded events, with nothing ``known``; a missing number is NaN."""
        import pyarrow.compute as pc

        events = np.zeros(len(self.user), EVENT_DTYPE)
        events["known"] = np.nan
        for name in set(EVENT_DTYPE.names or ()).intersection(self.rows.column_names):
            column = self.rows.column(name)
            events[name] = (pc.fill_null(column, float("nan")) if column.null_count else column).to_numpy()
        return events


def fold_histories(
    events: DataFrame, columns: Mapping[str, str], fold: Callable[[Histories], pa.RecordBatch]
) -> DataFrame:
    """What ``fold`` makes of whole users.

    Args:
        events: encoded events, as ``snapshot.encoded`` gives them, and whatever columns ``fold`` reads besides.
        columns: of the result, as in ``lambent.tables``.
        fold: is sent to the executors.
    """

    def fold_part(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return map(fold, whole_histories(batches))

    return in_log_order(events).mapInArrow(fold_part, ddl(columns))


def in_log_order(events: DataFrame) -> DataFrame:
    """The same rows, each user's in one partition and in the log's order; without the events' ids, which only order them.

    Args:
        events: without ids, where rows that are told apart by nothing else may come in any order.
    """
    order = [name for name in IN_LOG_ORDER if name in events.columns]
    return events.repartition("user").sortWithinPartitions(*order).drop("event_id")


def whole_histories(batches: Iterable[pa.RecordBatch]) -> Iterator[Histories]:
    """A partition of ``in_log_order`` as histories of some users each."""
    for table in whole_users(batches):
        users = table.column("user").combine_chunks().dictionary_encode()
        yield Histories(users.dictionary, users.indices.to_numpy().astype(np.int64), table)


def whole_users(batches: Iterable[pa.RecordBatch], chunk_events: int = CHUNK_EVENTS) -> Iterator[pa.Table]:
    """Tables of whole users from batches that are sorted by user."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(len(part) for part in held) >= chunk_events:
            table = pa.Table.from_batches(held)
            cut = _start_of_last_user(table)
            if cut:
                yield table.slice(0, cut)
            held = table.slice(cut).combine_chunks().to_batches()
    if held and (table := pa.Table.from_batches(held)).num_rows:
        yield table


def _start_of_last_user(table: pa.Table) -> int:
    import pyarrow.compute as pc

    last = table.column("user")[-1]
    return int(pc.index(table.column("user"), last).as_py())
