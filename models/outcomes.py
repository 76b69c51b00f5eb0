"""How well live answers turned out: by model, by arm of an experiment, and shadows beside what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from lambent.rollout import CHALLENGER, CHAMPION
from models import metrics
from models.live import Matured
from models.page import table, text
from models.resample import RESAMPLES, Resamples, Sampled

Array = NDArray[Any]


def outcomes(known: Matured, count: int = RESAMPLES) -> dict[str, Any]:
    """Figures of what has matured, for JSON; each has ``value``, ``low`` and ``high``, from resamples by user.

    Args:
        known: live answers with what followed.
        count: how many resamples.

    Returns:
        ``models``: log loss of each model's answers. ``experiments``: log loss, and the share of sessions in which a decision
        follows the first event, of both arms and as a difference, challenger less champion; a user counts where the lot put it,
        whichever model its session ran on. ``shadows``: log loss on the same answers, shadow less what was answered.
    """
    owners, code = np.unique(known.sessions.user.astype(str), return_inverse=True)
    user = code[known.session]
    with threadpool_limits(1, user_api="blas"):  # see ``evaluate_scores``
        resamples = Resamples(user, len(owners), count)
        return {
            "answers": len(user),
            "sessions": len(np.unique(known.session)),
            "users": len(np.unique(user)),
            "resamples": count,
            "models": [_model(known, name, resamples) for name in _names(known.model)],
            "experiments": [_experiment(known, name, resamples) for name in _names(_experiments(known.arm))],
            "shadows": [_shadow(known, name, resamples) for name in _names(known.shadow_model)],
        }


def _names(texts: Array) -> list[str]:
    return sorted({*texts.tolist()} - {""})


def _experiments(arms: Array) -> Array:
    return np.array([arm.rpartition("/")[0] for arm in arms.tolist()], object)


def _loss(p: Array, known: Matured, rows: Array, resamples: Resamples) -> Sampled:
    return resamples.ratio(metrics.losses(p[rows], known.labels[rows]), where=rows)


def _model(known: Matured, name: str, resamples: Resamples) -> dict[str, Any]:
    rows = np.flatnonzero(known.model == name)
    return {"model": name, "answers": len(rows), "log_loss": _loss(known.said, known, rows, resamples).figure()}


def _experiment(known: Matured, name: str, resamples: Resamples) -> dict[str, Any]:
    begins = known.step == known.sessions.first[known.session]
    losses, decided, answers = {}, {}, {}
    for arm in (CHALLENGER, CHAMPION):
        inside = known.arm == f"{name}/{arm}"
        rows, first = np.flatnonzero(inside), np.flatnonzero(inside & begins)
        answers[arm] = len(rows)
        losses[arm] = _loss(known.said, known, rows, resamples)
        decided[arm] = resamples.ratio(known.labels[first] > 0, where=first)
    figures = {
        what: {**metrics.shown(arms), "less": (arms[CHALLENGER] - arms[CHAMPION]).figure()}
        for what, arms in (("log_loss", losses), ("decided", decided))
    }
    return {"experiment": name, "answers": answers, **figures}


def _shadow(known: Matured, name: str, resamples: Resamples) -> dict[str, Any]:
    rows = np.flatnonzero(known.shadow_model == name)
    shadow, answered = (_loss(p, known, rows, resamples) for p in (known.shadow, known.said))
    figures = {"shadow": shadow.figure(), "answered": answered.figure(), "less": (shadow - answered).figure()}
    return {"shadow": name, "answers": len(rows), "log_loss": figures}


def page(found: dict[str, Any]) -> str:
    """The figures for people."""
    head = (
        f"{found['answers']:,} answers in {found['sessions']:,} sessions of {found['users']:,} users have matured.\n"
        f"In brackets 95 % intervals, from {found['resamples']:,} resamples by user.\n"
    )
    models = [[one["model"], f"{one['answers']:,}", text(one["log_loss"], 4)] for one in found["models"]]
    parts = [head, table(["model", "answers", "log loss"], models)]
    for one in found["experiments"]:
        rows: Sequence[tuple[str, str]] = (
            (CHALLENGER, "challenger"),
            (CHAMPION, "champion"),
            ("less", "the former less the latter"),
        )
        cells = [
            [title, text(one["log_loss"][key], 4), text(one["decided"][key], 2, percent=True)] for key, title in rows
        ]
        parts.append(table([f"experiment {one['experiment']}", "log loss", "sessions with a decision"], cells))
    if found["shadows"]:
        titles = ("shadow", "answered", "less")
        cells = [
            [one["shadow"], f"{one['answers']:,}", *(text(one["log_loss"][key], 4) for key in titles)]
            for one in found["shadows"]
        ]
        parts.append(
            table(["shadow", "answers", "its log loss", "of what was answered", "the former less the latter"], cells)
        )
    return "\n".join(parts).rstrip()
