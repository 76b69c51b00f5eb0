"""Some of the sessions of a table, and parts of them put together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.dataset import Sessions, TrainingTable

Array = NDArray[Any]

OWNERS = ("user", "start_ms")
"""Columns that are there only where they were asked for."""


def take(sessions: Sessions, rows: Array) -> Sessions:
    """The sessions ``rows`` picks, and nothing else."""
    length = sessions.length[rows]
    steps, _ = ranges(sessions.first[rows], length)
    flat = {name: getattr(sessions, name)[steps] for name in ("ids", "floats", "labels", "decides")}
    owners = {name: own[rows] for name in OWNERS if len(own := getattr(sessions, name))}
    return Sessions(sessions.profile[rows], length, np.cumsum(length) - length, **flat, **owners)


def ranges(first: Array, count: Array) -> tuple[Array, Array]:
    """The positions ``first[i]``, ``first[i] + 1``, … , ``count[i]`` of each, end to end; and how far each is from its first."""
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(first, count) + within, within


def joined(parts: Sequence[Sessions], table: TrainingTable) -> Sessions:
    """Parts that ``take`` gave, one behind another."""
    widths = {"profile": table.profile_width, "ids": table.ids_width, "floats": table.floats_width}
    kinds = {"profile": np.float32, "ids": np.int32, "floats": np.float32, "decides": np.bool_, "user": object}
    names = ("profile", "length", "ids", "floats", "labels", "decides", *OWNERS)
    own: dict[str, Array] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        if parts
        else np.zeros((0, widths[name]) if name in widths else 0, kinds.get(name, np.int64))
        for name in names
    }
    return Sessions(**own, first=np.cumsum(own["length"]) - own["length"])
