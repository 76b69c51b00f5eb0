"""The slow, obvious twin of the fold: one user, plain Python, a few lines for each rule. Tests and ``lambent law`` use it.

It reads the same declarations, and shares no arithmetic with ``profile``, ``fold`` or ``kernel``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

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


# --- what a step of the model sees -------------------------------------------------------------------------------------


def steps(features: FeatureSet, log: Sequence[tuple[Event, int]]) -> list[tuple[str, bool, dict[str, float]]]:
    """Of one user's distinct events that are not late: the event's id, whether it starts a session, and the step's numbers
    by name, those left out being 0.
    """
    rows = []
    for n in range(len(log)):
        seen = mark(log[: n + 1])
        event, _, opens, late = seen[-1]
        if not late:
            rows.append((event.id, opens, _numbers(features, seen)))
    return rows


def _numbers(features: FeatureSet, seen: list[Seen]) -> dict[str, float]:
    event, t_ms, _, _ = seen[-1]
    opened = max(n for n, (_, _, opens, _) in enumerate(seen) if opens)
    session = [one for one in seen[opened:] if not one[3]]
    before = session[:-1]
    hour, day = 2 * math.pi * (t_ms / 86_400_000 % 1), 2 * math.pi * (t_ms / 604_800_000 % 1)
    found = {
        "gap_log_s": math.log1p(max(t_ms - max((t for _, t, _, _ in before), default=t_ms), 0) / 1000),
        "elapsed_log_s": math.log1p(max(t_ms - session[0][1], 0) / 1000),
        "hour_sin": math.sin(hour), "hour_cos": math.cos(hour), "weekday_sin": math.sin(day), "weekday_cos": math.cos(day),
        "price_missing": float(event.price is None), "dwell_missing": float(event.dwell_ms is None),
        "price_log": math.log1p(event.price or 0), "dwell_log_s": math.log1p((event.dwell_ms or 0) / 1000),
        "price_relative": _price_relative(features, event, seen), "events_log": math.log1p(len(session)),
        "product_repeated": _repeated(event.product, [one.product for one, _, _, _ in before]),
        "category_repeated": _repeated(event.category, [one.category for one, _, _, _ in before]),
    }  # fmt: skip
    for one in features.taxonomy.types:
        found[f"{one.name}_log"] = math.log1p(sum(e.type == one.name for e, _, _, _ in session))
    for affinity in features.lookups:
        if (text := getattr(event, affinity.by)) is not None:
            sums = _buckets(
                affinity, [one for one in seen[:-1] if _counts(affinity, one)], max(t for _, t, _, _ in seen)
            )
            found[f"{affinity.name}_affinity"] = math.log1p(sums[text_hash(text) % affinity.buckets])
    return found


def _price_relative(features: FeatureSet, event: Event, seen: list[Seen]) -> float:
    by_name = {one.name: one for one in features.profile.aggregates}
    if event.price is None or "view_log_price_7d" not in by_name:
        return 0.0
    clock_ms = max(t for _, t, _, _ in seen)
    total, weight = (_decayed(by_name[name], seen[:-1], clock_ms) for name in ("view_log_price_7d", "view_7d"))
    return math.log1p(event.price) - total / weight if weight >= 1e-6 else 0.0


def _decayed(aggregate: Aggregate, seen: list[Seen], clock_ms: int) -> float:
    value = _value(aggregate, seen, clock_ms)
    assert isinstance(value, float)
    return value


def _repeated(text: str | None, before: list[str | None]) -> float:
    """Sessions remember 64 bits, so texts whose hashes agree modulo 64 are one."""
    return float(
        text is not None and text_hash(text) % 64 in {text_hash(one) % 64 for one in before if one is not None}
    )
