"""Two rules that look at next to nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import FeatureSet
from models.dataset import Sessions, TrainingTable
from models.scored import Predict

Array = NDArray[Any]

PRIOR_EVENTS = 1.0
"""Events of the base rates that each type is taken to have had besides its own."""


def label_counts(table: TrainingTable, features: FeatureSet) -> Array:
    """[types, K] how often each intent followed each type of event in the training split."""
    types, intents = len(features.taxonomy.types), len(features.taxonomy.intents)
    counts = np.zeros(types * intents)
    for chunk in table.chunks("train"):
        counts += np.bincount(chunk.ids[:, 0] * intents + chunk.labels, minlength=types * intents)
    return counts.reshape(types, intents)


def base_rates(counts: Array) -> Array:
    """[K] share of each intent; one that never followed gets half an event."""
    total = counts.sum(axis=0) + 0.5
    return total / total.sum()


def base_rate(counts: Array) -> Predict:
    """Says the training split's shares of the intents, whatever happens."""
    rates = base_rates(counts)
    return lambda sessions: np.broadcast_to(rates, (len(sessions.labels), len(rates)))


def last_event(counts: Array) -> Predict:
    """Says the shares of the intents that followed an event of this type."""
    seen = counts + PRIOR_EVENTS * base_rates(counts)
    rates = seen / seen.sum(axis=1, keepdims=True)

    def predict(sessions: Sessions) -> Array:
        return rates[sessions.ids[:, 0]]

    return predict
