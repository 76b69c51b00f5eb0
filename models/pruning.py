"""Magnitude pruning while a network trains: the smallest weights of each matrix become 0 and stay so, more of them with each step
of the first epoch, and the epochs after it make up for them.

Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression", ICLR workshop 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def share_at(step: int, steps: int, share: float) -> float:
    """Share of a matrix's weights that are 0 after a step of those over which it rises to ``share``."""
    return share * (1.0 - (1.0 - min(step / max(steps, 1), 1.0)) ** 3)


def prune(vector: NDArray[np.float32], sizes: Sequence[int], share: float) -> NDArray[np.float32]:
    """The vector with the smallest of each part set to 0.

    Args:
        vector: [sum of sizes] weights, matrix by matrix.
        sizes: how many each matrix has.
        share: of each that shall be 0; what is 0 already is among them.
    """
    parts = np.split(np.abs(vector), np.cumsum(sizes)[:-1])
    least = np.concatenate([np.full(len(part), np.quantile(part, share, method="lower")) for part in parts])
    return np.where(np.abs(vector) <= least, np.float32(0), vector) if share else vector
