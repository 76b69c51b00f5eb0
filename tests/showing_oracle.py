"""What the model sees of profiles, said slowly: one user and one feature after the other, by what ``aggregates`` and ``facts`` say."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from lambent.aggregates import (
    ACT_BITS,
    AGES_H,
    DAY_MS,
    HASH_BITS,
    HOUR_MS,
    MINUTE_MS,
    REGISTERS,
    WEEK_MS,
    Aggregate,
    Decayed,
    Distinct,
    Earliest,
    Latest,
    Recent,
    Rhythm,
    Streak,
)
from lambent.events import MIN_EVENT_MS
from lambent.facts import Choice, Since
from lambent.features import FeatureSet
from lambent.profile import Layout, Profiles


def all_shown(features: FeatureSet) -> FeatureSet:
    """The same declarations, the model seeing each of them."""
    aggregates = features.profile.aggregates
    shown = (dataclasses.replace(one, shown=True) if isinstance(one, Decayed) else one for one in aggregates)
    return FeatureSet(features.taxonomy, tuple(shown))


def features_of(layout: Layout, profile: Profiles, now_ms: int) -> list[float]:
    """What is seen of [1] profile as of a time, in the order of ``Layout.feature_names``."""
    age_ms = now_ms - int(profile["clock_ms"][0])
    found = []
    for members in layout.members.values():
        for one in members:
            found += _features(one, layout.block(profile, one)[0].tolist(), age_ms, now_ms)
    rhythms = [one for one in layout.members["count"] if isinstance(one, Rhythm)]
    return found + [
        float(now_ms // one.bucket_ms % one.buckets == bucket) for one in rhythms for bucket in range(one.buckets)
    ]


def _features(one: Aggregate, values: Sequence[float], age_ms: int, now_ms: int) -> Iterator[float]:
    if isinstance(one, Decayed) and not one.shown:
        return
    if isinstance(one, Distinct):
        yield math.log1p(_estimate(values))
    elif isinstance(one, Recent):
        yield from _recent(one, [int(value) for value in values if value], now_ms)
    elif isinstance(one, Streak):
        yield from _streak([int(value) >> HASH_BITS & (1 << ACT_BITS) - 1 for value in values])
    elif isinstance(one, Choice):
        yield from (float(values[0] == code) for code in range(len(one.values) + 2))
    elif isinstance(one, Since):
        yield math.log1p(max(now_ms - values[0] * 1000, 0) / DAY_MS) if values[0] else 0.0
        yield float(values[0] == 0)
    else:
        yield from (_number(one, value, age_ms, now_ms) for value in values)


def _number(one: Aggregate, value: float, age_ms: int, now_ms: int) -> float:
    if isinstance(one, Latest):
        return 2 ** (-max(now_ms - value * 1000, 0) / WEEK_MS) if value else 0.0
    if isinstance(one, Earliest):
        return 0.0 if value == one.identity else math.log1p(max(now_ms - value * 1000, 0) / DAY_MS)
    return math.log1p(value * 2 ** (-age_ms / one.half_life_ms) if isinstance(one, Decayed) else value)


def _estimate(registers: Sequence[float]) -> float:
    raw = 0.673 * REGISTERS**2 / sum(2**-register for register in registers)
    empty = sum(register == 0 for register in registers)
    return REGISTERS * math.log(REGISTERS / empty) if raw <= 2.5 * REGISTERS and empty else raw


def _recent(one: Recent, entries: list[int], now_ms: int) -> Iterator[float]:
    inside = [entry for entry in entries if entry >> HASH_BITS & (1 << ACT_BITS) - 1 == 0]
    yield math.log1p(len(inside))
    yield 2 ** (-_age_ms(max(entries), now_ms) / DAY_MS) if entries else 0.0
    if len(one.acts) > 1:
        newest, at = max(entries, default=0), math.inf  # near no knot
        if newest in inside:
            age_h = max(_age_ms(newest, now_ms), MINUTE_MS) / HOUR_MS
            at = float(np.interp(math.log(age_h), np.log(AGES_H), range(len(AGES_H))))
        yield from (max(1 - abs(at - knot), 0.0) for knot in range(len(AGES_H)))


def _streak(acts: Sequence[int]) -> Iterator[float]:
    """Newest first, of each session what marked it, if anything did, and then its opening."""
    marks = "".join(map(str, acts))
    length = len(re.match(r"(1.?)*", marks).group()) + 1  # type: ignore[union-attr]
    yield from (float(min(length // 2, 3) == shown) for shown in (1, 2, 3))


def _age_ms(entry: int, now_ms: int) -> int:
    return max(now_ms - (entry >> HASH_BITS + ACT_BITS) * MINUTE_MS - MIN_EVENT_MS, 0)
