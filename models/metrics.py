"""How good the probabilities are: ranking (AUC, AP, lift), honesty (ECE, slope, reliability), decisions, and log loss.

Each figure is a ``Sampled``: a value with its draws, so that it has an interval and can be paired with another model's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.calibration import LEAST
from models.ranking import TOP_SHARES, rank
from models.recalibration import recalibrate, recalibrate_one
from models.resample import Floats, Resamples, Sampled, of_sums

Array = NDArray[Any]
Figures = dict[str, Sampled]

BINS = 15
CURVE_POINTS = 200


def joint_figures(p: Array, labels: Array, resamples: Resamples, where: Array | None = None) -> Figures:
    """Of the whole distribution: log loss in nats an event, accuracy of its likeliest intent, slope of its calibration.

    Args:
        p: [n', K] probabilities.
        labels: [n'] codes of the intents.
        resamples: of the events' users.
        where: [n'] which of all events these are; None: all.
    """
    return {
        "log_loss": resamples.ratio(losses(p, labels), where=where),
        "accuracy": resamples.ratio(p.argmax(axis=1) == labels, where=where),
        "slope": recalibrate(p, labels, resamples, where)[0],
    }


def intent_figures(p: Array, hit: Array, resamples: Resamples, where: Array | None = None) -> Figures:
    """Of one intent: base rate, ranking and calibration; ``p`` and ``hit`` [n']."""
    ranking = rank(p, hit, resamples, where)
    lift = {f"lift_{share * 100:g}": one for share, one in zip(TOP_SHARES, ranking.lift, strict=True)}
    base = {"base_rate": resamples.ratio(hit, where=where)}
    return {**base, "auc": ranking.auc, "ap": ranking.ap, **honest_figures(p, hit, resamples, where), **lift}


def honest_figures(p: Array, hit: Array, resamples: Resamples, where: Array | None = None) -> Figures:
    """Of one intent: calibration; ``p`` and ``hit`` [n'].

    ``ece_relative`` is over the base rate; ``ece_by_chance`` is what an honest model's would be on average, with as many
    users: no fewer events can show less.
    """
    slope, intercept = recalibrate_one(p, hit, resamples, where)
    ece, by_chance = calibration_error(p, hit, resamples, where)
    relative = ece / resamples.ratio(hit, where=where)
    return {"slope": slope, "intercept": intercept, "ece": ece, "ece_relative": relative, "ece_by_chance": by_chance}


def decision_figures(p: Array, hit: Array, threshold: float, resamples: Resamples) -> Figures:
    """Of one intent, acted on from a threshold on; ``p`` and ``hit`` [n]. ``acted`` is the share of events acted on."""
    act = p >= threshold
    return {
        "accuracy": resamples.ratio(act == hit),
        "precision": resamples.ratio(act & hit, act),
        "recall": resamples.ratio(act & hit, hit),
        "f1": resamples.ratio(2 * (act & hit), act.astype(np.int64) + hit),
        "acted": resamples.ratio(act),
    }


def losses(p: Array, labels: Array) -> Floats:
    """[n] -ln(probability of what happened); [n, K] and [n]."""
    return -np.log(np.maximum(p[np.arange(len(labels)), labels].astype(np.float64), LEAST))


def log_loss(p: Array, labels: Array) -> float:
    """Mean of ``losses``, nats an event."""
    return float(losses(p, labels).mean()) if len(labels) else float("nan")


def bins_of(p: Array, bins: int = BINS) -> Array:
    """[n] number of each event's bin: of equally many events, in order of ``p``; equal ones go to that of their middle."""
    _, same, count = np.unique(p, return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - (count + 1) / 2
    return (middle[same] * bins / max(len(p), 1)).astype(np.int64)


def _by_bin(p: Array, hit: Array, resamples: Resamples, where: Array | None, bins: int) -> tuple[Floats, Floats]:
    """[3, bins] and [R, 3, bins] sums of what was said, of what happened, and of the events, in each bin."""
    inside = np.eye(bins)[bins_of(p, bins)]  # [n, bins]
    values = np.concatenate([inside * p[:, None], inside * hit[:, None], inside], axis=1)
    total, draws = resamples.sums(values, where)
    return total.reshape(3, bins), draws.reshape(-1, 3, bins)


def reliability(p: Array, hit: Array, resamples: Resamples, bins: int = BINS) -> list[dict[str, float | None]]:
    """Bins of equal mass: ``predicted`` and ``observed`` on average in each, the latter with ``low`` and ``high``."""
    total, draws = _by_bin(p, hit, resamples, None, bins)
    found = []
    for one in np.flatnonzero(total[2]):
        events, seen = of_sums(total[2, one], draws[:, 2, one]), of_sums(total[1, one], draws[:, 1, one])
        figure = (seen / events).figure()
        observed = {"observed": figure["value"], "low": figure["low"], "high": figure["high"]}
        found.append({"predicted": float(total[0, one] / total[2, one]), **observed, "events": int(total[2, one])})
    return found


def calibration_error(
    p: Array, hit: Array, resamples: Resamples, where: Array | None = None, bins: int = BINS
) -> tuple[Sampled, Sampled]:
    """ECE: mean distance between said and happened over bins of equal mass, weighted by their events; and by chance.

    Naeini et al., AAAI 2015; bins of equal mass: Nguyen and O'Connor, EMNLP 2015. A mean of distances is above 0 for an
    honest model too: by chance is the mean of what the bins' distances move by in the draws. Bins stay the same in these.
    """
    total, draws = _by_bin(p, hit, resamples, where, bins)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = (total[0] - total[1]) / total[2].sum()
        gaps = (draws[:, 0] - draws[:, 1]) / draws[:, 2].sum(axis=1, keepdims=True)
    ece = Sampled(float(np.abs(gap).sum()), np.abs(gaps).sum(axis=1))
    chance = np.abs(gaps - gap).sum(axis=1)
    return ece, Sampled(float(np.nanmean(chance)) if len(p) else float("nan"), chance)


def curve(p: Array, hit: Array, points: int = CURVE_POINTS) -> dict[str, list[float]]:
    """Precision by recall at each threshold, highest first, thinned to at most ``points``."""
    order = np.argsort(-p, kind="stable")
    found = np.cumsum(hit[order])
    last_of_tie = np.flatnonzero(np.r_[np.diff(p[order]) != 0, np.ones(min(len(p), 1), bool)])
    if not hit.any():
        return {"recall": [], "precision": []}
    precision, recall = found[last_of_tie] / (last_of_tie + 1), found[last_of_tie] / found[-1]
    grid = np.linspace(0, 1, points)
    keep = np.unique(np.searchsorted(recall, grid).clip(max=len(recall) - 1))
    return {"recall": recall[keep].round(5).tolist(), "precision": precision[keep].round(5).tolist()}


def shown(figures: Figures) -> dict[str, dict[str, float | None]]:
    """Figures as values with intervals, for JSON."""
    return {name: one.figure() for name, one in figures.items()}
