"""How good the probabilities are: ranking (AUC, AP), honesty (ECE, reliability) and both at once (log loss)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

BINS = 15
CURVE_POINTS = 200


def evaluate(probabilities: Floats, labels: Ints, intents: tuple[str, ...], base_rates: Floats) -> dict[str, Any]:
    """All figures of one model on one split.

    Args:
        probabilities: [n, K] of n events.
        labels: [n] codes of the intents.
        intents: K names.
        base_rates: [K] shares of the labels in the training split: what one would say without a model.

    Returns:
        ``model`` (by intent: auc, ap, ece, base_rate), ``log_loss`` and ``base_log_loss`` in nats an event,
        ``events``, and the points of the pictures: ``reliability`` and ``precision_recall`` by intent.
    """
    by_intent = {name: (probabilities[:, k].astype(np.float64), labels == k) for k, name in enumerate(intents)}
    return {
        "model": {name: intent_figures(p, hit) for name, (p, hit) in by_intent.items()},
        "log_loss": log_loss(probabilities, labels),
        "base_log_loss": log_loss(np.broadcast_to(base_rates, probabilities.shape), labels),
        "events": len(labels),
        "reliability": {name: reliability(p, hit) for name, (p, hit) in by_intent.items()},
        "precision_recall": {name: curve(p, hit) for name, (p, hit) in by_intent.items()},
    }


def intent_figures(p: Floats, hit: NDArray[np.bool_]) -> dict[str, float | None]:
    """AUC, AP, ECE and base rate of one intent; [n] each. None where the split has no such event, or no other."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    both = 0 < hit.sum() < len(hit)
    return {
        "auc": float(roc_auc_score(hit, p)) if both else None,
        "ap": float(average_precision_score(hit, p)) if both else None,
        "ece": expected_calibration_error(p, hit),
        "base_rate": float(hit.mean()) if len(hit) else None,
    }


def log_loss(probabilities: Floats, labels: Ints) -> float:
    """Mean of -ln(probability of what happened); [n, K] and [n]."""
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(chosen, 1e-12)).mean()) if len(labels) else float("nan")


def reliability(p: Floats, hit: NDArray[np.bool_], bins: int = BINS) -> list[dict[str, float]]:
    """Bins of equally many events in order of ``p``: what was said and what happened, on average, in each."""
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [
        {"predicted": float(p[rows].mean()), "observed": float(hit[rows].mean()), "events": len(rows)} for rows in parts
    ]


def expected_calibration_error(p: Floats, hit: NDArray[np.bool_], bins: int = BINS) -> float:
    """Mean distance between said and happened over bins of equal mass, weighted by their events.

    Naeini et al., AAAI 2015; bins of equal mass: Nguyen and O'Connor, EMNLP 2015.
    """
    found = reliability(p, hit, bins)
    total = sum(one["events"] for one in found)
    return sum(one["events"] * abs(one["predicted"] - one["observed"]) for one in found) / max(total, 1)


def curve(p: Floats, hit: NDArray[np.bool_], points: int = CURVE_POINTS) -> dict[str, list[float]]:
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
