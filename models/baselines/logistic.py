"""Multinomial logistic regression on the fourteen features that one would think of first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import FeatureSet
from models.baselines.inputs import columns
from models.dataset import Sessions
from models.metrics import log_loss
from models.scored import Predict

Array = NDArray[Any]

PROFILE = ("sessions", "purchase_sessions", "purchase_latest_s")
STEP = (
    "events_log", "elapsed_log_s", "gap_log_s", "dwell_log_s", "view_log", "search_log", "cart_log",
    "product_repeated", "category_repeated", "cart_in", "price_relative",
)  # fmt: skip
STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Inverse strengths of the ridge that are tried."""


def fit(train: Sessions, validation: Sessions, features: FeatureSet) -> Predict:
    """The best of ``STRENGTHS`` by the validation split's log loss."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    intents = len(features.taxonomy.intents)

    def predictor(model: Any) -> Predict:
        def predict(sessions: Sessions) -> Array:
            said = np.zeros((len(sessions.labels), intents))
            if len(said):
                said[:, model.classes_] = model.predict_proba(columns(sessions, features, PROFILE, STEP))
            return said

        return predict

    rows = columns(train, features, PROFILE, STEP)
    tried = [
        predictor(make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300)).fit(rows, train.labels))
        for strength in STRENGTHS
    ]
    return min(tried, key=lambda predict: log_loss(predict(validation), validation.labels))
