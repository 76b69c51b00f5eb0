"""A profile: a user's aggregates side by side, as one row of a structured array.

All operations take arrays of users. Aggregates of one kind lie in one block, so that a merge is a few numpy calls
however many aggregates there are. ``oracle.py`` says the same slowly.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.aggregates import Aggregate, Block, Where
from lambent.encoding import Events
from lambent.lifting import Lifter
from lambent.taxonomy import Taxonomy

Profiles = NDArray[np.void]
"""A structured array of ``Layout.dtype``."""


class Layout:
    """Where each aggregate lies in a profile, and the monoid over whole profiles.

    Args:
        aggregates: the declarations, in order.
        taxonomy: the domain that they speak of.
    """

    def __init__(self, aggregates: Sequence[Aggregate], taxonomy: Taxonomy) -> None:
        self.aggregates = tuple(aggregates)
        self.taxonomy = taxonomy
        self.groups: dict[str, list[Aggregate]] = {}
        self.column: dict[str, int] = {}
        widths: dict[str, int] = {}
        for aggregate in self.aggregates:
            self.groups.setdefault(aggregate.group, []).append(aggregate)
            self.column[aggregate.name] = widths.get(aggregate.group, 0)
            widths[aggregate.group] = self.column[aggregate.name] + aggregate.width
        self.width = widths
        fields = [(group, members[0].dtype, (widths[group],)) for group, members in self.groups.items()]
        self.dtype = np.dtype([("clock_ms", "i8"), *fields])
        self._lifters = {group: Lifter(members, taxonomy) for group, members in self.groups.items()}
        self._by_where: dict[Where, list[Aggregate]] = {}
        for aggregate in self.aggregates:
            self._by_where.setdefault(aggregate.where, []).append(aggregate)
        self._half_lives_ms, self._half_life_of = np.unique(self.half_lives_ms, return_inverse=True)

    @functools.cached_property
    def half_lives_ms(self) -> NDArray[np.float64]:
        """[width of the decayed block] half-life of each of its columns."""
        decayed = self.groups.get("decayed", [])
        return np.repeat([float(a.half_life_ms) for a in decayed], [a.width for a in decayed])

    def block(self, profiles: Profiles, aggregate: Aggregate) -> Block:
        """[n, width] view of one aggregate's values."""
        start = self.column[aggregate.name]
        view: Block = profiles[aggregate.group][:, start : start + aggregate.width]
        return view

    def identity(self, n: int) -> Profiles:
        """[n] profiles of users who have done nothing."""
        profiles = np.zeros(n, self.dtype)
        for group, members in self.groups.items():
            profiles[group] = members[0].identity
        return profiles

    def lift(self, events: Events) -> Profiles:
        """[n] profiles that have seen one event each, the clock being the event's time."""
        profiles = np.zeros(len(events), self.dtype)
        profiles["clock_ms"] = events["t_ms"]
        for group, lifter in self._lifters.items():
            profiles[group] = lifter(events)
        return profiles

    def merge(self, left: Profiles, right: Profiles) -> Profiles:
        """[n] profiles that have seen what both sides have: associative and commutative."""
        merged = np.empty_like(left)
        clock_ms = np.maximum(left["clock_ms"], right["clock_ms"])
        merged["clock_ms"] = clock_ms
        for group, members in self.groups.items():
            a, b = left[group], right[group]
            if group == "decayed":
                a, b = a * self.weight(left["clock_ms"] - clock_ms), b * self.weight(right["clock_ms"] - clock_ms)
            merged[group] = members[0].combine(a, b)
        return merged

    def weight(self, age_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """[n, width of the decayed block] ``2^(age/h)``; ``age_ms`` [n] is 0 or negative."""
        by_half_life: NDArray[np.float64] = np.exp2(age_ms[:, None] / self._half_lives_ms)
        return by_half_life[:, self._half_life_of]

    def finalize(self, profiles: Profiles, clock_ms: NDArray[np.int64]) -> NDArray[np.float32]:
        """[n, features] the model's view of the profiles as of ``clock_ms`` [n], which no profile is later than."""
        weight = self.weight(np.where(profiles["clock_ms"] == 0, 0, profiles["clock_ms"] - clock_ms))
        blocks = [members[0].finalize(profiles[group], clock_ms, weight) for group, members in self.groups.items()]
        return np.concatenate(blocks, axis=1, dtype=np.float32, casting="same_kind")

    @functools.cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of ``finalize``: group by group, in the order of declaration."""
        members = [a for group in self.groups.values() for a in group]
        return tuple(a.name if a.width == 1 else f"{a.name}[{column}]" for a in members for column in range(a.width))

    def fold(self, events: Events, user: NDArray[np.int64], users: int) -> Profiles:
        """[users] profiles of marked events ``events`` [n] of users ``user`` [n], in any order: the batch form.

        An event touches only the few cells to which it is worth something, whatever the number of aggregates.
        """
        profiles = self.identity(users)
        np.maximum.at(profiles["clock_ms"], user, events["t_ms"])
        weight = self._decay(events["t_ms"] - profiles["clock_ms"][user])
        for where, members in self._by_where.items():
            rows = np.flatnonzero(where.rows(events, self.taxonomy))
            seen, own = events[rows], user[rows]
            decay = {half_life_ms: by_event[rows] for half_life_ms, by_event in weight.items()}
            for aggregate in members:
                worth, cell = aggregate.worth(seen), own * aggregate.width + aggregate.cell(seen)
                if aggregate.half_life_ms:
                    worth = worth * decay[aggregate.half_life_ms]
                if (missing := aggregate.missing(seen)) is not None:
                    worth, cell = worth[~missing], cell[~missing]
                values = np.full(users * aggregate.width, aggregate.identity, aggregate.dtype)
                aggregate.combine.at(values, cell, worth)
                self.block(profiles, aggregate)[:] = values.reshape(users, aggregate.width)
        return profiles

    def _decay(self, age_ms: NDArray[np.int64]) -> dict[int, NDArray[np.float64]]:
        """By half-life in ms: [n] ``2^(age/h)``."""
        return {int(half_life_ms): np.exp2(age_ms / half_life_ms) for half_life_ms in self._half_lives_ms}
