"""What the model sees of a profile, compiled: profile by profile, kind by kind, in the order of ``Layout.feature_names``.

``aggregates`` and ``facts`` say what the features are. The tests' oracle says the same slowly, one feature after the other.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from lambent.aggregates import (
    ACT_BITS,
    AGES_H,
    DAY_MS,
    HASH_BITS,
    HOUR_MS,
    MINUTE_MS,
    RECALLED,
    REGISTERS,
    SECOND_MS,
    STREAK,
    WEEK_MS,
)
from lambent.events import MIN_EVENT_MS
from lambent.monoid import NEVER_SEEN
from lambent.sessions import NEVER_MS
from lambent.views import MAP_WITH_AGES, STREAK_MAP, Array, Profiles, Shown

LOG_AGES = np.log(np.array(AGES_H, np.float64))
BIAS = 0.673
"""Of the harmonic mean of 16 registers."""


@njit
def show_profiles(shown: Shown, profiles: Profiles, clock_ms: Array, into: Array) -> None:
    """Write the features of n profiles.

    Args:
        shown: of the layout.
        profiles: n of them.
        clock_ms: [n] the time asked for, which no profile is later than.
        into: [n, features].
    """
    weight = np.empty(len(shown.half_life_ms))
    for u in range(len(clock_ms)):
        now_ms, row = clock_ms[u], into[u]
        age_ms = 0 if profiles.clock_ms[u] == NEVER_MS else profiles.clock_ms[u] - now_ms
        for h in range(len(weight)):
            weight[h] = 2.0 ** (age_ms / shown.half_life_ms[h])
        at = _show_numbers(shown, profiles, u, now_ms, weight, row)
        at = _show_distinct(profiles.register, u, row, at)
        at = _show_recent(shown.maps, profiles.recent, u, now_ms, row, at)
        at = _show_facts(shown.choices, profiles.fact, u, now_ms, row, at)
        _show_now(shown.clocks, now_ms, row, at)


@njit
def _show_numbers(shown: Shown, profiles: Profiles, u: int, now_ms: int, weight: Array, row: Array) -> int:
    """Counts, decayed sums, and the newest and oldest times."""
    count, decayed, latest, earliest = profiles.count[u], profiles.decayed[u], profiles.latest[u], profiles.earliest[u]
    for k in range(len(count)):
        row[k] = math.log1p(count[k]) if count[k] else 0.0
    at = len(count)
    for k in range(len(shown.decayed)):
        column = shown.decayed[k]
        value = decayed[column]
        row[at + k] = math.log1p(value * weight[shown.half_life_of[column]]) if value else 0.0
    at += len(shown.decayed)
    for k in range(len(latest)):
        row[at + k] = 2.0 ** (-max(now_ms - latest[k] * SECOND_MS, 0) / WEEK_MS) if latest[k] else 0.0
    at += len(latest)
    for k in range(len(earliest)):
        known = earliest[k] != NEVER_SEEN
        row[at + k] = math.log1p(max(now_ms - earliest[k] * SECOND_MS, 0) / DAY_MS) if known else 0.0
    return at + len(earliest)


@njit
def _show_distinct(register: Array, u: int, row: Array, at: int) -> int:
    """The estimates of distinct counts."""
    for first in range(0, register.shape[1], REGISTERS):
        total, empty = 0.0, 0
        for k in range(first, first + REGISTERS):
            total += 2.0 ** -float(register[u, k])
            empty += register[u, k] == 0
        estimate = BIAS * REGISTERS**2 / total
        if estimate <= 2.5 * REGISTERS and empty > 0:
            estimate = REGISTERS * math.log(REGISTERS / empty)
        row[at] = math.log1p(estimate)
        at += 1
    return at


@njit
def _show_recent(maps: Array, recent: Array, u: int, now_ms: int, row: Array, at: int) -> int:
    """What last-N maps hold."""
    for m in range(len(maps)):
        if maps[m] == STREAK_MAP:
            at = _show_streak(recent, u, m * RECALLED, row, at)
            continue
        held, newest = 0, np.int64(0)
        for k in range(m * RECALLED, (m + 1) * RECALLED):
            entry = recent[u, k]
            newest = max(newest, entry)
            held += entry != 0 and _act_of(entry) == 0
        row[at] = math.log1p(held)
        row[at + 1] = 0.0 if newest == 0 else 2.0 ** (-max(now_ms - _time_of(newest), 0) / DAY_MS)
        at += 2
        if maps[m] == MAP_WITH_AGES:
            row[at : at + len(LOG_AGES)] = 0.0
            if newest != 0 and _act_of(newest) == 0:
                _show_age(max(now_ms - _time_of(newest), MINUTE_MS) / HOUR_MS, row, at)
            at += len(LOG_AGES)
    return at


@njit
def _show_streak(recent: Array, u: int, first: int, row: Array, at: int) -> int:
    """How many sessions in a row were marked, newest first: an entry with act 1, and then that of its opening."""
    length = 0
    while 2 * length < RECALLED and _act_of(recent[u, first + 2 * length]) == 1:
        length += 1
    row[at : at + STREAK] = 0.0
    if length:
        row[at + min(length, STREAK) - 1] = 1.0
    return at + STREAK


@njit
def _act_of(entry: int) -> int:
    return (entry >> HASH_BITS) & ((1 << ACT_BITS) - 1)


@njit
def _time_of(entry: int) -> int:
    """Time of an entry, a whole minute, in milliseconds."""
    return (entry >> (HASH_BITS + ACT_BITS)) * MINUTE_MS + MIN_EVENT_MS


@njit
def _show_age(age_h: float, row: Array, at: int) -> None:
    """An age between two knots, linear in its logarithm; before the first and after the last one it is that knot's."""
    log_age, last = math.log(age_h), len(LOG_AGES) - 1
    k = 0
    while k < last and log_age >= LOG_AGES[k + 1]:
        k += 1
    if k == last or log_age <= LOG_AGES[0]:
        row[at + k] = 1.0
        return
    share = (log_age - LOG_AGES[k]) / (LOG_AGES[k + 1] - LOG_AGES[k])
    row[at + k], row[at + k + 1] = 1.0 - share, share


@njit
def _show_facts(choices: Array, fact: Array, u: int, now_ms: int, row: Array, at: int) -> int:
    """What is told: which of some codes, or since when."""
    for k in range(len(choices)):
        code = fact[u, k]
        if choices[k]:
            for choice in range(choices[k]):
                row[at + choice] = 1.0 if code == choice else 0.0
            at += choices[k]
        else:
            row[at] = math.log1p(max(now_ms - code * SECOND_MS, 0) / DAY_MS) if code else 0.0
            row[at + 1] = 0.0 if code else 1.0
            at += 2
    return at


@njit
def _show_now(clocks: Array, now_ms: int, row: Array, at: int) -> None:
    """Of each rhythm which bucket's time it is."""
    for k in range(len(clocks)):
        bucket_ms, buckets = clocks[k]
        row[at : at + buckets] = 0.0
        row[at + now_ms // bucket_ms % buckets] = 1.0
        at += buckets
