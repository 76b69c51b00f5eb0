"""A profile: a user's aggregates side by side, as one row of a structured array.

All operations take arrays of users. Aggregates of one kind lie in one block. ``oracle.py`` says the same slowly, ``showing``
what the model sees of it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.aggregates import Aggregate, Block, Count, Decayed, Distinct, Earliest, Latest, Recent, Rhythm, Streak
from lambent.facts import Choice, Fact
from lambent.views import MAP_WITH_AGES, PLAIN_MAP, STREAK_MAP, Arrays, Shown, profile_blocks

Profiles = NDArray[np.void]
"""A structured array of ``Layout.dtype``."""
KINDS: dict[str, type[Aggregate]] = {
    kind.group: kind for kind in (Count, Decayed, Latest, Earliest, Distinct, Recent, Fact)
}
"""What the values of each block are, in the blocks' order."""


def raw_of(profiles: Profiles) -> NDArray[np.void]:
    """[n] view of profiles as bytes without fields: NumPy looks at each of those on its own, which takes many times as long."""
    return profiles.view(np.dtype((np.void, profiles.dtype.itemsize)))


def _shown_as(one: Aggregate) -> int:
    if isinstance(one, Streak):
        return STREAK_MAP
    return MAP_WITH_AGES if isinstance(one, Recent) and one.has_ages else PLAIN_MAP


class Layout:
    """Where each aggregate lies in a profile, and what the model sees of it.

    Args:
        aggregates: the declarations, in order.

    Attributes:
        column: where each aggregate's block begins in that of its kind.
        members: of each kind the aggregates, in the order of their columns.
        width: of each kind's block.
        half_lives_ms: the different half-lives, and half_life_of: [width of the decayed block] which of them.
    """

    def __init__(self, aggregates: Sequence[Aggregate]) -> None:
        self.aggregates = tuple(aggregates)
        self.column: dict[str, int] = {}
        self.width = dict.fromkeys(KINDS, 0)
        for aggregate in self.aggregates:
            self.column[aggregate.name] = self.width[aggregate.group]
            self.width[aggregate.group] += aggregate.width
        self.members = {group: tuple(a for a in self.aggregates if a.group == group) for group in KINDS}
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
        profiles = np.empty(n, self.dtype)
        raw_of(profiles)[:] = self._identity
        return profiles

    @functools.cached_property
    def _identity(self) -> NDArray[np.void]:
        one = np.zeros(1, self.dtype)
        for group, kind in KINDS.items():
            if kind.identity:
                one[group] = kind.identity
        return raw_of(one)

    def forget(self, profiles: Profiles, users: NDArray[np.bool_]) -> None:
        """Make those of ``users`` [n] the identity, in place, but for the facts: they are no history."""
        facts = profiles["fact"][users]
        profiles[users] = self.identity(1)
        profiles["fact"][users] = facts

    def finalize(self, profiles: Profiles, clock_ms: NDArray[np.int64]) -> NDArray[np.float32]:
        """[n, features] the model's view of the profiles as of ``clock_ms`` [n], which no profile is later than."""
        from lambent import compiled  # what only declares features needs no compiler

        features = np.empty((len(profiles), len(self.feature_names)), np.float32)
        compiled.show_profiles(self._shown, profile_blocks(profiles), clock_ms, features)
        return features

    @functools.cached_property
    def _shown(self) -> Arrays:
        """``views.Shown``."""
        facts, decayed = self.members["fact"], self.members["decayed"]
        clocks = [(one.bucket_ms, one.buckets) for one in self._rhythms]
        is_shown = np.repeat([bool(a.feature_names) for a in decayed], [a.width for a in decayed])
        shown = Shown(
            half_life_ms=self.half_lives_ms,
            half_life_of=self.half_life_of,
            decayed=np.flatnonzero(is_shown),
            maps=np.array([_shown_as(a) for a in self.members["recent"]], np.int64),
            choices=np.array([len(a.feature_names) if isinstance(a, Choice) else 0 for a in facts], np.int64),
            clocks=np.array(clocks, np.int64).reshape(-1, 2),
        )
        return tuple(shown)

    @property
    def _rhythms(self) -> list[Rhythm]:
        return [one for one in self.members["count"] if isinstance(one, Rhythm)]

    @functools.cached_property
    def now_names(self) -> tuple[str, ...]:
        """Names of the columns of ``finalize`` that say what time it is and nothing of the user; they are the last ones."""
        return tuple(name for one in self._rhythms for name in one.now_names)

    @functools.cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of ``finalize``: kind by kind, in the order of declaration; then ``now_names``."""
        own = (name for a in itertools.chain.from_iterable(self.members.values()) for name in a.feature_names)
        return (*own, *self.now_names)
