"""LightGBM on the profile and on all that the step sees.

Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017. Few leaves and a slow rate are its best
on sessions; how many leaves, and then whether the hashed ids help or overfit, is tried on a part of both splits.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import FeatureSet
from models.baselines.inputs import split_rows
from models.dataset import Sessions
from models.picked import take
from models.scored import Predict

Array = NDArray[Any]

LEAVES = (2, 4, 8)
IDS = (
    ("type", "device", "query_first", "query_last"),
    ("type", "device", "query_first", "query_last", "category", "brand", "product"),
)
"""Ids that are taken for categories."""
TUNED_ON = 15_000
"""Sessions of each split that the choice is made on."""
ROUNDS, PATIENCE = 800, 40
SEVERAL = 100_000
"""Events that are made into rows at a time, to predict."""
OPTIONS = {
    "objective": "multiclass", "metric": "multi_logloss", "learning_rate": 0.08, "feature_fraction": 0.4,
    "bagging_fraction": 0.8, "bagging_freq": 1, "min_data_in_leaf": 100, "lambda_l2": 5.0, "cat_smooth": 50.0,
    "min_data_per_group": 200, "max_bin": 127, "seed": 1, "deterministic": True, "force_col_wise": True, "verbosity": -1,
    "num_threads": 1,
}  # fmt: skip
"""One thread: where the machine has other work, threads that wait for each other take many times as long. By columns: of them
only those are summed that a tree may ask about, which takes half the time that it takes by rows, for the same trees."""


def fit(train: Sessions, validation: Sessions, features: FeatureSet) -> Predict:
    """The best of ``LEAVES`` and ``IDS``, fitted until the validation split's log loss stops to fall."""
    few, judged = (
        take(one, np.random.default_rng(1).permutation(len(one.length))[:TUNED_ON]) for one in (train, validation)
    )

    @functools.cache
    def loss(leaves: int, ids: tuple[str, ...]) -> float:
        return float(boost(few, judged, features, leaves, ids).best_score["validation"]["multi_logloss"])

    leaves = min(LEAVES, key=lambda one: loss(one, IDS[0]))
    ids = min(IDS, key=lambda one: loss(leaves, one))
    booster = boost(train, validation, features, leaves, ids)

    def predict(sessions: Sessions) -> Array:
        said = [booster.predict(rows(part, features, ids)) for part in split_rows(sessions, SEVERAL)]
        return np.concatenate([np.zeros((0, len(features.taxonomy.intents))), *said])

    return predict


def boost(train: Sessions, validation: Sessions, features: FeatureSet, leaves: int, ids: tuple[str, ...]) -> Any:
    """A booster at its best round."""
    import lightgbm

    def data(sessions: Sessions, reference: Any = None) -> Any:
        return lightgbm.Dataset(
            rows(sessions, features, ids),
            sessions.labels,
            reference=reference,
            categorical_feature=list(range(len(ids))),
        )

    options = {**OPTIONS, "num_leaves": leaves, "num_class": len(features.taxonomy.intents)}
    own = data(train)
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    return lightgbm.train(options, own, ROUNDS, [data(validation, own)], ["validation"], callbacks=[stop])


def rows(sessions: Sessions, features: FeatureSet, ids: tuple[str, ...]) -> Array:
    """[n, ids + floats + profile] float32 of each event, the ids first."""
    at = [features.step_ids.index(name) for name in ids]
    own = sessions.ids[:, at].astype(np.float32)
    return np.concatenate([own, sessions.floats, np.repeat(sessions.profile, sessions.length, axis=0)], axis=1)
