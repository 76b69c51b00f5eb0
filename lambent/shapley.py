"""Exact Shapley values: what each of a few players adds to the worth of all, over all orders in which they may come.

    φ_g = Σ_S  |S|! (G − |S| − 1)! / G!  ·  (worth(S ∪ g) − worth(S)),   S without g

They are the only shares that sum to ``worth(all) − worth(none)``, treat equals alike and give nothing to who adds nothing:
Shapley, "A value for n-person games", 1953; of a model's inputs: Štrumbelj and Kononenko, JMLR 2010. All 2^G coalitions are
asked for, which for the few groups of a profile is one batch of the model; nothing is sampled, so nothing varies.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def coalitions(players: int) -> NDArray[np.bool_]:
    """[2^G, G] who is in each coalition: player g is in coalition c where bit g of c is set."""
    bits: NDArray[np.bool_] = np.arange(1 << players)[:, None] >> np.arange(players) & 1 == 1
    return bits


def shapley(worth: NDArray[Any]) -> NDArray[np.float64]:
    """[G, K] shares of the players.

    Args:
        worth: [2^G, K] of each coalition, in the order of ``coalitions``.
    """
    players = len(worth).bit_length() - 1
    inside = coalitions(players)
    size = inside.sum(axis=1)
    weight = np.array([1 / (players * math.comb(players - 1, n)) for n in range(players)])
    shares = np.empty((players, worth.shape[1]))
    for g in range(players):
        without = np.flatnonzero(~inside[:, g])
        shares[g] = weight[size[without]] @ (worth[without | 1 << g].astype(np.float64) - worth[without])
    return shares
