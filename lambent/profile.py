"""A profile: a user's aggregates side by side, as one row of a structured array.

All operations take arrays of users. Aggregates of one kind lie in one block. ``oracle.py`` says the same slowly.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.aggregates import Aggregate, Block, Count, Decayed, Distinct, Earliest, Latest, Ratio, Recent
from lambent.facts import Fact

Profiles = NDArray[np.void]
"""A structured array of ``Layout.dtype``."""
KINDS: dict[str, type[Aggregate]] = {
    kind.group: kind for kind in (Count, Decayed, Latest, Earliest, Distinct, Recent, Fact)
}
"""What the values of each block are, in the blocks' order."""
LEAST_WEIGHT = 0.01
"""A mean over less than this is none."""


class Layout:
    """Where each aggregate lies in a profile, and what the model sees of it.

    Args:
        aggregates: the declarations, in order.
        ratios: features that are quotients of them; those of which a part is missing are left out.

    Attributes:
        column: where each aggregate's block begins in that of its kind.
        members: of each kind the aggregates, in the order of their columns.
        width: of each kind's block.
        half_lives_ms: the different half-lives, and half_life_of: [width of the decayed block] which of them.
    """

    def __init__(self, aggregates: Sequence[Aggregate], ratios: Sequence[Ratio] = ()) -> None:
        self.aggregates = tuple(aggregates)
        self.column: dict[str, int] = {}
        self.width = dict.fromkeys(KINDS, 0)
        for aggregate in self.aggregates:
            self.column[aggregate.name] = self.width[aggregate.group]
            self.width[aggregate.group] += aggregate.width
        self.members = {group: tuple(a for a in self.aggregates if a.group == group) for group in KINDS}
        self.ratios = tuple(one for one in ratios if {one.of, one.per, one.less or one.of} <= self.column.keys())
        fields = [(group, kind.dtype, (self.width[group],)) for group, kind in KINDS.items()]
        self.dtype = np.dtype([("clock_ms", "i8"), *fields])
        decayed = self.members["decayed"]
        each_ms = np.repeat([float(a.half_life_ms) for a in decayed], [a.width for a in decayed])
        self.half_lives_ms, self.half_life_of = np.unique(each_ms, return_inverse=True)

    def block(self, profiles: Profiles, aggregate: Aggregate) -> Block:
        """[n, width] view of one aggregate's values."""
        start = self.column[aggregate.name]
        view: Block = profiles[aggregate.group][:, start : start + aggregate.width]
        return view

    def identity(self, n: int) -> Profiles:
        """[n] profiles of users who have done nothing."""
        profiles = np.zeros(n, self.dtype)
        for group, kind in KINDS.items():
            if kind.identity:
                profiles[group] = kind.identity
        return profiles

    def forget(self, profiles: Profiles, users: NDArray[np.bool_]) -> None:
        """Make those of ``users`` [n] the identity, in place, but for the facts: they are no history."""
        facts = profiles["fact"][users]
        profiles[users] = self.identity(1)
        profiles["fact"][users] = facts

    def weight(self, age_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """[n, width of the decayed block] ``2^(age/h)``; ``age_ms`` [n] is 0 or negative."""
        by_half_life: NDArray[np.float64] = np.exp2(age_ms[:, None] / self.half_lives_ms)
        return by_half_life[:, self.half_life_of]

    def finalize(self, profiles: Profiles, clock_ms: NDArray[np.int64]) -> NDArray[np.float32]:
        """[n, features] the model's view of the profiles as of ``clock_ms`` [n], which no profile is later than."""
        weight = self.weight(np.where(profiles["clock_ms"] == 0, 0, profiles["clock_ms"] - clock_ms))
        blocks = [
            kind.finalize(profiles[group], clock_ms, weight, self.members[group]) for group, kind in KINDS.items()
        ]
        blocks.append(self._quotients(profiles["decayed"] * weight))
        return np.concatenate(blocks, axis=1, dtype=np.float32, casting="same_kind")

    def _quotients(self, decayed: Block) -> Block:
        columns, whole = self._ratio_columns
        of, per, less = (decayed[:, own] for own in columns)
        less[:, whole] = 0
        return np.divide(of, per - less, out=np.zeros_like(of), where=per - less >= LEAST_WEIGHT)

    @functools.cached_property
    def _ratio_columns(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """[3, ratios] columns of ``of``, ``per`` and ``less``, and [ratios] whether nothing is taken off."""
        columns = [[self.column[getattr(one, side) or one.of] for one in self.ratios] for side in ("of", "per", "less")]
        return np.array(columns, np.int64), np.array([not one.less for one in self.ratios])

    @functools.cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of ``finalize``: kind by kind, in the order of declaration, then the ratios."""
        members = itertools.chain.from_iterable(self.members.values())
        return (*(name for a in members for name in a.feature_names), *(one.name for one in self.ratios))
