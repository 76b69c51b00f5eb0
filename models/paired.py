"""Two models on the same events: their difference with its interval, on the whole and part by part."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from models import metrics
from models.ranking import rank
from models.resample import RESAMPLES, Resamples, Sampled
from models.scored import Scored
from models.slices import Slice, slices

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Paired:
    """What two models said about the same events, ready to be compared.

    Args:
        scored: the events; both models are in ``said``.
        left, right: their names there. Every difference is left less right, so that a log loss below 0 speaks for left.
        resamples: of the events' users.
    """

    scored: Scored
    left: str
    right: str
    resamples: Resamples

    def loss(self, name: str, where: Array | None = None) -> Sampled:
        """Log loss of one of them, nats an event."""
        rows = slice(None) if where is None else where
        losses = metrics.losses(self.scored.said[name][rows], self.scored.labels[rows])
        return self.resamples.ratio(losses, where=where)

    def log_loss(self, where: Array | None = None) -> Sampled:
        """The difference of their log losses; ``where`` [n'] picks events."""
        return self.loss(self.left, where) - self.loss(self.right, where)

    def parts(self) -> list[tuple[Slice, Sampled]]:
        """The difference of their log losses in each part of the events that is large enough."""
        return [(one, self.log_loss(one.events)) for one in slices(self.scored)]


def compare(scored: Scored, left: str, right: str, intents: Sequence[str], count: int = RESAMPLES) -> dict[str, Any]:
    """Two models side by side, for JSON.

    Args:
        scored: the events, with what both said.
        left, right: their names in ``said``.
        intents: K names.
        count: how many resamples.

    Returns:
        ``log_loss``: of each, and ``less``: left less right; ``intents``: differences of AUC and AP; ``slices``: differences
        of the log loss. Each figure has ``value``, ``low`` and ``high``.
    """
    with threadpool_limits(1, user_api="blas"):  # see ``evaluate_scores``
        pair = Paired(scored, left, right, Resamples(scored.user, scored.users, count))
        whole = {name: pair.loss(name) for name in (left, right)}
        return {
            "left": left,
            "right": right,
            "events": len(scored.labels),
            "sessions": len(scored.length),
            "users": scored.users,
            "decided": scored.decided,
            "resamples": count,
            "log_loss": {**metrics.shown(whole), "less": (whole[left] - whole[right]).figure()},
            "intents": {name: _ranking(pair, code) for code, name in enumerate(intents)},
            "slices": [
                {"group": one.group, "name": one.name, "events": len(one.events), "less": less.figure()}
                for one, less in pair.parts()
            ],
        }


def _ranking(pair: Paired, code: int) -> dict[str, dict[str, float | None]]:
    hit = pair.scored.labels == code
    left, right = (rank(pair.scored.said[name][:, code], hit, pair.resamples) for name in (pair.left, pair.right))
    return {"auc": (left.auc - right.auc).figure(), "ap": (left.ap - right.ap).figure()}
