"""The gate: which model may become champion, and why, in words."""

from __future__ import annotations

import dataclasses

MARGIN_NATS = 0.002
"""How much a candidate's log loss may lie above the champion's: about what two seeds differ by."""


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether a candidate is promoted, and a sentence for each rule that it was held against."""

    promoted: bool
    reasons: tuple[str, ...]


def decide(candidate: float, base: float, champion: float | None, champion_version: int = 0) -> Decision:
    """Hold a candidate against the base rates and the champion, all on the same test events.

    Args:
        candidate, base, champion: log losses in nats an event; champion None: there is none, or it cannot be compared.
        champion_version: for the sentence.
    """
    rules = [_against_base(candidate, base)]
    if champion is not None:
        rules.append(_against_champion(candidate, champion, champion_version))
    return Decision(all(passed for passed, _ in rules), tuple(reason for _, reason in rules))


def _against_base(candidate: float, base: float) -> tuple[bool, str]:
    passed = candidate < base  # a candidate that is not a number passes nothing
    verdict = "better than" if passed else "not better than"
    return passed, f"Log loss {candidate:.4f} is {verdict} the base rates' {base:.4f}."


def _against_champion(candidate: float, champion: float, version: int) -> tuple[bool, str]:
    passed = candidate <= champion + MARGIN_NATS
    verdict = "within" if passed else "not within"
    return passed, f"Log loss {candidate:.4f} is {verdict} {MARGIN_NATS} of champion {version}'s {champion:.4f}."
