"""A profile: a user's aggregates side by side, as one row of a structured array.

All operations take arrays of users. Aggregates of one kind lie in one block, so that a merge is a few numpy calls
however many aggregates there are. ``oracle.py`` says the same slowly.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.aggregates import KINDS, Aggregate, Block

Profiles = NDArray[np.void]
"""A structured array of ``Layout.dtype``."""


class Layout:
    """Where each aggregate lies in a profile, and the monoid over whole profiles.

    Args:
        aggregates: the declarations, in order.
    """

    def __init__(self, aggregates: Sequence[Aggregate]) -> None:
        self.aggregates = tuple(aggregates)
        self.column: dict[str, int] = {}
        self.width = dict.fromkeys(KINDS, 0)
        for aggregate in self.aggregates:
            self.column[aggregate.name] = self.width[aggregate.group]
            self.width[aggregate.group] += aggregate.width
        fields = [(group, kind.dtype, (self.width[group],)) for group, kind in KINDS.items()]
        self.dtype = np.dtype([("clock_ms", "i8"), *fields])
        self._half_lives_ms, self._half_life_of = np.unique(self.half_lives_ms, return_inverse=True)

    @functools.cached_property
    def half_lives_ms(self) -> NDArray[np.float64]:
        """[width of the decayed block] half-life of each of its columns."""
        decayed = [a for a in self.aggregates if a.group == "decayed"]
        return np.repeat([float(a.half_life_ms) for a in decayed], [a.width for a in decayed])

    def block(self, profiles: Profiles, aggregate: Aggregate) -> Block:
        """[n, width] view of one aggregate's values."""
        start = self.column[aggregate.name]
        view: Block = profiles[aggregate.group][:, start : start + aggregate.width]
        return view

    def identity(self, n: int) -> Profiles:
        """[n] profiles of users who have done nothing."""
        profiles = np.zeros(n, self.dtype)
        for group, kind in KINDS.items():
            profiles[group] = kind.identity
        return profiles

    def merge(self, left: Profiles, right: Profiles) -> Profiles:
        """[n] profiles that have seen what both sides have: associative and commutative."""
        merged = np.empty_like(left)
        clock_ms = np.maximum(left["clock_ms"], right["clock_ms"])
        merged["clock_ms"] = clock_ms
        for group, kind in KINDS.items():
            a, b = left[group], right[group]
            if group == "decayed":
                a, b = a * self.weight(left["clock_ms"] - clock_ms), b * self.weight(right["clock_ms"] - clock_ms)
            merged[group] = kind.combine(a, b)
        return merged

    def weight(self, age_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """[n, width of the decayed block] ``2^(age/h)``; ``age_ms`` [n] is 0 or negative."""
        by_half_life: NDArray[np.float64] = np.exp2(age_ms[:, None] / self._half_lives_ms)
        return by_half_life[:, self._half_life_of]

    def finalize(self, profiles: Profiles, clock_ms: NDArray[np.int64]) -> NDArray[np.float32]:
        """[n, features] the model's view of the profiles as of ``clock_ms`` [n], which no profile is later than."""
        weight = self.weight(np.where(profiles["clock_ms"] == 0, 0, profiles["clock_ms"] - clock_ms))
        blocks = [kind.finalize(profiles[group], clock_ms, weight) for group, kind in KINDS.items()]
        return np.concatenate(blocks, axis=1, dtype=np.float32, casting="same_kind")

    @functools.cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of ``finalize``: group by group, in the order of declaration."""
        members = [a for group in KINDS for a in self.aggregates if a.group == group]
        return tuple(a.name if a.width == 1 else f"{a.name}[{column}]" for a in members for column in range(a.width))
