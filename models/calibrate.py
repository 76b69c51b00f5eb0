"""Fits a calibration (``lambent.calibration``) on the validation split. A proper score is minimised, so that it cannot make
the validation split worse; a slight pull to scale 1 and bias 0 holds it where an intent is rare.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lambent.calibration import Calibration, log_softmax

Array = NDArray[np.float64]

PULL_EVENTS = 10.0
"""Strength of the pull to 'unchanged', in events: how much a deviation of 1 costs, in nats, twice over."""


def log_loss(probabilities: Array, labels: NDArray[np.int32]) -> float:
    """Mean cross-entropy per event in nats; ``probabilities`` [n, K], ``labels`` [n]."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def fit_calibration(logits: Array, labels: NDArray[np.int32]) -> Calibration:
    """Fit by L-BFGS; [n, K] logits and [n] labels. Without events it changes nothing."""
    from scipy.optimize import minimize

    intents = logits.shape[1]
    if not len(labels):
        return Calibration.identity(intents)
    logs, target = log_softmax(logits), np.eye(intents)[labels]
    unchanged = np.r_[np.ones(intents), np.zeros(intents)]

    def objective(theta: Array) -> tuple[float, Array]:
        out = log_softmax(theta[:intents] * logs + theta[intents:])  # [n, K]
        error = np.exp(out) - target  # [n, K]
        gradient = np.r_[(error * logs).sum(0), error.sum(0)] + PULL_EVENTS * (theta - unchanged)
        value = -(target * out).sum() + PULL_EVENTS / 2 * np.square(theta - unchanged).sum()
        return value / len(labels), gradient / len(labels)

    found = minimize(objective, unchanged, jac=True, method="L-BFGS-B").x
    return Calibration(tuple(found[:intents].tolist()), tuple(found[intents:].tolist()))
