"""Facts: what is told of users besides events, such as an age band; not folded, but known as of a time.

The table ``users`` tells it, and batch writes it into the profiles. It is coded here, in Python and in SQL by the same rule.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lambent.aggregates import SECOND_MS, Aggregate
from lambent.sql import quoted
from lambent.taxonomy import EventType

MAX_FACT = 2**32 - 1
"""The largest number."""
TIME_BITS = 42
"""Of a time in milliseconds: enough until 2109."""
LAST_MS = (1 << TIME_BITS) - 1


def as_of_ms(cutoff_ms: int) -> int:
    """As of when a snapshot's profiles hold what is told: its cut-off T.

    Where T is 0 there is no live log yet. Whatever such a profile is shown to comes later, so what is told last holds.
    """
    return cutoff_ms or LAST_MS


@dataclasses.dataclass(frozen=True)
class Fact(Aggregate):
    """What is told of the user besides events, as a whole number; 0: not known. No event changes it and no silence ends it:
    it comes with the published profile, in training as of the session's start.

    Attributes:
        of: the column of the table ``users``; empty: that of the fact's own name.
    """

    of: str = ""

    group: ClassVar[str] = "fact"

    @property
    def column(self) -> str:
        """The column of the table ``users``."""
        return self.of or self.name

    def sees(self, one: EventType) -> bool:
        """No event counts."""
        return False

    def code(self, value: Any) -> int:
        """The number of what is told; 0 where it is missing."""
        raise NotImplementedError

    def sql(self) -> str:
        """The same as an SQL expression over the column."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Choice(Fact):
    """Which of some values a text has, from 1 in their order; one more for any other text. Each has a feature that is 1 where
    it holds, and so has not known.

    Attributes:
        values: as the shop writes them.
    """

    values: tuple[str, ...] = ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One a code."""
        return tuple(f"{self.name}_{value}" for value in ("unknown", *self.values, "other"))

    def code(self, value: str | None) -> int:
        """See ``Fact``."""
        if value is None:
            return 0
        return 1 + (self.values.index(value) if value in self.values else len(self.values))

    def sql(self) -> str:
        """See ``Fact``."""
        cases = [f"{self.column} IS NULL THEN 0L"]
        cases += [f"{self.column} = {quoted(value)} THEN {self.code(value)}L" for value in self.values]
        return f"CASE WHEN {' WHEN '.join(cases)} ELSE {1 + len(self.values)}L END"


class Since(Fact):
    """A time in seconds, at least 1. The features are log(1 + age in days) and 1 where it is not known."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Its age, and whether it is not known."""
        return self.name, f"{self.name}_unknown"

    def code(self, value: int | None) -> int:
        """See ``Fact``."""
        return 0 if value is None else min(max(value // SECOND_MS, 1), MAX_FACT)

    def sql(self) -> str:
        """See ``Fact``."""
        seconds = f"least(greatest({self.column} div {SECOND_MS}, 1L), {MAX_FACT}L)"
        return f"CASE WHEN {self.column} IS NULL THEN 0L ELSE {seconds} END"


@dataclasses.dataclass(frozen=True)
class Spans:
    """What was told of users, each over a span of time that ends where the user's next one begins.

    Attributes:
        user: [n] index of the user, never falling.
        from_ms: [n] where the span begins, ascending within a user.
        codes: [n, facts].
    """

    user: NDArray[np.int64]
    from_ms: NDArray[np.int64]
    codes: NDArray[np.int64]

    def as_of(self, user: NDArray[np.int64], at_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        """[m, facts] of users [m] as of times [m]; 0 before the first span."""
        last = np.searchsorted(_place(self.user, self.from_ms), _place(user, at_ms), side="right") - 1
        found = np.zeros((len(user), self.codes.shape[1]), np.int64)
        known = np.flatnonzero(last >= 0)
        known = known[self.user[last[known]] == user[known]]
        found[known] = self.codes[last[known]]
        return found


def _place(user: NDArray[np.int64], at_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Users and times as one number, in order."""
    return user << TIME_BITS | at_ms
