"""What the intent model is measured against, on the same table: fitted on the training split, tuned on validation.

Those that are ``cheap`` take one pass over the training split and are part of every evaluation; the others take minutes. These
are calibrated as the model is, on the same split and by the same code.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from lambent.errors import UsageError
from lambent.features import FeatureSet
from models.baselines.inputs import calibrated, whole
from models.baselines.simple import base_rate, label_counts, last_event
from models.dataset import TrainingTable
from models.scored import Predict

DEAR = {
    "logistic": "models.baselines.logistic",
    "lightgbm": "models.baselines.boosted",
    "readable": "models.baselines.readable",
    "lstm": "models.baselines.lstm",
}
"""Modules by the name of the baseline; each has ``fit``."""
MOST_SESSIONS = 100_000
"""Of the training split that they are fitted on; where there are more, a random sample."""


def cheap(table: TrainingTable, features: FeatureSet) -> dict[str, Predict]:
    """The base rates, and the rule by the last event's type."""
    counts = label_counts(table, features)
    return {"base rate": base_rate(counts), "last event": last_event(counts)}


def dear(table: TrainingTable, features: FeatureSet, names: Sequence[str]) -> dict[str, Predict]:
    """Those of ``DEAR`` that are wanted, calibrated.

    Raises:
        UsageError: there is no such baseline.
    """
    unknown = [name for name in names if name not in DEAR]
    if unknown:
        raise UsageError(f"--baselines: there is no {unknown[0]!r}.", f"Give some of {', '.join(DEAR)}.")
    if not names:
        return {}
    train, validation = whole(table, "train", MOST_SESSIONS), whole(table, "validation", MOST_SESSIONS)
    fits = {name: importlib.import_module(DEAR[name]).fit for name in names}
    return {name: calibrated(fit(train, validation, features), validation) for name, fit in fits.items()}
