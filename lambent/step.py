"""What one step of the model sees: the event, the session's counters so far, and what the history says about it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lambent.aggregates import DAY_MS, Affinity
from lambent.encoding import Events
from lambent.features import EMBEDDED, FeatureSet
from lambent.profile import Profiles
from lambent.sessions import Sessions, bit

Floats = NDArray[np.float32]


def step_ids(events: Events) -> NDArray[np.int32]:
    """[n, ids] the event's type, then each embedded column's row in its table; 0 is 'missing'."""
    columns = [events["type"].astype(np.int32)]
    for name, rows in EMBEDDED.items():
        hashes = events[name].astype(np.int64)
        columns.append(np.where(hashes == 0, 0, 1 + hashes % (rows - 1)).astype(np.int32))
    return np.stack(columns, axis=1)


def step_floats(
    features: FeatureSet, before: Sessions, after: Sessions, base: Profiles, tile: Profiles, events: Events
) -> Floats:
    """[n, floats] the numbers of a step, in the order of ``FeatureSet.step_floats``; 0 where something is missing.

    Args:
        features: the feature set.
        before, after: [n] sessions before and after the event.
        base, tile: [n] what the profile is merged from, as it stood before the event.
        events: [n] marked events.
    """
    clock_ms = after["clock_ms"]
    columns = [
        *_times(before, after, events),
        *_price(features, base, tile, events, clock_ms),
        np.log1p(np.nan_to_num(events["dwell_ms"], nan=0.0) / 1000),
        np.isnan(events["dwell_ms"]),
        np.log1p(after["events"]),
        *np.log1p(after["types"]).T,
        *_repeats(before, after, events),
        *(_affinity(features, a, base, tile, events, clock_ms) for a in features.lookups),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _times(before: Sessions, after: Sessions, events: Events) -> list[NDArray[np.float64]]:
    t_ms = events["t_ms"]
    fresh = after["events"] <= 1
    gap_ms = np.where(fresh, 0, np.maximum(t_ms - before["last_ms"], 0))
    elapsed_ms = np.maximum(t_ms - after["start_ms"], 0)
    day = 2 * np.pi * (t_ms % DAY_MS) / DAY_MS
    week = 2 * np.pi * (t_ms % (7 * DAY_MS)) / (7 * DAY_MS)
    logs = [np.log1p(gap_ms / 1000), np.log1p(elapsed_ms / 1000)]
    return [*logs, np.sin(day), np.cos(day), np.sin(week), np.cos(week)]


def _price(
    features: FeatureSet, base: Profiles, tile: Profiles, events: Events, clock_ms: NDArray[np.int64]
) -> list[NDArray[np.float64]]:
    missing = np.isnan(events["price"])
    price_log = np.log1p(np.where(missing, 0.0, events["price"]))
    columns = features.profile.column
    if "view_log_price_7d" not in columns:
        return [price_log, missing, np.zeros(len(events))]
    total = _decayed_at(features, columns["view_log_price_7d"], base, tile, clock_ms)
    weight = _decayed_at(features, columns["view_7d"], base, tile, clock_ms)
    level = total / np.maximum(weight, 1e-9)
    return [price_log, missing, np.where(missing | (weight < 1e-6), 0.0, price_log - level)]


def _repeats(before: Sessions, after: Sessions, events: Events) -> list[NDArray[np.bool_]]:
    same = after["events"] > 1
    products = (before["products"] & bit(events["product"])) != 0
    categories = (before["categories"] & bit(events["category"])) != 0
    return [same & products, same & categories]


def _affinity(
    features: FeatureSet,
    affinity: Affinity,
    base: Profiles,
    tile: Profiles,
    events: Events,
    clock_ms: NDArray[np.int64],
) -> NDArray[np.float64]:
    column = features.profile.column[affinity.name] + affinity.cell(events)
    value = _decayed_at(features, column, base, tile, clock_ms)
    return np.where(events[affinity.by] == 0, 0.0, np.log1p(value))


def _decayed_at(
    features: FeatureSet, column: int | NDArray[np.int64], base: Profiles, tile: Profiles, clock_ms: NDArray[np.int64]
) -> NDArray[np.float64]:
    """[n] one decayed column of merge(base, tile) as of ``clock_ms``, without merging the rest."""
    rows = np.arange(len(clock_ms))
    half_life_ms = features.profile.half_lives_ms[column]
    total = np.zeros(len(clock_ms))
    for part in (base, tile):
        total += part["decayed"][rows, column] * np.exp2((part["clock_ms"] - clock_ms) / half_life_ms)
    return total
