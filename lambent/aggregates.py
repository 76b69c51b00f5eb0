"""Mergeable aggregates: one declaration each, which batch, worker, table, store and model all read.

An aggregate is a commutative monoid over single events: ``where`` says which events count, ``worth`` and ``cell`` what
one adds and where, ``combine`` joins two values, ``identity`` is the value of no event. ``update(state, event)`` is
``merge(state, lift(event))``; nothing else is ever needed, so batch and live cannot differ. Values that decay are kept
as of the user's clock: ``decayed(h) = Σ value · 2^(−age/h)``.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lambent.encoding import Events
from lambent.taxonomy import Taxonomy

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
Block = NDArray[Any]
"""[n, width]: the values of an aggregate for n users."""


@dataclasses.dataclass(frozen=True)
class Where:
    """Which events an aggregate sees: those of one type, those with a mark, or all."""

    type: str = ""
    mark: str = ""

    def rows(self, events: Events, taxonomy: Taxonomy) -> NDArray[np.bool_]:
        """[n] true for the events that count."""
        if self.mark:
            return events[self.mark].copy()
        if self.type:
            return np.asarray(events["type"] == taxonomy.type_code[self.type])
        return np.ones(len(events), dtype=bool)


ALL = Where()


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """A declaration. ``name`` is the column in the table ``profiles`` and the prefix of the model's features."""

    name: str
    where: Where = ALL

    dtype: ClassVar[str] = "i8"
    identity: ClassVar[int] = 0
    combine: ClassVar[np.ufunc] = np.add
    group: ClassVar[str] = "count"
    width: ClassVar[int] = 1
    half_life_ms: ClassVar[int] = 0
    of: ClassVar[str] = ""

    def missing(self, events: Events) -> NDArray[np.bool_] | None:
        """[n] true for the events that lack what is counted; None: no event does."""
        return None

    def worth(self, events: Events) -> NDArray[Any]:
        """[n] what events that count are worth, as of their own time."""
        return np.ones(len(events), self.dtype)

    def cell(self, events: Events) -> NDArray[np.int64]:
        """[n] the column of the block to which events that count are added."""
        return np.zeros(len(events), np.int64)

    def lift(self, events: Events, taxonomy: Taxonomy) -> Block:
        """[n, width] what each event alone is worth: the slow, obvious form."""
        block = np.full((len(events), self.width), self.identity, self.dtype)
        counts, missing = self.where.rows(events, taxonomy), self.missing(events)
        rows = np.flatnonzero(counts if missing is None else counts & ~missing)
        block[rows, self.cell(events[rows])] = self.worth(events[rows])
        return block

    @staticmethod
    def finalize(block: Block, clock_ms: NDArray[np.int64], weight: Block) -> Block:
        """[n, columns] model features of all aggregates of this kind, side by side.

        Args:
            block: [n, columns] their values.
            clock_ms: [n] the time asked for.
            weight: [n, columns] for values that decay, ``2^(−age/h)`` from the profile's clock to the time asked for.
        """
        return np.log1p(block)


class Count(Aggregate):
    """How many events."""


class Latest(Aggregate):
    """Time of the newest event, 0 if there was none. The feature is 2^(−age / 7 d): 1 now, 0 never."""

    combine: ClassVar[np.ufunc] = np.maximum
    group: ClassVar[str] = "latest"
    of: ClassVar[str] = "t_ms"

    def worth(self, events: Events) -> NDArray[Any]:
        return np.asarray(events["t_ms"])

    @staticmethod
    def finalize(block: Block, clock_ms: NDArray[np.int64], weight: Block) -> Block:
        age = np.maximum(clock_ms[:, None] - block, 0)
        return np.where(block == Latest.identity, 0.0, np.exp2(-age / (7 * DAY_MS)))


class Earliest(Latest):
    """Time of the oldest event. The feature is log(1 + age in days), 0 if there was none."""

    identity: ClassVar[int] = np.iinfo(np.int64).max
    combine: ClassVar[np.ufunc] = np.minimum
    group: ClassVar[str] = "earliest"

    @staticmethod
    def finalize(block: Block, clock_ms: NDArray[np.int64], weight: Block) -> Block:
        known = block != Earliest.identity
        age = np.maximum(clock_ms[:, None] - np.where(known, block, clock_ms[:, None]), 0)
        return np.log1p(age / DAY_MS)


@dataclasses.dataclass(frozen=True)
class Decayed(Aggregate):
    """Sum of a value, decayed: ``Σ value · 2^(−age/h)``.

    Attributes:
        half_life_ms: h.
        of: the encoded column that is summed as log(1 + x); empty: 1 for each event. A missing value adds nothing.
    """

    half_life_ms: int = DAY_MS  # type: ignore[misc]
    of: str = ""  # type: ignore[misc]

    dtype: ClassVar[str] = "f8"
    group: ClassVar[str] = "decayed"

    def worth(self, events: Events) -> NDArray[Any]:
        if not self.of:
            return super().worth(events)
        values = events[self.of]
        return np.log1p(np.where(np.isnan(values), 0.0, values))

    @staticmethod
    def finalize(block: Block, clock_ms: NDArray[np.int64], weight: Block) -> Block:
        return np.log1p(block * weight)


@dataclasses.dataclass(frozen=True)
class Affinity(Decayed):
    """Decayed counts by hashed bucket: bucket ``hash(by) mod buckets`` of the encoded text column ``by``.

    Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009.
    """

    by: str = "category"
    buckets: int = 16

    @property
    def width(self) -> int:  # type: ignore[override]
        """One column a bucket."""
        return self.buckets

    def missing(self, events: Events) -> NDArray[np.bool_]:
        return np.asarray(events[self.by] == 0)

    def cell(self, events: Events) -> NDArray[np.int64]:
        """[n] the bucket of each event; a missing text gets one too, so look at the text before it is used."""
        return events[self.by].astype(np.int64) % self.buckets
