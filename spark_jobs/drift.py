"""Whether two samples come from one distribution: two measures, each with what chance alone would give.

The **population stability index** is Σ (q − p) ln(q / p) over bins of a tenth of the reference each. The two-sample
**Kolmogorov–Smirnov** statistic is the widest gap between the two cumulative distributions. Values that many rows share
make both of them smaller by chance, never larger, so that a limit from the formulas below is a safe one.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]
BINS = 10


def psi(reference: Values, new: Values) -> float:
    """The index of [m] values beside [n] of a reference. Half a row is added to each bin, so that none is empty."""
    edges = np.unique(np.quantile(reference, np.arange(1, BINS) / BINS, method="lower"))
    edges = edges[edges < reference.max()]  # beyond the last edge there is a bin too
    p, q = (
        (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
        for counts in (
            np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
            for values in (reference, new)
        )
    )
    return float(((q - p) * np.log(q / p)).sum())


def psi_by_chance(n: float, m: float, alpha: float) -> float:
    """What the index of samples of n and m rows from one distribution exceeds with probability ``alpha``.

    It is (1/n + 1/m) χ² with ``BINS - 1`` degrees of freedom (Yurdakul and Naranjo, "Statistical properties of the
    population stability index", Journal of Risk Model Validation 14, 2020); χ² by Wilson and Hilferty's approximation (1931).
    """
    free = BINS - 1
    spread = 2 / (9 * free)
    quantile = free * (1 - spread + NormalDist().inv_cdf(1 - alpha) * math.sqrt(spread)) ** 3
    return (1 / n + 1 / m) * quantile


def ks(reference: Values, new: Values) -> float:
    """The widest gap."""
    reference, new = np.sort(reference), np.sort(new)
    at = np.concatenate([reference, new])
    gaps = np.searchsorted(reference, at, "right") / len(reference) - np.searchsorted(new, at, "right") / len(new)
    return float(np.abs(gaps).max())


def ks_by_chance(n: float, m: float, alpha: float) -> float:
    """What the gap of samples of n and m rows from one distribution exceeds with probability ``alpha``.

    Kolmogorov's limit, 2 exp(−2 λ²) = alpha, with Stephens's correction for small samples,
    λ = (√e + 0.12 + 0.11/√e) D and e = nm/(n + m) (M. A. Stephens, Journal of the Royal Statistical Society B 32, 1970).
    """
    root = math.sqrt(n * m / (n + m))
    return math.sqrt(math.log(2 / alpha) / 2) / (root + 0.12 + 0.11 / root)
