"""Tiles of many users, and other things of which each user has some: columns, user by user."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import FeatureSet
from lambent.fold import merge_into
from lambent.profile import Profiles, raw_of

Rows = NDArray[np.int64]

UNCOUNTED = 1 << 32
"""More events than are kept: what a tile is said to have seen that was stored as sums."""


@dataclasses.dataclass
class Ragged:
    """Some values of each of n users.

    Attributes:
        values: [k] user by user.
        counts: [n] how many each has.
    """

    values: NDArray[Any]
    counts: Rows

    def of(self, user: int) -> NDArray[Any]:
        """Those of one user."""
        end = int(self.counts[: user + 1].sum())
        own: NDArray[Any] = self.values[end - int(self.counts[user]) : end]
        return own

    @classmethod
    def empty(cls, users: int, dtype: Any) -> Ragged:
        """Nobody has any."""
        return cls(np.empty(0, dtype), np.zeros(users, np.int64))


@dataclasses.dataclass
class Tiles:
    """Tiles of many users, user by user, each one's oldest first.

    Attributes:
        user: [m] index of the user.
        start_ms: [m] where the tile starts on the ingest clock.
        profiles: [m] the aggregates.
        events: [m] how many events it is the fold of; ``UNCOUNTED``: more than are kept.
    """

    user: Rows
    start_ms: Rows
    profiles: Profiles
    events: Rows

    def __getitem__(self, rows: Rows | NDArray[np.bool_]) -> Tiles:
        if _is_all(rows):
            return self
        return Tiles(self.user[rows], self.start_ms[rows], take(self.profiles, rows), self.events[rows])

    def of(self, user: int) -> list[tuple[int, Profiles]]:
        """Those of one user: where each starts, and one profile."""
        rows = np.flatnonzero(self.user == user).tolist()
        return [(int(self.start_ms[row]), self.profiles[row : row + 1]) for row in rows]

    @classmethod
    def joined(cls, *parts: Tiles) -> Tiles:
        """All of them; of a user, those of an earlier part are older."""
        filled = [part for part in parts if len(part.user)] or [parts[0]]
        if len(filled) == 1:
            return filled[0]
        user = np.concatenate([part.user for part in filled])
        order = np.argsort(user, kind="stable")
        start_ms, events = (np.concatenate([getattr(part, name) for part in filled]) for name in ("start_ms", "events"))
        return cls(user[order], start_ms[order], take(stack([part.profiles for part in filled]), order), events[order])


def _is_all(rows: Rows | NDArray[np.bool_]) -> bool:
    return rows.dtype == np.bool_ and bool(rows.all())


def rows_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    """[n, bytes] view of n values."""
    return values.view(np.uint8).reshape(len(values), values.dtype.itemsize)


def stack(tiles: Sequence[Profiles]) -> Profiles:
    """Profiles one after the other. ``np.concatenate`` would compare their many fields anew each time."""
    joined: Profiles = np.concatenate([raw_of(tile) for tile in tiles]).view(tiles[0].dtype)
    return joined


def take(profiles: Profiles, rows: Rows | NDArray[np.bool_]) -> Profiles:
    """Some of them; field by field it would take many times as long."""
    taken: Profiles = raw_of(profiles)[rows].view(profiles.dtype)
    return taken


def merge_tiles(features: FeatureSet, profiles: Profiles, tiles: Tiles, cutoffs_ms: Rows) -> None:
    """Merge each user's tiles that start at its cut-off or later into its profile, in place."""
    kept = tiles[tiles.start_ms >= cutoffs_ms[tiles.user]]
    if len(kept.user):
        merge_into(features, profiles, kept.user, kept.profiles)
