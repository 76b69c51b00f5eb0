"""What the intent model is measured against, on the same table, fitted on the training split.

Those that are ``cheap`` take one pass over it and are part of every evaluation.
"""

from __future__ import annotations

from lambent.features import FeatureSet
from models.baselines.simple import base_rate, label_counts, last_event
from models.dataset import TrainingTable
from models.scored import Predict


def cheap(table: TrainingTable, features: FeatureSet) -> dict[str, Predict]:
    """The base rates, and the rule by the last event's type."""
    counts = label_counts(table, features)
    return {"base rate": base_rate(counts), "last event": last_event(counts)}
