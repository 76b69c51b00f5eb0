"""What baselines are fitted on: sessions of a split in memory, and events as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.calibration import LEAST
from lambent.features import FeatureSet
from models.calibrate import fit_calibration
from models.dataset import Sessions, TrainingTable
from models.picked import joined, take
from models.scored import Predict

Array = NDArray[Any]


def whole(table: TrainingTable, split: str, most: int, seed: int = 1) -> Sessions:
    """The sessions of a split, or ``most`` of them at random, the same for a seed; memory holds these and two chunks."""
    kept = np.sort(np.random.default_rng(seed).permutation(table.count(split))[:most])
    parts, low = [], 0
    for chunk in table.chunks(split):
        high = low + len(chunk.length)
        parts.append(take(chunk, kept[(kept >= low) & (kept < high)] - low))
        low = high
    return joined(parts, table)


def columns(sessions: Sessions, features: FeatureSet, profile: Sequence[str], steps: Sequence[str]) -> Array:
    """[n, columns] named features of each event, of the profile at its session's start and of the step."""
    names = {name: at for at, name in enumerate(features.profile.feature_names)}
    floats = {name: at for at, name in enumerate(features.step_floats)}
    own = sessions.profile[:, [names[name] for name in profile if name in names]]
    seen = sessions.floats[:, [floats[name] for name in steps if name in floats]]
    return np.concatenate([np.repeat(own, sessions.length, axis=0), seen], axis=1)


def calibrated(predict: Predict, validation: Sessions) -> Predict:
    """The same with the model's own kind of calibration, fitted on the validation split."""

    def logs(sessions: Sessions) -> Array:
        return np.log(np.maximum(predict(sessions).astype(np.float64), LEAST))

    session = np.repeat(np.arange(len(validation.length)), validation.length)
    calibration = fit_calibration(logs(validation), validation.labels.astype(np.int32), session)
    return lambda sessions: calibration.apply(logs(sessions)) if len(sessions.labels) else predict(sessions)


def split_rows(sessions: Sessions, most: int) -> list[Sessions]:
    """The sessions in parts of about ``most`` events, for what needs many columns an event."""
    number = (sessions.first // most).astype(np.int64)
    return [take(sessions, np.flatnonzero(number == one)) for one in np.unique(number)]
