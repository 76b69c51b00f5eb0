"""All figures of an evaluation, from what was said about the test events: the content of ``evaluation.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models import metrics
from models.metrics import Figures, shown
from models.resample import RESAMPLES, Resamples, Sampled
from models.scored import Scored
from models.slices import Slice, slices
from models.thresholds import Rule

Array = NDArray[Any]

MODEL, BASE = "model", "base rate"
"""The contender that is evaluated, and the one that all are measured from."""
PAIRED = ("auc", "ap")
"""Figures of an intent that are paired with those of other contenders."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """Figures of one model on the test events.

    Attributes:
        joint: of the whole distribution.
        intents: by intent.
        decisions: by intent but the first, with ``threshold``.
    """

    joint: Figures
    intents: dict[str, Figures]
    decisions: dict[str, Figures]
    thresholds: dict[str, float]

    def shown(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "joint": shown(self.joint),
            "intents": {name: shown(one) for name, one in self.intents.items()},
            "decisions": {
                name: {"threshold": self.thresholds[name], **shown(one)} for name, one in self.decisions.items()
            },
        }


def evaluate_scores(
    test: Scored,
    validation: Scored,
    intents: Sequence[str],
    rule: Rule,
    truth: Array | None = None,
    count: int = RESAMPLES,
) -> dict[str, Any]:
    """All figures.

    Args:
        test: what each contender said, ``MODEL`` and ``BASE`` among them.
        validation: the same of the split that thresholds are chosen on.
        intents: K names; the first is what happens where nothing decides.
        rule: chooses the thresholds.
        truth: [n, K] exact posteriors of the test events, NaN where there is none; None: there are none.
        count: how many resamples.
    """
    # Many small products of matrices: threads that wait for each other cost more than they save.
    with threadpool_limits(1, user_api="blas"):
        return _figures(test, intents, choose_thresholds(validation, intents, rule), rule, truth, count)


def _figures(
    test: Scored,
    intents: Sequence[str],
    thresholds: Mapping[str, Mapping[str, float]],
    rule: Rule,
    truth: Array | None,
    count: int,
) -> dict[str, Any]:
    resamples = Resamples(test.user, test.users, count)
    found = {name: contender(p, test, intents, thresholds[name], resamples) for name, p in test.said.items()}
    model, said = found[MODEL], test.said[MODEL]
    hits = {name: test.labels == code for code, name in enumerate(intents)}
    return {
        "log_loss": metrics.log_loss(said, test.labels),
        "base_log_loss": metrics.log_loss(test.said[BASE], test.labels),
        "model": {name: {key: one["value"] for key, one in shown(own).items()} for name, own in model.intents.items()},
        "events": len(test.labels),
        "sessions": len(test.length),
        "users": test.users,
        "resamples": count,
        "rule": str(rule),
        "contenders": {name: one.shown() for name, one in found.items()},
        "against": {name: against(model, one) for name, one in found.items() if name != MODEL},
        "slices": [slice_figures(one, said, test.labels, intents, resamples) for one in slices(test)],
        "reliability": {name: metrics.reliability(said[:, k], hits[name], resamples) for k, name in enumerate(intents)},
        "precision_recall": {name: metrics.curve(said[:, k], hits[name]) for k, name in enumerate(intents)},
        "truth": None if truth is None else of_the_way(test, truth, intents, resamples),
    }


def choose_thresholds(validation: Scored, intents: Sequence[str], rule: Rule) -> dict[str, dict[str, float]]:
    """From which probability on each contender acts on each intent but the first."""
    return {
        contender: {
            intents[k]: rule.choose(p[:, k], validation.labels == k, validation.user) for k in range(1, len(intents))
        }
        for contender, p in validation.said.items()
    }


def contender(
    p: Array, test: Scored, intents: Sequence[str], thresholds: Mapping[str, float], resamples: Resamples
) -> Contender:
    """Figures of one model; ``p`` [n, K]."""
    hits = {name: test.labels == code for code, name in enumerate(intents)}
    columns = {name: p[:, code] for code, name in enumerate(intents)}
    return Contender(
        joint=metrics.joint_figures(p, test.labels, resamples),
        intents={name: metrics.intent_figures(columns[name], hits[name], resamples) for name in intents},
        decisions={
            name: metrics.decision_figures(columns[name], hits[name], threshold, resamples)
            for name, threshold in thresholds.items()
        },
        thresholds=dict(thresholds),
    )


def against(model: Contender, other: Contender) -> dict[str, Any]:
    """The model's figures less another's, paired: a log loss below 0 is better, and so are AUC and AP above 0."""
    return {
        "log_loss": (model.joint["log_loss"] - other.joint["log_loss"]).figure(),
        "intents": {
            name: {key: (own[key] - other.intents[name][key]).figure() for key in PAIRED}
            for name, own in model.intents.items()
        },
    }


def slice_figures(one: Slice, p: Array, labels: Array, intents: Sequence[str], resamples: Resamples) -> dict[str, Any]:
    """Figures of the model on a part of the events."""
    p, labels = p[one.events], labels[one.events]
    by_intent = {
        name: shown(metrics.intent_figures(p[:, k], labels == k, resamples, one.events))
        for k, name in enumerate(intents)
    }
    joint = shown(metrics.joint_figures(p, labels, resamples, one.events))
    return {"group": one.group, "name": one.name, "events": len(labels), "joint": joint, "intents": by_intent}


def of_the_way(test: Scored, truth: Array, intents: Sequence[str], resamples: Resamples) -> dict[str, Any]:
    """How far each contender comes from the base rates' log loss to that of the exact posterior, on the same events.

    ``honest`` is the calibration of the exact posterior itself: no model can be asked for more on these events.
    """
    known = np.flatnonzero(np.isfinite(truth).all(axis=1))
    labels = test.labels[known]

    def loss(p: Array) -> Sampled:
        return resamples.ratio(metrics.losses(p, labels), where=known)

    own = {name: loss(p[known]) for name, p in test.said.items()}
    best = loss(truth[known])
    share = {name: (own[BASE] - one) / (own[BASE] - best) for name, one in own.items()}
    return {
        "events": len(known),
        "unknown": len(truth) - len(known),
        "log_loss": best.figure(),
        "base_log_loss": own[BASE].figure(),
        "share": shown(share),
        "share_less": {name: (share[MODEL] - one).figure() for name, one in share.items() if name != MODEL},
        "honest": {
            name: shown(metrics.honest_figures(truth[known, k], labels == k, resamples, known))
            for k, name in enumerate(intents)
        },
    }
