"""Mergeable aggregates: one declaration each, which batch, worker, table, store and model all read.

An aggregate is a commutative monoid over single events: the declaration says which events count and what one is worth;
nothing else is ever needed, so batch and live cannot differ. A fact is one over what is told of the user besides. Values that decay are kept as of the user's clock:
``decayed(h) = Σ value · 2^(−age/h)``. ``kernel`` follows the declarations, ``showing`` computes their features, ``oracle`` says
slowly what they mean.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lambent.taxonomy import EventType

SECOND_MS = 1_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
REGISTERS = 16
"""Of a distinct count: its standard error is 1.04 / √16 = 26 %, and it is near exact for a handful."""
MAX_RANK = 15
"""A register holds half a byte: enough for half a million."""
RECALLED = 8
"""Entries of a last-N map."""
STREAK = 3
"""A streak that is longer is shown as if it were this long."""
AGES_H = tuple(1 << octave for octave in range(11))
"""Knots of an age, in hours: an hour, two, … six weeks."""
ACT_BITS, HASH_BITS = 2, 20
"""Of an entry. With 20 bits one product in 130,000 is taken for one of the eight that a user has seen."""
Block = NDArray[Any]
"""[n, width]: the values of an aggregate for n users."""


@dataclasses.dataclass(frozen=True)
class Where:
    """Which events an aggregate sees.

    Attributes:
        type: those of one type.
        mark: ``opens``, those that open a session; ``late``, those that came too late for theirs; ``returns``, those that
            are the first of their session to be of the product which the user saw last before it.
        intent: those that are the first of their session to decide for it.
    """

    type: str = ""
    mark: str = ""
    intent: str = ""

    def sees(self, one: EventType) -> bool:
        """Whether events of a type may count."""
        return self.type in ("", one.name) and self.intent in ("", one.intent)


ALL = Where()


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """A declaration. ``name`` is the column in the table ``profiles`` and the prefix of the model's features."""

    name: str
    where: Where = ALL

    dtype: ClassVar[str] = "i8"
    identity: ClassVar[int] = 0
    group: ClassVar[str] = "count"
    width: ClassVar[int] = 1
    half_life_ms: ClassVar[int] = 0

    def sees(self, one: EventType) -> bool:
        """Whether events of a type may count."""
        return self.where.sees(one)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the model features that it gives, in the order in which they are shown."""
        return (self.name,) if self.width == 1 else tuple(f"{self.name}[{column}]" for column in range(self.width))


class Count(Aggregate):
    """How many events."""


@dataclasses.dataclass(frozen=True)
class Rhythm(Count):
    """How many events by the time of day or of the week, UTC: bucket ``(t / bucket_ms) mod buckets``. Also, one feature a bucket,
    whether it is that bucket's time now: what the clock alone says of the intent is a weighted sum of these.
    """

    bucket_ms: int = 3 * HOUR_MS
    buckets: int = 8

    @property
    def width(self) -> int:  # type: ignore[override]
        """One column a bucket."""
        return self.buckets

    @property
    def now_names(self) -> tuple[str, ...]:
        """Names of the features that say which bucket's time it is."""
        return tuple(f"{self.name}_now[{bucket}]" for bucket in range(self.buckets))


class Latest(Aggregate):
    """Time of the newest event in seconds, 0 if there was none. The feature is 2^(−age / 7 d): 1 now, 0 never.

    Of events that decide for their session, or come back, it is the user's clock: it is never before the session's start.
    """

    group: ClassVar[str] = "latest"


class Earliest(Aggregate):
    """Time of the oldest event in seconds. The feature is log(1 + age in days), 0 if there was none."""

    identity: ClassVar[int] = np.iinfo(np.int64).max
    group: ClassVar[str] = "earliest"


@dataclasses.dataclass(frozen=True)
class Decayed(Aggregate):
    """Sum of a value, decayed: ``Σ value · 2^(−age/h)``.

    Attributes:
        half_life_ms: h.
        of: what is summed: ``price`` or ``dwell_ms`` as log(1 + x), nothing where it is missing; ``unpriced``, 1
            where there is no price; empty, 1 for each event.
        shown: whether the model sees it, as log(1 + sum).
    """

    half_life_ms: int = DAY_MS  # type: ignore[misc]
    of: str = ""
    shown: bool = True

    dtype: ClassVar[str] = "f8"
    group: ClassVar[str] = "decayed"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """None where it is not shown."""
        return super().feature_names if self.shown else ()


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


@dataclasses.dataclass(frozen=True)
class Distinct(Aggregate):
    """How many different values of the text column ``by``: fixed registers under ``max``, each the longest run of zeros
    that a hash of its share ended with, plus 1. The feature is log(1 + estimate).

    Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm", AofA 2007.
    """

    by: str = "product"

    dtype: ClassVar[str] = "i1"
    group: ClassVar[str] = "register"
    width: ClassVar[int] = REGISTERS

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The estimate."""
        return (self.name,)


@dataclasses.dataclass(frozen=True)
class Recent(Aggregate):
    """A last-N map: of the newest values of a text column the last act on each, and when. Cut by recency, a map in which
    the last writer wins merges exactly.

    An entry is one number, so that the newest entry is the largest: minutes since 2000, then the act, then the hash. The
    features are log(1 + entries whose last act was the first of ``acts``), and 2^(−age / 1 d) of the newest entry. Where
    something can be taken out again, also how long the newest entry has waited, if it is in: what was taken out since, such as
    by a purchase, has settled the rest as well. That is one feature a knot of ``AGES_H``, which is 1 at that age and falls to 0
    at the knots beside it, linearly in the logarithm of the age (a linear spline, so that whatever follows from an age is near
    a weighted sum).

    Attributes:
        acts: the event types that write, four at most; what the first one puts in (a cart), the others take out.
        by: the text column whose values are the map's keys.
    """

    acts: tuple[str, ...] = ()
    by: str = "product"

    group: ClassVar[str] = "recent"
    width: ClassVar[int] = RECALLED

    def sees(self, one: EventType) -> bool:
        """Whether events of a type write."""
        return one.name in self.acts

    @property
    def has_ages(self) -> bool:
        """Whether the age of what is in is shown."""
        return len(self.acts) > 1

    @property
    def feature_names(self) -> tuple[str, ...]:
        """How many are in, how new the newest entry is, and how old, if it is in."""
        ages = AGES_H if self.has_ages else ()
        return f"{self.name}_held", f"{self.name}_newest", *(f"{self.name}_age_{hours}h" for hours in ages)


@dataclasses.dataclass(frozen=True)
class Streak(Aggregate):
    """How many sessions in a row, up to the newest, had an event with the mark; the features say whether one, two, or ``STREAK``
    or more.

    How long a streak is cannot be merged. What can is a last-N map of which sessions opened (act 0) and which had such an event
    (act 1), and when by the user's clock; a session's own minute and the act are its key. So a streak is seen as far as half the
    map goes.
    """

    group: ClassVar[str] = "recent"
    width: ClassVar[int] = RECALLED

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One for each length."""
        return tuple(f"{self.name}_{length}" for length in range(1, STREAK + 1))
