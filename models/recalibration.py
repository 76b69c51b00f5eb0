"""Calibration's slope and intercepts: what would have to be done to the probabilities for them to be right.

    p'_k ∝ exp(slope · ln p_k + intercept_k),   intercept_0 = 0

fitted to what happened; slope 1 and intercepts 0 mean that nothing would. A slope below 1: what was said is too extreme.
Of one intent against all others this is Cox's regression of the outcome on the log odds ("Two further applications of a
model for binary regression", Biometrika 1958); of several, Van Hoorde et al., "Assessing calibration of multinomial risk
prediction models", Statistics in Medicine 2014. The draws are one Newton step from the fit, which needs but sums by user
(Moulton and Zeger, "Bootstrapping generalized linear models", Computational Statistics & Data Analysis 1991).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.calibration import log_softmax
from models.resample import Resamples, Sampled

Array = NDArray[Any]
Floats = NDArray[np.float64]

FLOOR = 1e-6
"""Probabilities are told apart down to here: beyond it, one event would decide the slope."""
TOLD_APART = 1e-6
"""Log odds that differ less are the same: a constant has no slope."""
MAX_STEPS, ENOUGH = 50, 1e-9
PULL = 1e-9
"""Keeps a fit finite where the events do not decide it."""


def recalibrate(p: Array, labels: Array, resamples: Resamples, where: Array | None = None) -> list[Sampled]:
    """Slope, and the intercept of each intent but the first.

    Args:
        p: [n', K] what was said.
        labels: [n'] what happened.
        resamples: of the events' users.
        where: [n'] which of all events these are; None: all.

    Returns:
        K figures; NaN where fewer than two intents happened, where the same is said of all events, and the intercept of an
        intent that never happened.
    """
    count = p.shape[1]
    happened = np.flatnonzero(np.bincount(labels, minlength=count))
    nothing = Sampled(np.nan, np.full(resamples.count, np.nan))
    found = [nothing] * count
    if len(happened) < 2:
        return found
    logs = np.log(np.clip(p[:, happened].astype(np.float64), FLOOR, 1.0))
    if np.ptp(logs - logs[:, :1], axis=0).max() < TOLD_APART:
        return found
    target = np.searchsorted(happened, labels)
    theta = fit(logs, target)
    gradient, hessian = _derivatives(theta, logs, target)
    size = len(theta)
    total, draws = resamples.sums(np.concatenate([gradient, hessian.reshape(len(hessian), -1)], axis=1), where)
    curvature = draws[:, size:].reshape(-1, size, size) + _pull(total[size:].reshape(size, size))
    moved = theta - np.linalg.solve(curvature, draws[:, :size, None])[..., 0]  # [R, size]
    figures = [Sampled(float(value), column) for value, column in zip(theta, moved.T, strict=True)]
    found[0] = figures[0]
    for own, one in zip(figures[1:], happened[1:], strict=True):
        found[one] = own
    return found


def recalibrate_one(p: Array, hit: Array, resamples: Resamples, where: Array | None = None) -> tuple[Sampled, Sampled]:
    """Slope and intercept of one intent against all others; ``p`` and ``hit`` [n']."""
    pair = np.stack([1.0 - p.astype(np.float64), p], axis=1)
    slope, intercept = recalibrate(pair, hit.astype(np.int64), resamples, where)
    return slope, intercept


def fit(logs: Floats, target: Array) -> Floats:
    """[K] slope and K - 1 intercepts by Newton's method; [n, K] log-probabilities and [n] codes, all of which occur."""
    theta = np.r_[1.0, np.zeros(logs.shape[1] - 1)]
    loss = _loss(theta, logs, target)
    for _ in range(MAX_STEPS):
        gradient, hessian = (one.sum(axis=0) for one in _derivatives(theta, logs, target))
        step = np.linalg.solve(hessian + _pull(hessian), gradient)
        while (tried := _loss(theta - step, logs, target)) > loss and np.abs(step).max() > ENOUGH:
            step = step / 2
        theta, loss = theta - step, tried
        if np.abs(step).max() <= ENOUGH:
            break
    return theta


def _loss(theta: Floats, logs: Floats, target: Array) -> float:
    return float(-_log_softmax(theta, logs)[np.arange(len(target)), target].sum())


def _log_softmax(theta: Floats, logs: Floats) -> Floats:
    return log_softmax(theta[0] * logs + np.r_[0.0, theta[1:]])


def _derivatives(theta: Floats, logs: Floats, target: Array) -> tuple[Floats, Floats]:
    """[n, K] gradient and [n, K, K] Hessian of each event's loss; its inputs are ln p, then one column an intercept."""
    intents = logs.shape[1]
    p = np.exp(_log_softmax(theta, logs))  # [n, K]
    error = p - np.eye(intents)[target]  # [n, K]
    gradient = np.concatenate([(error * logs).sum(1, keepdims=True), error[:, 1:]], axis=1)
    mean = np.concatenate([(p * logs).sum(1, keepdims=True), p[:, 1:]], axis=1)  # [n, K]
    hessian = -mean[:, :, None] * mean[:, None, :]  # [n, K, K]
    hessian[:, 0, 0] += (p * logs**2).sum(1)
    hessian[:, 0, 1:] += p[:, 1:] * logs[:, 1:]
    hessian[:, 1:, 0] += p[:, 1:] * logs[:, 1:]
    at = np.arange(1, intents)
    hessian[:, at, at] += p[:, 1:]
    return gradient, hessian


def _pull(hessian: Floats) -> Floats:
    return np.eye(len(hessian)) * max(PULL * float(np.trace(hessian)), 1e-12)
