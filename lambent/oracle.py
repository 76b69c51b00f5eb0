"""The slow, obvious twin of the fold: one user, plain Python, a few lines for each rule. Tests and ``lambent law`` use it.

It reads the same declarations, and shares no arithmetic with ``profile``, ``fold``, ``sessions`` or SQL.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from lambent.aggregates import Affinity, Aggregate, Decayed, Earliest, Latest
from lambent.encoding import text_hash
from lambent.events import Event
from lambent.features import FeatureSet
from lambent.profile import Profiles
from lambent.sessions import GAP_MS, HORIZON_MS

Seen = tuple[Event, int, bool, bool]
"""An event, its t in ms, whether it opens a session, whether it is late."""


def distinct(log: Iterable[tuple[Event, int]]) -> list[tuple[Event, int]]:
    """The first copy of each event, in the log's order. Items are (event, ingest_ms)."""
    first: dict[str, tuple[Event, int]] = {}
    for event, ingest_ms in log:
        first.setdefault(event.id, (event, ingest_ms))
    return list(first.values())


def mark(log: Iterable[tuple[Event, int]]) -> list[Seen]:
    """A user's distinct events since the last silence beyond the horizon, with their marks."""
    seen: list[Seen] = []
    clock_ms: int | None = None
    for event, ingest_ms in log:
        t_ms = min(event.event_ms, ingest_ms)
        if clock_ms is not None and t_ms > clock_ms + HORIZON_MS:
            seen.clear()
        opens = clock_ms is None or t_ms > clock_ms + GAP_MS
        late = clock_ms is not None and t_ms < clock_ms - GAP_MS
        seen.append((event, t_ms, opens, late))
        clock_ms = t_ms if clock_ms is None else max(clock_ms, t_ms)
    return seen


def profile(features: FeatureSet, seen: list[Seen]) -> Profiles:
    """[1] the profile of one user's marked events."""
    row = features.profile.identity(1)
    if not seen:
        return row
    clock_ms = max(t_ms for _, t_ms, _, _ in seen)
    row["clock_ms"] = clock_ms
    for aggregate in features.profile.aggregates:
        features.profile.block(row, aggregate)[0] = _value(aggregate, seen, clock_ms)
    return row


def _counts(aggregate: Aggregate, one: Seen) -> bool:
    event, _, opens, late = one
    where = aggregate.where
    if where.mark:
        return opens if where.mark == "opens" else late
    return not where.type or event.type == where.type


def _value(aggregate: Aggregate, seen: list[Seen], clock_ms: int) -> float | list[float]:
    counted = [one for one in seen if _counts(aggregate, one)]
    times = [t_ms for _, t_ms, _, _ in counted]
    if isinstance(aggregate, Affinity):
        return _buckets(aggregate, counted, clock_ms)
    if isinstance(aggregate, Decayed):
        return math.fsum(_worth(aggregate, event) * _weight(aggregate, t, clock_ms) for event, t, _, _ in counted)
    if isinstance(aggregate, Earliest):
        return min(times, default=int(np.iinfo(np.int64).max))
    if isinstance(aggregate, Latest):
        return max(times, default=0)
    return len(counted)


def _buckets(aggregate: Affinity, counted: list[Seen], clock_ms: int) -> list[float]:
    sums = [0.0] * aggregate.buckets
    for event, t_ms, _, _ in counted:
        text = getattr(event, aggregate.by)
        if text is not None:
            sums[text_hash(text) % aggregate.buckets] += _weight(aggregate, t_ms, clock_ms)
    return sums


def _worth(aggregate: Decayed, event: Event) -> float:
    if not aggregate.of:
        return 1.0
    value = getattr(event, aggregate.of)
    return 0.0 if value is None else math.log1p(value)


def _weight(aggregate: Decayed, t_ms: int, clock_ms: int) -> float:
    return float(2.0 ** ((t_ms - clock_ms) / aggregate.half_life_ms))
