"""The bootstrap by user: figures with their intervals, and paired differences of them.

A user's events hang together, so whole users are drawn, with replacement, as many as there are (a cluster bootstrap:
Davison and Hinkley, "Bootstrap Methods and their Application", 1997, 3.8). Every figure of an evaluation is taken on the
same draws, so that the interval of a difference is that of paired figures. What is a quotient of sums over events costs one
product of matrices: sums by user [m, U] times weights of users [U, R].
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]

RESAMPLES = 1_000
TAIL = 2.5
"""Percent of the draws that lie beyond each end of an interval: 95 % lie within."""
MIN_FINITE = 0.5
"""Share of the draws that must give a number. Where an intent is so rare that fewer do, there is no interval."""


@dataclasses.dataclass(frozen=True)
class Sampled:
    """A figure and what it was in each resample.

    Attributes:
        value: on the events as they are; NaN where it has no meaning.
        draws: [R] in the resamples.
    """

    value: float
    draws: Floats

    def __sub__(self, other: Sampled) -> Sampled:
        return Sampled(self.value - other.value, self.draws - other.draws)

    def __truediv__(self, other: Sampled) -> Sampled:
        with np.errstate(divide="ignore", invalid="ignore"):
            return Sampled(float(np.divide(self.value, other.value)), self.draws / other.draws)

    def figure(self) -> dict[str, float | None]:
        """``value``, ``low`` and ``high``: the percentile interval of 95 %; None where there is no number."""
        finite = self.draws[np.isfinite(self.draws)]
        known = math.isfinite(self.value) and len(finite) >= MIN_FINITE * len(self.draws) > 0
        low, high = np.percentile(finite, [TAIL, 100 - TAIL]).tolist() if known else (None, None)
        return {"value": self.value if math.isfinite(self.value) else None, "low": low, "high": high}


def certain(value: float, like: Sampled) -> Sampled:
    """A number that no draw changes."""
    return Sampled(value, np.full(len(like.draws), value))


class Resamples:
    """Draws of users.

    Args:
        user: [n] code of each event's user, 0 … users - 1.
        users: how many there are.
        count: how many resamples, R.
        seed: the same seed, the same draws.

    Attributes:
        by_user: [U, R] float32: how often a resample has each user.
    """

    def __init__(self, user: Array, users: int, count: int = RESAMPLES, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self.user, self.users = user, users
        self.count = count
        self.by_user = np.empty((users, count), np.float32)
        for r in range(count):
            self.by_user[:, r] = np.bincount(rng.integers(0, max(users, 1), users), minlength=users)

    def sums(self, values: Array, where: Array | None = None) -> tuple[Floats, Floats]:
        """Sums over events, as they are and in each resample.

        Args:
            values: [n, m] of all events, or of those that ``where`` picks.
            where: [n'] positions of the events that count; None: all.

        Returns:
            [m] and [R, m].
        """
        user = self.user if where is None else self.user[where]
        by_user = np.stack([np.bincount(user, column, self.users) for column in values.T.astype(np.float64)])  # [m, U]
        return by_user.sum(axis=1), (by_user.astype(np.float32) @ self.by_user).T.astype(np.float64)

    def ratio(self, above: Array, below: Array | None = None, where: Array | None = None) -> Sampled:
        """Sum of ``above`` [n] over sum of ``below`` [n]; None: over the number of events, so that it is a mean."""
        pair = np.stack([above, np.ones(len(above)) if below is None else below], axis=1)
        total, draws = self.sums(pair, where)
        return of_sums(total[0], draws[:, 0]) / of_sums(total[1], draws[:, 1])


def of_sums(total: Any, draws: Floats) -> Sampled:
    """A sum and its draws as a figure."""
    return Sampled(float(total), draws)
