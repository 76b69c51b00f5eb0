"""Rates that few visits have shown: shrunk towards those of a larger group, by as much as the groups differ.

Empirical Bayes with a beta-binomial model (Carlin, Louis, "Bayes and Empirical Bayes Methods for Data Analysis", 3.3; the
moments after Kleinman, "Proportions with extraneous variance", J. Am. Stat. Assoc. 68, 1973). Of a group's n visits k went on.
Its rate is drawn from a beta distribution with the mean m of what it belongs to and the strength s, as if s visits had been seen
before with the share m: so its estimate is (k + s·m) / (n + s).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

STRENGTHS = (1.0, 10_000.0)
"""The least and the most that a mean counts, in visits: what the moments of few groups say can be beyond sense."""


def whole_rate(successes: int, trials: int) -> float:
    """The rate of all together, with one visit of each kind seen before, so that it is never 0, 1 or unknown."""
    return (successes + 1) / (trials + 2)


def shrunk(successes: Counts, trials: Counts, means: Floats) -> Floats:
    """[n] rates of groups.

    Args:
        successes, trials: [n] k and n of each group, k from 0 to n.
        means: [n] m, between 0 and 1, what each is shrunk to.
    """
    strength = find_strength(successes, trials, means)
    return (successes + strength * means) / (trials + strength)


def find_strength(successes: Counts, trials: Counts, means: Floats) -> float:
    """s, in visits, such that the groups differ from their means as much as they are seen to.

    With rho = 1 / (s + 1), the variance of k is v·n·(1 + (n − 1)·rho), where v = m·(1 − m). Summed over the groups, with each
    (k − n·m)² / n weighing once, that is an equation for rho.
    """
    seen = trials > 0
    k, n, m = successes[seen], trials[seen], means[seen]
    v = m * (1 - m)
    spread, extra = np.sum((k - n * m) ** 2 / n - v), np.sum(v * (n - 1))
    rho = spread / extra if extra > 0 else 0.0
    least, most = STRENGTHS
    return float(np.clip(1 / rho - 1 if rho > 0 else most, least, most))
