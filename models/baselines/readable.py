"""The readable alternative: three small models that a person can follow, and the mean of what they say.

* rules: a decision tree of a few leaves on the profile and all that the step sees;
* the logistic regression on fourteen features (``logistic``);
* boosted trees of two leaves (``boosted``): each asks one question, so that their sum is one curve a feature, a generalised additive
  model (Lou et al., "Intelligible Models for Classification and Regression", KDD 2012).
"""

from __future__ import annotations

import numpy as np

from lambent.features import FeatureSet
from models.baselines import logistic
from models.baselines.boosted import boost, rows
from models.baselines.inputs import split_rows
from models.dataset import Sessions
from models.picked import take
from models.scored import Array, Predict
from models.surrogate import LEAST_SHARE, named_rows

LEAVES = 16
FITTED_ON, RULED_ON = 30_000, 5_000
"""Sessions of the training split that line and curves are fitted on, and that the rules are made of: they need no more."""
TYPES = ("type",)
SEVERAL = 100_000
"""Events that are made into rows at a time, to predict."""


def fit(train: Sessions, validation: Sessions, features: FeatureSet) -> Predict:
    """All three on a part of the training split; the curves stop where the validation split's log loss stops to fall."""
    from sklearn.tree import DecisionTreeClassifier

    drawn = np.random.default_rng(1).permutation(len(train.length))
    some, few = (take(train, drawn[:most]) for most in (FITTED_ON, RULED_ON))
    line = logistic.fit(some, validation, features)
    curves = boost(some, validation, features, leaves=2, ids=TYPES)
    rules = DecisionTreeClassifier(max_leaf_nodes=LEAVES, min_samples_leaf=LEAST_SHARE, random_state=1)
    rules.fit(named_rows(few, features)[0], few.labels)
    intents = len(features.taxonomy.intents)

    def by_rules(sessions: Sessions) -> Array:
        said = np.zeros((len(sessions.labels), intents))
        said[:, rules.classes_] = rules.predict_proba(named_rows(sessions, features)[0])
        return said

    def predict(sessions: Sessions) -> Array:
        said = [
            (line(part) + curves.predict(rows(part, features, TYPES)) + by_rules(part)) / 3
            for part in split_rows(sessions, SEVERAL)
        ]
        return np.concatenate([np.zeros((0, intents)), *said])

    return predict
