"""What baselines are fitted on: sessions of a split in memory, and events as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import FeatureSet
from models.calibrate import fit_calibration
from models.dataset import Sessions, TrainingTable
from models.metrics import LEAST
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


def take(sessions: Sessions, rows: Array) -> Sessions:
    """The sessions ``rows`` picks, and nothing else."""
    length = sessions.length[rows]
    first = np.cumsum(length) - length
    steps = np.repeat(sessions.first[rows] - first, length) + np.arange(length.sum())
    return Sessions(
        sessions.profile[rows], length, first, sessions.ids[steps], sessions.floats[steps], sessions.labels[steps]
    )


def joined(parts: Sequence[Sessions], table: TrainingTable) -> Sessions:
    """Parts that ``take`` gave, one behind another."""
    widths = {"profile": table.profile_width, "ids": table.ids_width, "floats": table.floats_width}
    kinds = {"profile": np.float32, "ids": np.int32, "floats": np.float32}
    names = ("profile", "length", "ids", "floats", "labels")
    own: dict[str, Array] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        if parts
        else np.zeros((0, widths[name]) if name in widths else 0, kinds.get(name, np.int64))
        for name in names
    }
    return Sessions(**own, first=np.cumsum(own["length"]) - own["length"])


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

    calibration = fit_calibration(logs(validation), validation.labels.astype(np.int32))
    return lambda sessions: calibration.apply(logs(sessions)) if len(sessions.labels) else predict(sessions)


def split_rows(sessions: Sessions, most: int) -> list[Sessions]:
    """The sessions in parts of about ``most`` events, for what needs many columns an event."""
    number = (sessions.first // most).astype(np.int64)
    return [take(sessions, np.flatnonzero(number == one)) for one in np.unique(number)]
