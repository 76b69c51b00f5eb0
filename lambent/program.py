"""The declarations as the tables that the compiled fold follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent import kernel
from lambent.aggregates import KINDS, Affinity, Aggregate, Decayed
from lambent.encoding import TEXT_FIELDS
from lambent.features import EMBEDDED, FeatureSet
from lambent.profile import Layout
from lambent.views import Arrays, Program

MARK = {"": kernel.ANY_MARK, "opens": kernel.OPENS, "late": kernel.LATE}
WORTH = {"": kernel.ONE, "price": kernel.PRICE, "dwell_ms": kernel.DWELL}


def compile_features(features: FeatureSet) -> Arrays:
    """``views.Program``: the tables of a feature set."""
    layout, types = features.profile, features.taxonomy.types
    half_lives_ms, half_life_of = np.unique(layout.half_lives_ms, return_inverse=True)
    rows: list[tuple[int, ...]] = []
    first = [0]
    for one in types:
        rows += [_operation(layout, a, half_lives_ms) for a in layout.aggregates if a.where.type in ("", one.name)]
        first.append(len(rows))
    lookups = [(layout.column[a.name], TEXT_FIELDS.index(a.by), a.buckets) for a in features.lookups]
    price_level = [layout.column.get(name, -1) for name in ("view_log_price_7d", "view_7d")]
    embedded = [(TEXT_FIELDS.index(name), size) for name, size in EMBEDDED.items()]
    program = Program(
        operations=_table(rows, 7),
        first=np.array(first, np.int64),
        half_life_ms=half_lives_ms,
        half_life_of=half_life_of.astype(np.int64),
        lookups=_table(lookups, 3),
        price_level=np.array(price_level, np.int64),
        embedded=_table(embedded, 2),
    )
    return tuple(program)


def _operation(layout: Layout, aggregate: Aggregate, half_lives_ms: NDArray[np.float64]) -> tuple[int, ...]:
    kind, column = list(KINDS).index(aggregate.group), layout.column[aggregate.name]
    half_life, worth, text, buckets = 0, kernel.ONE, -1, 0
    if isinstance(aggregate, Decayed):
        half_life, worth = int(np.searchsorted(half_lives_ms, aggregate.half_life_ms)), WORTH[aggregate.of]
    if isinstance(aggregate, Affinity):
        text, buckets = TEXT_FIELDS.index(aggregate.by), aggregate.buckets
    return kind, column, MARK[aggregate.where.mark], half_life, worth, text, buckets


def _table(rows: Sequence[tuple[int, ...]], width: int) -> NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(-1, width)
