"""How well events are ranked: AUC, average precision and lift, in every resample at one pass over the sorted events."""

from __future__ import annotations

import dataclasses
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from models.resample import Floats, Resamples, Sampled

Array = NDArray[Any]

TOP_SHARES = (0.01, 0.05, 0.10)
"""Of the events, those with the highest probabilities, for which lift is told."""
TOGETHER = 256
"""Resamples whose sums are carried along together: they stay in the processor's first cache."""


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Attributes: ``auc``, ``ap``, and ``lift`` by ``TOP_SHARES``: how many times as often as on average it happened there."""

    auc: Sampled
    ap: Sampled
    lift: tuple[Sampled, ...]


def rank(
    p: Array, hit: Array, resamples: Resamples, where: Array | None = None, weight: Array | None = None
) -> Ranking:
    """Rank events by what was said of one intent; events of equal probability count as one threshold.

    Args:
        p, hit: [n'] what was said, and whether it happened.
        resamples: of the events' users.
        where: [n'] which of all events these are; None: all.
        weight: [n'] of each event; None: 1.

    Returns:
        NaN where none of the events is a hit, or all are.
    """
    weight = np.ones(len(p)) if weight is None else weight
    total, totals = resamples.sums(np.stack([weight, weight * hit], axis=1), where)
    order = np.argsort(-p, kind="stable")
    user = (resamples.user if where is None else resamples.user[where])[order].astype(np.int64)
    ends = np.flatnonzero(np.r_[np.diff(p[order]) != 0, np.ones(min(len(p), 1), bool)]) + 1
    events = user, hit[order].astype(np.float32), weight[order].astype(np.float32), ends
    once = np.ones((resamples.users, 1), np.float32)
    whole = _figures(events, once, total[None])
    draws = _figures(events, resamples.by_user, totals)
    figures = [Sampled(float(value), column) for value, column in zip(whole[0], draws.T, strict=True)]
    return Ranking(figures[0], figures[1], tuple(figures[2:]))


def _figures(events: tuple[Array, ...], draws: Array, totals: Floats) -> Floats:
    """[R, 2 + shares] AUC, AP and lifts of draws [U, R] with sums [R, 2] of events and hits."""
    every, hits = totals.T
    with np.errstate(divide="ignore", invalid="ignore"):
        pairs, precision = _passed(*events, draws) / hits
        lift = _tops(*events, draws, totals, np.array(TOP_SHARES)) / (hits / every)[:, None]
        found = np.column_stack([pairs / (every - hits), precision, lift])
    found[(hits <= 0) | (hits >= every)] = np.nan
    return found


@numba.njit(cache=True, fastmath=True)  # type: ignore[untyped-decorator, unused-ignore]
def _passed(user: Array, hit: Array, weight: Array, ends: Array, draws: Array) -> Array:
    """[2, R] pairs in the right order, a tie counting half, and the sum over hits of the precision at their threshold."""
    count = draws.shape[1]
    result = np.zeros((2, count))
    for low in range(0, count, TOGETHER):
        size = min(TOGETHER, count - low)
        seen, found = np.zeros(size), np.zeros(size)
        pairs, precision = np.zeros(size), np.zeros(size)
        start = 0
        for end in ends:
            group, hits = np.zeros(size), np.zeros(size)
            for i in range(start, end):
                drawn = draws[user[i], low : low + size]
                for r in range(size):
                    group[r] += weight[i] * drawn[r]
                    hits[r] += weight[i] * hit[i] * drawn[r]
            start = end
            for r in range(size):
                pairs[r] += (group[r] - hits[r]) * (found[r] + 0.5 * hits[r])
                seen[r] += group[r]
                found[r] += hits[r]
                precision[r] += hits[r] * found[r] / max(seen[r], 1e-30)
        result[0, low : low + size] = pairs
        result[1, low : low + size] = precision
    return result


@numba.njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def _tops(user: Array, hit: Array, weight: Array, ends: Array, draws: Array, totals: Array, shares: Array) -> Array:
    """[R, shares] share of hits among the top events. Where the top ends within a tie, hits are taken to lie evenly in it."""
    result = np.full((draws.shape[1], len(shares)), np.nan)
    for r in range(draws.shape[1]):
        seen = found = 0.0
        share, start = 0, 0
        for end in ends:
            group = hits = 0.0
            for i in range(start, end):
                mass = weight[i] * draws[user[i], r]
                group += mass
                hits += mass * hit[i]
            start = end
            while share < len(shares) and group > 0.0 and seen + group >= shares[share] * totals[r, 0]:
                top = shares[share] * totals[r, 0]
                result[r, share] = (found + hits * (top - seen) / group) / top
                share += 1
            if share == len(shares):
                break
            seen += group
            found += hits
    return result
