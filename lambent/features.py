"""The features: what a profile holds, and what a step of the model sees. This is the file to add a feature to.

A new aggregate is one line in ``declare``; Spark, the worker, the table's schema, the store's bytes and the model's
input follow from it. ``FeatureSet.hash`` changes with it, so that what was built for other features is refused.
"""

from __future__ import annotations

import functools
import hashlib

from lambent.aggregates import (
    ALL,
    DAY_MS,
    HOUR_MS,
    WEEK_MS,
    Affinity,
    Aggregate,
    Count,
    Decayed,
    Distinct,
    Earliest,
    Latest,
    Recent,
    Rhythm,
    Streak,
    Where,
)
from lambent.catalogue import KINDS, SHOWN
from lambent.errors import SettingsError
from lambent.facts import Choice, Fact, Since
from lambent.profile import Layout
from lambent.sessions import GAP_MS, HORIZON_MS, session_dtype
from lambent.taxonomy import Taxonomy, shop

HALF_LIVES_MS = {"1h": HOUR_MS, "1d": DAY_MS, "7d": WEEK_MS}

# Hashed ids that the model embeds: encoded column and number of rows of its table (row 0: missing).
EMBEDDED = {
    "category": 4_096, "brand": 2_048, "product": 8_192, "device": 16, "query_first": 1_024, "query_last": 1_024,
}  # fmt: skip

PRICE_LEVEL = ("view_log_price_7d", "view_7d", "view_unpriced_7d")
"""What a user usually looks at costs, on a log scale: the first of these sums, divided by what the second has more than the third."""

OPENS = Where(mark="opens")
LATE = Where(mark="late")
RETURNS = Where(mark="returns")
SEEN = "seen"
"""The last-N map that says whether an event comes back to what the user saw last before the session."""
PRICED = ("view", "purchase")
RECENT = {
    SEEN: (("view",), "product"),
    "cart": (("cart", "uncart", "purchase"), "product"),
    "favourites": (("favourite",), "product"),
    "bought": (("purchase", "review"), "product"),
    "bought_categories": (("purchase",), "category"),
}


def declare(taxonomy: Taxonomy) -> tuple[Aggregate, ...]:
    """The aggregates of a profile, in order."""
    names = [event_type.name for event_type in taxonomy.types]
    intents = taxonomy.intents[1:]
    priced = [name for name in PRICED if name in names]
    half_lives = HALF_LIVES_MS.items()
    kept = functools.partial(Decayed, shown=False)  # for who reads profiles: a model gains nothing from it (ADR 0034)
    return (
        Count("events"),
        Count("sessions", OPENS),
        Count("late", LATE),
        Count("returned_sessions", RETURNS),
        *(Count(f"{name}_count", Where(name)) for name in names),
        *(Count(f"{intent}_sessions", Where(intent=intent)) for intent in intents),
        *(kept(f"{name}_{h}", Where(name), ms) for name in names for h, ms in half_lives),
        *(kept(f"sessions_{h}", OPENS, ms) for h, ms in half_lives),
        *(kept(f"returned_sessions_{h}", RETURNS, ms) for h, ms in half_lives),
        *(kept(f"{intent}_sessions_{h}", Where(intent=intent), ms) for intent in intents for h, ms in half_lives),
        *(kept(f"{name}_log_price_{h}", Where(name), ms, of="price") for name in priced for h, ms in half_lives),
        *(kept(f"{name}_unpriced_{h}", Where(name), ms, of="unpriced") for name in priced for h, ms in half_lives),
        *(kept(f"dwell_{h}", ALL, ms, of="dwell_ms") for h, ms in half_lives),
        *(Latest(f"{name}_latest_s", Where(name)) for name in names),
        Latest("session_latest_s", OPENS),
        Latest("returned_session_s", RETURNS),
        *(Latest(f"{intent}_session_s", Where(intent=intent)) for intent in intents),
        Earliest("first_s"),
        *(Affinity(f"{by}_{h}", ALL, ms, by=by, shown=False) for by in ("category", "brand") for h, ms in half_lives),
        Rhythm("hours", ALL, bucket_ms=3 * HOUR_MS, buckets=8),
        Rhythm("weekdays", ALL, bucket_ms=DAY_MS, buckets=7),
        *(Distinct(f"distinct_{by}", by=by) for by in ("product", "category")),
        *(Recent(name, acts=acts, by=by) for name, (acts, by) in RECENT.items() if acts[0] in names),
        Streak("returned_streak", RETURNS),
        Choice("age_band", values=taxonomy.users.age_band),
        Choice("gender", values=taxonomy.users.gender),
        Since("member_since_s", of="member_since_ms"),
    )


class FeatureSet:
    """Everything that depends on the taxonomy and the declarations: layouts, names, hash.

    Args:
        taxonomy: the domain.
        aggregates: the declarations; None means ``declare(taxonomy)``.

    Raises:
        SettingsError: an aggregate counts what the profile could not remember.
    """

    def __init__(self, taxonomy: Taxonomy, aggregates: tuple[Aggregate, ...] | None = None) -> None:
        self.taxonomy = taxonomy
        self.profile = Layout(declare(taxonomy) if aggregates is None else aggregates)
        _check_memory(self.profile.aggregates)
        self.session_dtype = session_dtype(taxonomy)
        self.facts = tuple(a for a in self.profile.aggregates if isinstance(a, Fact))
        self.recent = tuple(a for a in self.profile.aggregates if isinstance(a, Recent))

    @functools.cached_property
    def step_floats(self) -> tuple[str, ...]:
        """Names of the step's numbers, in order (``kernel`` computes them)."""
        return (
            "gap_log_s", "elapsed_log_s", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos",
            "price_log", "price_missing", "price_relative", "dwell_log_s", "dwell_missing",
            "events_log", *(f"{t.name}_log" for t in self.taxonomy.types),
            "product_repeated", "category_repeated", "product_is_last", "product_is_before_last", "product_returned_to",
            *(f"{a.name}_{what}" for a in self.recent for what in ("in", "recency")),
            *(f"{kind}_{what}" for kind in KINDS for what in ("unknown", *SHOWN, "price_less_usual", "usual_missing")),
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
        parts += [repr(self.profile.feature_names), repr(PRICE_LEVEL), f"{GAP_MS} {HORIZON_MS}"]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _check_memory(aggregates: tuple[Aggregate, ...]) -> None:
    """Whether an event is the first of its session to decide, or to come back, is read off the profile: see ``monoid``."""
    remembered = {a.where for a in aggregates if isinstance(a, Latest)}
    sees = any(isinstance(a, Recent) and a.name == SEEN for a in aggregates)
    for one in aggregates:
        if one.where == RETURNS and not (sees and {OPENS, RETURNS} <= remembered):
            raise SettingsError(
                f"The aggregate {one.name} counts returns to a product, which the profile does not remember.",
                f"Declare a Latest of sessions that open, one of Where(mark='returns') and a Recent named {SEEN} as well.",
            )
        if one.where.intent and not {OPENS, Where(intent=one.where.intent)} <= remembered:
            raise SettingsError(
                f"The aggregate {one.name} counts the sessions with {one.where.intent}, which the profile does not remember.",
                f"Declare a Latest of sessions that open and a Latest of Where(intent={one.where.intent!r}) as well.",
            )


@functools.cache
def feature_set(taxonomy: Taxonomy, aggregates: tuple[Aggregate, ...] | None = None) -> FeatureSet:
    """The feature set, made once: what a task on another machine calls for each chunk of its rows."""
    return FeatureSet(taxonomy, aggregates)


def shop_features() -> FeatureSet:
    """The features of the shipped taxonomy."""
    return feature_set(shop())
