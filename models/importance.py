"""Which inputs the model's answers hang on: permutation importance by group, with its interval.

A group's columns are dealt out among the sample's sessions (of a profile) or events (of a step) at random, and the model is run
again: by how much its log loss rises is what the group is worth to it. Breiman, "Random Forests", 2001; by groups, since
features of one group tell much the same, so that each alone seems worth nothing. A rise of 0 says that the model does without the
group *as long as it has the others*, not that the group is no good.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import FeatureSet
from lambent.groups import GROUPS, groups_of
from models.dataset import Sessions, TrainingTable
from models.metrics import losses
from models.picked import joined, take
from models.resample import Resamples
from models.scored import Predict

Array = NDArray[Any]

STEP_GROUPS = {
    "event": "the event's type",
    "ids": "its category, brand, product, device, words of a query",
    "time": "time, and since the event before",
    "price": "price and dwell",
    "memory": "what the visitor did with this product and category before",
    "catalogue": "rates and usual price of the product and category",
    "session": "the session so far",
}
"""Groups of what a step sees besides the profile: by name, in words."""
_ENDS = {
    "time": ("log_s", "_sin", "_cos"),
    "memory": ("_in", "_recency", "_returned_to"),
    "session": ("_repeated", "_is_last", "_is_before_last"),
    "price": ("price_log", "price_missing", "price_relative", "dwell_log_s", "dwell_missing"),
}


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The columns of a group: in the profile, the ids and the floats."""

    profile: list[int] = dataclasses.field(default_factory=list)
    ids: list[int] = dataclasses.field(default_factory=list)
    floats: list[int] = dataclasses.field(default_factory=list)


def input_groups(features: FeatureSet) -> dict[str, Inputs]:
    """Every input of the model, in the groups of ``GROUPS`` and ``STEP_GROUPS``."""
    at = {name: column for column, name in enumerate(features.profile.feature_names)}
    profile = {
        GROUPS[name]: Inputs(profile=[at[feature] for one in members for feature in one.feature_names])
        for name, members in groups_of(features).items()
    }
    steps = {name: Inputs() for name in STEP_GROUPS}
    steps["time"].profile.extend(at[feature] for feature in features.profile.now_names)
    for column, feature in enumerate(features.step_ids):
        steps["event" if feature == "type" else "ids"].ids.append(column)
    for column, feature in enumerate(features.step_floats):
        steps[_step_group(feature, features)].floats.append(column)
    groups = profile | {STEP_GROUPS[name]: own for name, own in steps.items()}
    return {name: own for name, own in groups.items() if own.profile or own.ids or own.floats}


def _step_group(feature: str, features: FeatureSet) -> str:
    if feature in _ENDS["price"]:
        return "price"
    if feature.startswith(("product_", "category_")) and not feature.endswith((*_ENDS["session"], *_ENDS["memory"])):
        return "catalogue"
    if feature.endswith(_ENDS["memory"]):
        return "memory"
    return "time" if feature.endswith(_ENDS["time"]) else "session"


def sample(table: TrainingTable, split: str, most: int, seed: int = 1) -> tuple[Sessions, Array]:
    """At most so many sessions of a split at random, and [sessions] whose each is."""
    parts = list(table.chunks(split, owners=True))
    ends = np.cumsum([0, *(len(part.length) for part in parts)])
    kept = np.sort(np.random.default_rng(seed).permutation(ends[-1])[:most])
    own = [kept[(kept >= low) & (kept < high)] - low for low, high in itertools.pairwise(ends)]
    owner = np.concatenate([np.zeros(0, object), *(part.user[rows] for part, rows in zip(parts, own, strict=True))])
    return joined([take(part, rows) for part, rows in zip(parts, own, strict=True)], table), owner


def resamples_of(sessions: Sessions, owner: Array, count: int) -> Resamples:
    """The bootstrap by user of the events of a sample."""
    names, user = np.unique(owner.astype(str), return_inverse=True)
    return Resamples(np.repeat(user, sessions.length), len(names), count)


def importance(
    predict: Predict, sessions: Sessions, features: FeatureSet, resamples: Resamples, seed: int = 1
) -> list[dict[str, Any]]:
    """By group, what the log loss rises by (nats an event), the largest first."""
    rng = np.random.default_rng(seed)
    before = losses(predict(sessions), sessions.labels)
    found = []
    for name, inputs in input_groups(features).items():
        after = losses(predict(dealt(sessions, inputs, rng)), sessions.labels)
        found.append({"group": name, "rise": resamples.ratio(after - before).figure()})
    return sorted(found, key=lambda one: -(one["rise"]["value"] or 0.0))


def dealt(sessions: Sessions, inputs: Inputs, rng: np.random.Generator) -> Sessions:
    """The sessions with a group's columns dealt out among them, each row of them staying together."""
    changed = {}
    rows = {"profile": rng.permutation(len(sessions.length)), **dict.fromkeys(("ids", "floats"), rng.permutation(len(sessions.labels)))}  # fmt: skip
    for name, order in rows.items():
        columns, values = getattr(inputs, name), getattr(sessions, name)
        if columns:
            changed[name] = values.copy()
            changed[name][:, columns] = values[order][:, columns]
    return dataclasses.replace(sessions, **changed)
