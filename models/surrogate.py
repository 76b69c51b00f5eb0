"""The model in a handful of rules: a small tree that says nearly what the model says, and how nearly.

Craven and Shavlik, "Extracting Tree-Structured Representations of Trained Networks", NeurIPS 1995. The tree is fitted to the model's
probabilities, not to what happened; its fidelity is the share of their variance that it explains on events that it has not seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import FeatureSet
from models.dataset import Sessions
from models.resample import Resamples, certain

Array = NDArray[Any]

RULES = 10
LEAST_SHARE = 0.005
"""Of the events, that a rule is for."""


def named_rows(sessions: Sessions, features: FeatureSet) -> tuple[Array, list[str]]:
    """[n, columns] float32 all that the model is told of each event by a name, and the names: types, floats, profile."""
    kinds = [kind.name for kind in features.taxonomy.types]
    is_kind = (sessions.ids[:, :1] == np.arange(len(kinds))).astype(np.float32)
    profile = np.repeat(sessions.profile, sessions.length, axis=0)
    names = [*(f"is a {name}" for name in kinds), *features.step_floats]
    names += [f"profile: {name}" for name in features.profile.feature_names]
    return np.concatenate([is_kind, sessions.floats, profile], axis=1), names


def surrogate(
    fitted: tuple[Sessions, Array], tried: tuple[Sessions, Array], features: FeatureSet, resamples: Resamples
) -> dict[str, Any]:
    """The rules, the largest first, and their fidelity by intent.

    Args:
        fitted: sessions, and [n, K] what the model says of them; the tree is fitted to it.
        tried: the same of other users or days; its fidelity is measured there.
        features: name the columns.
        resamples: of the latter's events.
    """
    from sklearn.tree import DecisionTreeRegressor

    rows, names = named_rows(fitted[0], features)
    tree = DecisionTreeRegressor(max_leaf_nodes=RULES, min_samples_leaf=LEAST_SHARE, random_state=1)
    tree.fit(rows, fitted[1])
    seen, said = named_rows(tried[0], features)[0], tried[1].astype(np.float64)
    told = tree.predict(seen)
    spread = said.mean(axis=0)
    fidelity = {}
    for k, name in enumerate(features.taxonomy.intents):
        missed = resamples.ratio((told[:, k] - said[:, k]) ** 2, (said[:, k] - spread[k]) ** 2)
        fidelity[name] = (certain(1.0, missed) - missed).figure()
    return {"rules": rules_of(tree.tree_, names, tree.apply(seen)), "fidelity": fidelity}


def rules_of(tree: Any, names: list[str], leaf: Array) -> list[dict[str, Any]]:
    """Each leaf as a rule: its conditions in words, the share of the events that it is for, and what it says.

    Args:
        tree: scikit-learn's arrays.
        names: of the columns.
        leaf: [n] the leaf that each event comes to.
    """
    rules = []
    for node, conditions in _leaves(tree, names, 0, []):
        said = tree.value[node][:, 0].tolist()
        rules.append({"if": conditions, "share": float((leaf == node).mean()), "says": said})
    return sorted(rules, key=lambda one: -one["share"])


def _leaves(tree: Any, names: list[str], node: int, conditions: list[str]) -> list[tuple[int, list[str]]]:
    if tree.children_left[node] < 0:
        return [(node, conditions)]
    name, limit = names[tree.feature[node]], tree.threshold[node]
    no, yes = (
        (f"no {name[5:]}", name) if name.startswith("is a ") else (f"{name} ≤ {limit:.3g}", f"{name} > {limit:.3g}")
    )
    left = _leaves(tree, names, tree.children_left[node], [*conditions, no])
    return left + _leaves(tree, names, tree.children_right[node], [*conditions, yes])
