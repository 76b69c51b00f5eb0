"""What is made of an intent: a list of rules, each an intent, the probability from which it counts, and an action."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from lambent.errors import SettingsError
from lambent.taxonomy import Taxonomy
from lambent.toml_files import read_toml

MOST_RULES = 32


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


class _File(msgspec.Struct, forbid_unknown_fields=True):
    rules: tuple[Rule, ...]


def load_policy(path: Path, taxonomy: Taxonomy) -> tuple[Rule, ...]:
    """Read rules from a TOML file: ``[[rules]]`` with ``intent``, ``threshold`` and ``action``.

    Raises:
        SettingsError: the file cannot be read, is of another form, or its rules are not of this taxonomy.
    """
    rules = read_toml(path, _File, "Name a file of rules: each [[rules]] with intent, threshold and action.").rules
    if problem := problem_of(rules, taxonomy):
        raise SettingsError(
            f"{path}: {problem}.", "See the page on taxonomy and policy for the rules that are shipped."
        )
    return rules


def problem_of(rules: Sequence[Rule], taxonomy: Taxonomy) -> str:
    """What is wrong with rules, in words; empty if nothing is."""
    if len(rules) > MOST_RULES:
        return f"there are {len(rules)} rules; at most {MOST_RULES} are taken"
    for rule in rules:
        if rule.intent not in taxonomy.intents:
            return f"the intent {rule.intent[:40]!r} is none of {', '.join(taxonomy.intents)}"
        if not 0 <= rule.threshold <= 1:
            return f"the threshold {rule.threshold} is no probability"
        if not rule.action:
            return "an action has no name"
    return ""


def decide(rules: Sequence[Rule], probabilities: Mapping[str, float]) -> tuple[str, ...]:
    """The actions whose rule holds, in the rules' order."""
    return tuple(rule.action for rule in rules if probabilities[rule.intent] >= rule.threshold)
