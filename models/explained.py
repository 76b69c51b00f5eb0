"""The model explained as a whole, for the evaluation's report: what its inputs are worth to it, the rules that come near it, and
how the explanation of single predictions agrees with SHAP and LIME."""

from __future__ import annotations

from typing import Any

from lambent.features import FeatureSet
from models.agreement import agreement
from models.artifact import Artifact
from models.dataset import TrainingTable
from models.importance import importance, resamples_of, sample
from models.surrogate import surrogate

MOST_SESSIONS = 5_000
"""Of a split, taken at random: the model is run on them once a group of inputs."""


def explain(model: Artifact, table: TrainingTable, features: FeatureSet, count: int) -> dict[str, Any]:
    """All of it, for JSON.

    Args:
        model: what is explained.
        table: the rules are fitted to what the model says of the validation split, all else is of the test split.
        features: name the inputs.
        count: how many resamples.
    """
    fitted, _ = sample(table, "validation", MOST_SESSIONS)
    tried, owner = sample(table, "test", MOST_SESSIONS)
    resamples = resamples_of(tried, owner, count)
    said = {"fitted": (fitted, model.sessions(fitted)), "tried": (tried, model.sessions(tried))}
    return {
        "sessions": len(tried.length),
        "events": len(tried.labels),
        "importance": importance(model.sessions, tried, features, resamples),
        **surrogate(said["fitted"], said["tried"], features, resamples),
        "agreement": agreement(model, tried, owner, features, count),
    }
