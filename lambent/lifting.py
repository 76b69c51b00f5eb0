"""All aggregates of one kind lifted at once: the fast twin of ``Aggregate.lift``, a few numpy calls for any number of them.

Which events count is a table by event type, plus columns that follow a mark; what they are worth is one of a few values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.aggregates import Affinity, Aggregate, Block
from lambent.encoding import Events
from lambent.taxonomy import Taxonomy


class Lifter:
    """Lifts events into the block of one group of a layout.

    Args:
        members: the group's aggregates, in order; all of one kind.
        taxonomy: which event types there are.
    """

    def __init__(self, members: Sequence[Aggregate], taxonomy: Taxonomy) -> None:
        starts = np.cumsum([0, *(a.width for a in members)])
        self._dtype, self._identity, self._width = members[0].dtype, members[0].identity, int(starts[-1])
        self._counts = np.zeros((len(taxonomy.types), self._width), bool)
        self._marks: list[tuple[str, slice]] = []
        self._affinities: list[tuple[Affinity, slice]] = []
        self._worth: dict[str, NDArray[np.int64]] = {}
        for aggregate, start, end in zip(members, starts[:-1], starts[1:], strict=True):
            self._place(aggregate, slice(int(start), int(end)), taxonomy)

    def _place(self, aggregate: Aggregate, columns: slice, taxonomy: Taxonomy) -> None:
        where = aggregate.where
        types = [taxonomy.type_code[where.type]] if where.type else slice(None)
        self._counts[types, columns] = True
        if where.mark:
            self._marks.append((where.mark, columns))
        if isinstance(aggregate, Affinity):
            self._affinities.append((aggregate, columns))
        if aggregate.of:
            known = self._worth.get(aggregate.of, np.zeros(0, np.int64))
            self._worth[aggregate.of] = np.r_[known, np.arange(columns.start, columns.stop)]

    def __call__(self, events: Events) -> Block:
        """[n, width of the group] what each event alone is worth to each aggregate."""
        counts = self._counts[events["type"]]
        for mark, columns in self._marks:
            counts[:, columns] &= events[mark][:, None]
        for affinity, columns in self._affinities:
            bucket = np.where(events[affinity.by] == 0, -1, affinity.cell(events))
            counts[:, columns] &= bucket[:, None] == np.arange(affinity.buckets)
        block = np.full(counts.shape, self._identity, self._dtype)
        np.copyto(block, self._worth_of(events, counts.shape), where=counts)
        return block

    def _worth_of(self, events: Events, shape: tuple[int, ...]) -> Block:
        if set(self._worth) == {"t_ms"}:
            return np.asarray(events["t_ms"][:, None])
        worth = np.ones(shape, self._dtype)
        for column, columns in self._worth.items():
            values = events[column]
            worth[:, columns] = np.log1p(np.where(np.isnan(values), 0.0, values))[:, None]
        return worth
