"""Mergeable aggregates: one declaration each, which batch, worker, table, store and model all read.

An aggregate is a commutative monoid over single events: the declaration says which events count and what one is worth,
``combine`` joins two values, ``identity`` is the value of no event. ``update(state, event)`` is ``merge(state, lift(event))``;
nothing else is ever needed, so batch and live cannot differ. Values that decay are kept as of the user's clock:
``decayed(h) = Σ value · 2^(−age/h)``. ``kernel`` follows the declarations, ``oracle`` says slowly what they mean.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
Block = NDArray[Any]
"""[n, width]: the values of an aggregate for n users."""


@dataclasses.dataclass(frozen=True)
class Where:
    """Which events an aggregate sees: those of one type, those with a mark (``opens``, ``late``), or all."""

    type: str = ""
    mark: str = ""


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

    @staticmethod
    def finalize(block: Block, clock_ms: NDArray[np.int64], weight: Block) -> Block:
        age = np.maximum(clock_ms[:, None] - block, 0)
        return np.where(block == Latest.identity, 0.0, np.exp2(-age / (7 * DAY_MS)))


class Earliest(Aggregate):
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
    of: str = ""

    dtype: ClassVar[str] = "f8"
    group: ClassVar[str] = "decayed"

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


KINDS: dict[str, type[Aggregate]] = {kind.group: kind for kind in (Count, Decayed, Latest, Earliest)}
"""What the values of each block of a profile are, in the blocks' order."""
