"""The declarations as the tables that the compiled fold follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent import monoid
from lambent.aggregates import REGISTERS, Affinity, Aggregate, Decayed, Distinct, Latest, Recent, Rhythm, Streak, Where
from lambent.encoding import TEXT_FIELDS
from lambent.features import EMBEDDED, OPENS, PRICE_LEVEL, RETURNS, SEEN, FeatureSet
from lambent.profile import KINDS, Layout
from lambent.views import Arrays, Program

MARK = {"": monoid.ANY_MARK, "opens": monoid.OPENS, "late": monoid.LATE, "returns": monoid.RETURNS}
WORTH = {"": monoid.ONE, "price": monoid.PRICE, "dwell_ms": monoid.DWELL, "unpriced": monoid.UNPRICED}


def compile_features(features: FeatureSet) -> Arrays:
    """``views.Program``: the tables of a feature set."""
    layout, types = features.profile, features.taxonomy.types
    rows: list[tuple[int, ...]] = []
    first = [0]
    for one in types:
        rows += [_operation(layout, a, one.name) for a in layout.aggregates if a.sees(one)]
        first.append(len(rows))
    recent = [(layout.column[a.name], TEXT_FIELDS.index(a.by)) for a in features.recent]
    price_level = [layout.column.get(name, -1) for name in PRICE_LEVEL]
    if -1 in price_level:  # a mean of which a part is missing is none
        price_level = [-1] * len(price_level)
    embedded = [(TEXT_FIELDS.index(name), size) for name, size in EMBEDDED.items()]
    remembers = {a.where: layout.column[a.name] for a in layout.aggregates if isinstance(a, Latest)}
    program = Program(
        operations=_table(rows, 8),
        first=np.array(first, np.int64),
        half_life_ms=layout.half_lives_ms,
        half_life_of=layout.half_life_of.astype(np.int64),
        recent=_table(recent, 2),
        price_level=np.array(price_level, np.int64),
        embedded=_table(embedded, 2),
        decided=np.array([remembers.get(Where(intent=one.intent or "?"), -1) for one in types], np.int64),
        opened=remembers.get(OPENS, -1),
        seen=layout.column.get(SEEN, -1),
        returned=remembers.get(RETURNS, -1),
    )
    return tuple(program)


def _operation(layout: Layout, aggregate: Aggregate, event_type: str) -> tuple[int, ...]:
    kind, column = list(KINDS).index(aggregate.group), layout.column[aggregate.name]
    mark = monoid.DECIDES if aggregate.where.intent else MARK[aggregate.where.mark]
    half_life, worth, text, buckets, bucket_ms = 0, monoid.ONE, -1, 0, 0
    if isinstance(aggregate, Decayed):
        half_life = int(np.searchsorted(layout.half_lives_ms, aggregate.half_life_ms))
        worth = WORTH[aggregate.of]
    if isinstance(aggregate, Affinity | Distinct | Recent):
        text = TEXT_FIELDS.index(aggregate.by)
    if isinstance(aggregate, Affinity | Rhythm):
        buckets = aggregate.buckets
    if isinstance(aggregate, Rhythm):
        bucket_ms = aggregate.bucket_ms
    if isinstance(aggregate, Distinct):
        buckets = REGISTERS
    if isinstance(aggregate, Streak):
        kind, mark = monoid.STREAK, monoid.ANY_MARK
    if isinstance(aggregate, Recent):
        worth = aggregate.acts.index(event_type)
    return kind, column, mark, half_life, worth, text, buckets, bucket_ms


def _table(rows: Sequence[tuple[int, ...]], width: int) -> NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(-1, width)
