"""What a profile holds, in groups that a person tells apart: by what the user did, not by how it is kept."""

from __future__ import annotations

from lambent.aggregates import Affinity, Aggregate, Decayed, Earliest, Latest, Recent, Rhythm
from lambent.facts import Fact
from lambent.features import PRICE_LEVEL, RETURNS, FeatureSet
from lambent.taxonomy import Taxonomy

GROUPS = {
    "outcomes": "what earlier sessions led to",
    "activity": "how much was done",
    "recency": "how long ago",
    "prices": "prices",
    "tastes": "categories and brands",
    "rhythm": "hours and weekdays",
    "products": "cart, favourites, products seen",
    "facts": "what is told of the user",
}
"""By name: what the group is, in words."""


def groups_of(features: FeatureSet) -> dict[str, tuple[Aggregate, ...]]:
    """The aggregates of each group, in the order of ``GROUPS``; everything that the model sees is in one, and none is empty."""
    seen = [one for one in features.profile.aggregates if one.feature_names or one.name in PRICE_LEVEL]
    pairs = [(_group_of(one, features.taxonomy), one) for one in seen]
    found = {group: tuple(one for name, one in pairs if name == group) for group in GROUPS}
    return {group: own for group, own in found.items() if own}


def _group_of(one: Aggregate, taxonomy: Taxonomy) -> str:
    kinds = {Fact: "facts", Recent: "products", Affinity: "tastes", Rhythm: "rhythm"}
    for kind, name in kinds.items():
        if isinstance(one, kind):
            return name
    if one.where == RETURNS:
        return "products"
    if one.name in PRICE_LEVEL or (isinstance(one, Decayed) and one.of in ("price", "unpriced")):
        return "prices"
    decisive = {kind.name for kind in taxonomy.types if kind.intent}
    if one.where.intent or one.where.type in decisive:
        return "outcomes"
    return "recency" if isinstance(one, Latest | Earliest) else "activity"
