"""Fits a calibration (``lambent.calibration``) on the validation split, and keeps it where it helps sessions that it was not
fitted on.

A proper score is minimised, with a slight pull to scale 1 and bias 0, which holds it where an intent is rare. What a model says
after it was trained with a proper score is nearly calibrated already, and what is fitted to the luck of one split then does harm
(ADR 0031). So cross-validation decides: what changes nothing is taken unless the other is surely better.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lambent.calibration import Calibration, log_softmax
from models.metrics import losses

Array = NDArray[np.float64]

FOLDS = 5
SURE = 2.0
"""Standard errors by which it has to be better."""
PULL_EVENTS = 10.0
"""Strength of the pull to 'unchanged', in events: how much a deviation of 1 costs, in nats, twice over."""


def fit_calibration(logits: Array, labels: NDArray[np.int32], session: NDArray[np.int64]) -> Calibration:
    """The calibration, or what changes nothing where that is as good.

    Args:
        logits: [n, K] what a model says.
        labels: [n] what happened.
        session: [n] whose event it is: events of one are no independent witnesses.
    """
    unchanged = Calibration.identity(logits.shape[1])
    if not len(labels):
        return unchanged
    logs = log_softmax(logits)
    found = _fit(logs, labels, unchanged)
    gains, fold = np.empty(len(labels)), session % FOLDS
    for number in range(FOLDS):
        inside = fold == number
        others = _fit(logs[~inside], labels[~inside], found) if not inside.all() else unchanged
        before, after = (losses(one.apply(logs[inside]), labels[inside]) for one in (unchanged, others))
        gains[inside] = before - after
    by_session = np.bincount(session, gains)
    return found if by_session.sum() > SURE * math.sqrt(len(by_session)) * by_session.std() else unchanged


def _fit(logs: Array, labels: NDArray[np.int32], start: Calibration) -> Calibration:
    """By L-BFGS, from ``start`` on; [n, K] log-probabilities and [n] labels."""
    from scipy.optimize import minimize

    intents = logs.shape[1]
    target, unchanged = np.eye(intents)[labels], np.r_[np.ones(intents), np.zeros(intents)]

    def objective(theta: Array) -> tuple[float, Array]:
        out = log_softmax(theta[:intents] * logs + theta[intents:])  # [n, K]
        error = np.exp(out) - target  # [n, K]
        gradient = np.r_[(error * logs).sum(0), error.sum(0)] + PULL_EVENTS * (theta - unchanged)
        value = -(target * out).sum() + PULL_EVENTS / 2 * np.square(theta - unchanged).sum()
        return value / len(labels), gradient / len(labels)

    found = minimize(objective, np.r_[start.scale, start.bias], jac=True, method="L-BFGS-B").x
    return Calibration(tuple(found[:intents].tolist()), tuple(found[intents:].tolist()))
