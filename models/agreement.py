"""How the explanation of single predictions agrees with SHAP and with LIME.

A prediction's players are the profile and the events before it, in all at most eight: every coalition of them is asked for, where an
absent event is not shown to the model, and an absent profile is that of somebody unknown. So nothing is sampled:

* **SHAP**: KernelSHAP's weighted least squares over all coalitions has one solution, the Shapley values (Lundberg and Lee, NeurIPS
  2017, theorem 2), which ``lambent.shapley`` gives.
* **LIME**: a ridge regression on who is present, weighted by ``exp(-½ (1 - √share present)² / 0.25²)``, as LIME's library
  weighs texts without some of their words (Ribeiro et al., KDD 2016); a part is the player's coefficient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import FeatureSet
from lambent.shapley import coalitions, shapley
from models.artifact import Artifact
from models.dataset import Sessions
from models.resample import Resamples

Array = NDArray[Any]

PREDICTIONS = 200
MOST_EVENTS = 7
KERNEL_WIDTH = 0.25


def agreement(
    model: Artifact, sessions: Sessions, owner: Array, features: FeatureSet, count: int, seed: int = 1
) -> dict[str, Any]:
    """Figures of the agreement with each, on ``PREDICTIONS`` predictions, one a session of two events or more.

    ``rank``: the mean correlation of the parts; ``top``: share of predictions whose largest part is the same; ``sign``: share
    of the parts, by weight, that have the same sign.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(sessions.length > 1))[:PREDICTIONS]
    taken = [explained(model, sessions, int(row), features) for row in rows]
    names, user = np.unique(owner[rows].astype(str), return_inverse=True)
    resamples = Resamples(user, len(names), count)
    return {
        "predictions": len(rows),
        **{other: _figures([(one["ours"], one[other]) for one in taken], resamples) for other in ("shap", "lime")},
    }


def explained(model: Artifact, sessions: Sessions, row: int, features: FeatureSet) -> dict[str, Array]:
    """[players] parts of one prediction by ours, SHAP and LIME: of the intent that was moved most, the profile first."""
    worth = worths(model, sessions, row, features)
    k = 1 + int(np.abs(worth[-1] - worth[0])[1:].argmax())
    return {"ours": told(worth)[:, k], "shap": shapley(worth)[:, k], "lime": lime(worth)[:, k]}


def worths(model: Artifact, sessions: Sessions, row: int, features: FeatureSet) -> Array:
    """[2^players, K] what the model says with who is present: player 0 is the profile, then the events in turn.

    Nobody being present, or the profile alone, the base rates are said: the model speaks of events.
    """
    events = min(int(sessions.length[row]), MOST_EVENTS)
    inside = coalitions(1 + events)
    layout = features.profile
    unknown = layout.finalize(layout.identity(1), np.zeros(1, np.int64))[0]
    clock = slice(len(unknown) - len(layout.now_names), None)
    unknown[clock] = sessions.profile[row, clock]  # what time it is does not depend on who is known
    profile = np.where(inside[:, :1], sessions.profile[row], unknown).astype(np.float32)
    state = model.start(profile)
    said = np.tile(np.array(features.taxonomy.base_rates), (len(inside), 1))
    for event in range(events):
        present = np.flatnonzero(inside[:, 1 + event])
        at = np.full(len(present), sessions.first[row] + event)
        state[present], said[present] = model.step(state[present], sessions.ids[at], sessions.floats[at])
    return said


def told(worth: Array) -> Array:
    """[players, K] the parts that ``realtime.explanation`` tells: each event what it changed, the profile's taken out of the first's."""
    players = len(worth).bit_length() - 1
    # Coalitions with the profile and the first n events, n = 0, 1, ...; the first of them says the base rates.
    said = worth[[(1 << n + 1) - 1 for n in range(players)]]
    profile = worth[0b11] - worth[0b10]
    parts = np.concatenate([profile[None], np.diff(said, axis=0)])
    parts[1] -= profile
    return parts


def lime(worth: Array) -> Array:
    """[players, K] coefficients of LIME's linear model."""
    from sklearn.linear_model import Ridge

    inside = coalitions(len(worth).bit_length() - 1).astype(np.float64)
    distance = 1 - np.sqrt(inside.mean(axis=1))  # of cosines, from all being present
    coefficients: Array = Ridge(alpha=1.0).fit(inside, worth, np.exp(-(distance**2) / KERNEL_WIDTH**2 / 2)).coef_.T
    return coefficients


def _figures(pairs: list[tuple[Array, Array]], resamples: Resamples) -> dict[str, Any]:
    rank = np.array([np.corrcoef(*pair)[0, 1] for pair in pairs])
    top = np.array([np.abs(a).argmax() == np.abs(b).argmax() for a, b in pairs])
    weight = np.array([np.abs(a).sum() for a, _ in pairs])
    sign = np.array([np.abs(a)[np.sign(a) == np.sign(b)].sum() for a, b in pairs])
    return {
        "rank": resamples.ratio(np.nan_to_num(rank)).figure(),
        "top": resamples.ratio(top).figure(),
        "sign": resamples.ratio(sign, weight).figure(),
    }
