"""The features: what a profile holds, and what a step of the model sees. This is the file to add a feature to.

A new aggregate is one line in ``declare``; Spark, the worker, the table's schema, the store's bytes and the model's
input follow from it. ``FeatureSet.hash`` changes with it, so that what was built for other features is refused.
"""

from __future__ import annotations

import functools
import hashlib

from lambent.aggregates import ALL, DAY_MS, HOUR_MS, Affinity, Aggregate, Count, Decayed, Earliest, Latest, Where
from lambent.profile import Layout
from lambent.sessions import GAP_MS, HORIZON_MS, session_dtype
from lambent.taxonomy import Taxonomy, shop

HALF_LIVES_MS = {"1h": HOUR_MS, "1d": DAY_MS, "7d": 7 * DAY_MS}

# Hashed ids that the model embeds: encoded column and number of rows of its table (row 0: missing).
EMBEDDED = {"category": 4_096, "brand": 2_048, "product": 8_192, "device": 16}

# What the step asks of the user's history about the event at hand: the affinities by name.
LOOKUPS = ("category_7d", "brand_7d", "product_1d")


def declare(taxonomy: Taxonomy) -> tuple[Aggregate, ...]:
    """The aggregates of a profile, in order."""
    names = [event_type.name for event_type in taxonomy.types]
    priced = [name for name in ("view", "purchase") if name in names]
    return (
        Count("events"),
        Count("sessions", Where(mark="opens")),
        Count("late", Where(mark="late")),
        *(Count(f"{name}_count", Where(name)) for name in names),
        *(Decayed(f"{name}_{h}", Where(name), ms) for name in names for h, ms in HALF_LIVES_MS.items()),
        *(Decayed(f"sessions_{h}", Where(mark="opens"), ms) for h, ms in HALF_LIVES_MS.items()),
        *(Decayed(f"{name}_log_price_7d", Where(name), 7 * DAY_MS, of="price") for name in priced),
        Decayed("dwell_1d", ALL, DAY_MS, of="dwell_ms"),
        *(Latest(f"{name}_latest_ms", Where(name)) for name in names),
        Latest("session_latest_ms", Where(mark="opens")),
        Earliest("first_ms"),
        Affinity("category_7d", ALL, 7 * DAY_MS, by="category", buckets=16),
        Affinity("brand_7d", ALL, 7 * DAY_MS, by="brand", buckets=16),
        Affinity("product_1d", ALL, DAY_MS, by="product", buckets=32),
    )


class FeatureSet:
    """Everything that depends on the taxonomy and the declarations: layouts, names, hash.

    Args:
        taxonomy: the domain.
        aggregates: the declarations; None means ``declare(taxonomy)``.
    """

    def __init__(self, taxonomy: Taxonomy, aggregates: tuple[Aggregate, ...] | None = None) -> None:
        self.taxonomy = taxonomy
        self.profile = Layout(declare(taxonomy) if aggregates is None else aggregates)
        self.session_dtype = session_dtype(taxonomy)
        by_name = {a.name: a for a in self.profile.aggregates}
        self.lookups = tuple(a for name in LOOKUPS if isinstance(a := by_name.get(name), Affinity))

    @functools.cached_property
    def step_floats(self) -> tuple[str, ...]:
        """Names of the step's numbers, in order (``kernel`` computes them)."""
        return (
            "gap_log_s", "elapsed_log_s", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos",
            "price_log", "price_missing", "price_relative", "dwell_log_s", "dwell_missing",
            "events_log", *(f"{t.name}_log" for t in self.taxonomy.types),
            "product_repeated", "category_repeated", *(f"{a.name}_affinity" for a in self.lookups),
        )  # fmt: skip

    @functools.cached_property
    def step_ids(self) -> tuple[str, ...]:
        """Names of the step's ids, in order: the event's type, then the embedded columns."""
        return ("type", *EMBEDDED)

    @functools.cached_property
    def hash(self) -> str:
        """16 hex digits that name this feature set: equal hashes mean equal bytes and equal model inputs."""
        parts = [repr(a) for a in self.profile.aggregates]
        parts += [repr(self.taxonomy.types), repr(self.taxonomy.intents), repr(self.step_floats), repr(EMBEDDED)]
        parts += [f"{GAP_MS} {HORIZON_MS}"]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@functools.cache
def feature_set(taxonomy: Taxonomy, aggregates: tuple[Aggregate, ...] | None = None) -> FeatureSet:
    """The feature set, made once: what a task on another machine calls for each chunk of its rows."""
    return FeatureSet(taxonomy, aggregates)


def shop_features() -> FeatureSet:
    """The features of the shipped taxonomy."""
    return feature_set(shop())
