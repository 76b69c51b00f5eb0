"""Vector scaling: a scale and a bias for each intent.

    p = softmax(scale ⊙ log_softmax(logits) + bias)

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. Training fits one and exports it inside the model
(``models.calibrate``); a control entry may put another one behind it, which takes what the model says for logits.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST = 1e-12
"""A probability of less counts as that much, so that it has a logarithm."""


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Attributes: ``scale`` and ``bias``, [K] each, in the order of the intents."""

    scale: tuple[float, ...]
    bias: tuple[float, ...]

    @classmethod
    def identity(cls, intents: int) -> Calibration:
        """What changes nothing."""
        return cls((1.0,) * intents, (0.0,) * intents)

    def fits(self, intents: int) -> bool:
        """Whether it is one for so many intents: finite numbers, and no intent's order turned round."""
        numbers = (*self.scale, *self.bias)
        return len(self.scale) == len(self.bias) == intents and all(map(math.isfinite, numbers)) and min(self.scale) > 0

    def apply(self, logits: Array) -> Array:
        """[n, K] logits → [n, K] probabilities."""
        return np.exp(log_softmax(np.array(self.scale) * log_softmax(logits) + np.array(self.bias)))

    def correct(self, probabilities: NDArray[Any]) -> Array:
        """[n, K] probabilities → [n, K] probabilities."""
        return self.apply(np.log(np.maximum(probabilities.astype(np.float64), LEAST)))


def log_softmax(logits: Array) -> Array:
    """[n, K] → [n, K] log-probabilities, double."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
