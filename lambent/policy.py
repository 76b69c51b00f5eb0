"""What is made of an intent: a list of rules, each an intent, the probability from which it counts, and an action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from lambent.taxonomy import Taxonomy


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name ``action`` when the probability of ``intent`` is at least ``threshold``."""

    intent: str
    threshold: float
    action: str


SHOP_RULES = (
    Rule("purchase", 0.20, "recommend"),
    Rule("purchase", 0.50, "offer-express-checkout"),
    Rule("consult", 0.20, "offer-help"),
    Rule("review", 0.20, "ask-for-review"),
)
"""Rules for the shipped taxonomy: thresholds well above the base rates of a shop (2–5 %, 2 %, 1 %)."""


def rules_for(taxonomy: Taxonomy) -> tuple[Rule, ...]:
    """The shipped rules that speak of this taxonomy's intents."""
    return tuple(rule for rule in SHOP_RULES if rule.intent in taxonomy.intents)


def decide(rules: Sequence[Rule], probabilities: Mapping[str, float]) -> tuple[str, ...]:
    """The actions whose rule holds, in the rules' order."""
    return tuple(rule.action for rule in rules if probabilities[rule.intent] >= rule.threshold)
