"""Which sessions make a batch, by their lengths alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAX_STEPS = 256
"""Steps of a session that are trained on. What is longer is a bot's; its first steps are kept."""


def by_length(length: Array, rng: np.random.Generator | None) -> Array:
    """[n] rows in order of length, those of one length by chance, or in their own order."""
    tie = np.arange(len(length)) if rng is None else rng.permutation(len(length))
    return np.lexsort((tie, np.minimum(length, MAX_STEPS)))


def mixed(length: Array, steps: int, rng: np.random.Generator) -> list[Array]:
    """Rows of each batch: a stratified sample, with as many sessions of each length as others have, about.

    The mean over the events of a batch is a step's loss. Were sessions of a batch of like length, an event would count the
    less the longer its session is, and the model would learn other frequencies than there are (measured in ADR 0031).

    Args:
        length: [n] steps of each session.
        steps: how many batches.
        rng: chooses among sessions of like length.
    """
    strata = np.full((math.ceil(len(length) / steps), steps), -1)
    strata.flat[: len(length)] = by_length(length, rng)
    return [rows[rows >= 0] for rows in rng.permuted(strata, axis=1).T]


def plan(length: Array, size: int, rng: np.random.Generator | None) -> list[Array]:
    """Rows of each batch: sessions of like length together, so that a batch has few steps and each is wide.

    Args:
        length: [n] steps of each session.
        size: sessions of a batch, at most.
        rng: orders sessions of one length, and the batches, by chance; None: in order of length.
    """
    batches = np.array_split(by_length(length, rng), max(math.ceil(len(length) / size), 1))
    return batches if rng is None else [batches[i] for i in rng.permutation(len(batches))]
