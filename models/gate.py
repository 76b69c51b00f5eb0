"""The gate: which model may become champion, and why, rule by rule, as a table.

Every rule is told whether it passes or not, with what was found and what is allowed (``gate.toml``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from threadpoolctl import threadpool_limits

from lambent.toml_files import read_toml
from models import metrics
from models.page import table, text
from models.paired import Paired
from models.resample import RESAMPLES, Resamples, Sampled
from models.scored import Scored

CANDIDATE, CHAMPION, BASE = "candidate", "champion", "base rates"
MIB = 1024 * 1024


class Enough(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See ``gate.toml``, here and below."""

    decided_sessions: int


class NotWorse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of what the champion gains on the base rates."""

    lost: float
    lost_at_most: float


class Parts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The same."""

    lost: float


class Calibrated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The slope's band, and ECE over the share of events that a decision follows."""

    slope: tuple[float, float]
    ece: float


class Fast(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Microseconds a step."""

    alone_us: float
    together_us: float


class Small(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of all files."""

    mib: float


class SkewLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mean distance of a probability, and of how many answers at least."""

    distance: float
    answers: int


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a candidate has to be like: see ``gate.toml``."""

    enough: Enough
    not_worse: NotWorse
    calibrated: Calibrated
    parts: Parts
    fast: Fast
    small: Small
    skew: SkewLimit


def load_limits(path: Path | None = None) -> Limits:
    """Read the limits from TOML; None: those that are shipped.

    Raises:
        SettingsError: the file is missing, is not TOML, or holds no such limits.
    """
    path = path or Path(__file__).with_name("gate.toml")
    return read_toml(path, Limits, "Set LAMBENT_GATE to a file like the shipped gate.toml.")


@dataclasses.dataclass(frozen=True)
class Cost:
    """What an artifact costs: microseconds a step for an event alone and for each of 64, and the bytes of its files."""

    alone_us: float
    together_us: float
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class Skew:
    """How far live answers lie from batch: mean distance of a probability, and over how many answers."""

    distance: float
    answers: int


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What is known of a candidate.

    Attributes:
        scored: the test split; ``CANDIDATE`` and ``BASE`` are in ``said``, and ``CHAMPION`` where there is one to compare.
        cost: of the candidate.
        champion: its version; 0: there is none.
        skew: of the champion; None: there is none, or nothing that it answered has matured.
        unknown: why the champion cannot be compared; empty: it can, or there is none.
    """

    scored: Scored
    cost: Cost
    champion: int = 0
    skew: Skew | None = None
    unknown: str = ""


class Rule(msgspec.Struct, frozen=True):
    """One rule: its name, whether it passes, what was found and what is allowed, and both in a sentence."""

    name: str
    passed: bool
    found: str
    limit: str
    reason: str


class Decision(msgspec.Struct, frozen=True):
    """Whether a candidate passes every rule, and what each says."""

    passed: bool
    rules: tuple[Rule, ...]

    @property
    def reasons(self) -> list[str]:
        """A sentence a rule; those that fail come first."""
        return [rule.reason for rule in sorted(self.rules, key=lambda rule: rule.passed)]


def decide(evidence: Evidence, limits: Limits, count: int = RESAMPLES) -> Decision:
    """Hold a candidate against every rule.

    Args:
        evidence: what is known of it.
        limits: what is allowed.
        count: how many resamples.
    """
    with threadpool_limits(1, user_api="blas"):  # see ``evaluate_scores``
        rules = tuple(_rules(evidence, limits, count))
    return Decision(all(rule.passed for rule in rules), rules)


def _rules(evidence: Evidence, limits: Limits, count: int) -> Iterator[Rule]:
    scored = evidence.scored
    yield _enough(scored.decided, limits.enough.decided_sessions)
    resamples = Resamples(scored.user, scored.users, count)
    less = Paired(scored, CANDIDATE, BASE, resamples).log_loss()
    yield _better(less)
    reference = CHAMPION if CHAMPION in scored.said else BASE
    gain = Paired(scored, BASE, CHAMPION if reference == CHAMPION else CANDIDATE, resamples).log_loss()
    pair = Paired(scored, CANDIDATE, reference, resamples)
    if reference == CHAMPION:
        yield _not_worse(pair.log_loss(), gain, evidence.champion, limits.not_worse)
    elif evidence.unknown:
        reason = f"Champion {evidence.champion} cannot be compared: {evidence.unknown}"
        yield Rule("not worse than the champion", True, "–", "–", reason)
    yield from _calibrated(scored, resamples, limits.calibrated)
    yield _parts(pair, max(gain.value, 0.0) * limits.parts.lost)
    yield from _cheap(evidence.cost, limits)
    yield _skew(evidence.skew, limits.skew)


def _enough(decided: int, least: int) -> Rule:
    passed = decided >= least
    verdict = "enough" if passed else "too few to judge by: have more of the log read, or promote it by hand"
    reason = f"{decided:,} test sessions hold a decision, {verdict}."
    return Rule("enough decisions", passed, f"{decided:,}", f"≥ {least:,}", reason)


def _better(less: Sampled) -> Rule:
    passed = _ends(less)[1] < 0
    verdict = "below" if passed else "not surely below"
    reason = f"Log loss is {verdict} the base rates': it differs by {_text(less)}."
    return Rule("better than the base rates", passed, _text(less), "all < 0", reason)


def _not_worse(less: Sampled, gain: Sampled, champion: int, limits: NotWorse) -> Rule:
    room = max(gain.value, 0.0)
    low, high = _ends(less)
    passed = less.value <= limits.lost * room and high <= limits.lost_at_most * room
    verdict = (
        "better than" if high < 0 else "not worse than" if passed else "worse than" if low > 0 else "perhaps worse than"
    )
    limit = f"≤ {limits.lost * room:.4f}, upper end ≤ {limits.lost_at_most * room:.4f}"
    reason = f"Log loss is {verdict} champion {champion}'s: it differs by {_text(less)}; allowed is {limit}."
    return Rule("not worse than the champion", passed, _text(less), limit, reason)


def _calibrated(scored: Scored, resamples: Resamples, limits: Calibrated) -> Iterator[Rule]:
    p = scored.said[CANDIDATE]
    slope = metrics.joint_figures(p, scored.labels, resamples)["slope"]
    low, high = _ends(slope)
    passed = low <= limits.slope[1] and high >= limits.slope[0]
    band = f"{limits.slope[0]:g} to {limits.slope[1]:g}"
    verdict = "reaches" if passed else "does not reach"
    reason = f"The calibration's slope, {_text(slope, 3)}, {verdict} {band}."
    yield Rule("calibrated: slope", passed, _text(slope, 3), f"reaches {band}", reason)
    hit = scored.labels == 0
    ece, by_chance = metrics.calibration_error(p[:, 0], hit, resamples)
    excess = (ece - Sampled(by_chance.value, np.full(resamples.count, by_chance.value))) / resamples.ratio(~hit)
    passed = _ends(excess)[0] <= limits.ece
    verdict = "not surely beyond" if passed else "surely beyond"
    reason = f"ECE over the share that decides, less what is chance, is {_text(excess, 3)}, {verdict} {limits.ece:g}."
    yield Rule("calibrated: ECE", passed, _text(excess, 3), f"lower end ≤ {limits.ece:g}", reason)


def _parts(pair: Paired, most: float) -> Rule:
    found = [(_ends(less)[0], f"{one.group} {one.name}", less) for one, less in pair.parts() if one.group != "way"]
    worse = [(name, less) for low, name, less in found if low > most]
    whose = "the champion" if pair.right == CHAMPION else "the base rates"
    told = "; ".join(f"{name} by {_text(less)}" for name, less in worse)
    reason = (
        f"Much worse than {whose} in: {told}." if worse else f"In none of {len(found)} parts much worse than {whose}."
    )
    limit = f"lower end ≤ {most:.4f}"
    return Rule("no part much worse", not worse, f"{len(worse)} of {len(found)}", limit, reason)


def _cheap(cost: Cost, limits: Limits) -> Iterator[Rule]:
    fast, mib = limits.fast, cost.size_bytes / MIB
    passed = cost.alone_us <= fast.alone_us and cost.together_us <= fast.together_us
    found = f"{cost.alone_us:,.0f} µs alone, {cost.together_us:,.1f} µs of 64"
    limit = f"≤ {fast.alone_us:g} and {fast.together_us:g} µs"
    yield Rule("fast enough", passed, found, limit, f"A step takes {found}; {limit} is allowed.")
    passed = mib <= limits.small.mib
    reason = f"Its files have {mib:,.2f} MiB; {limits.small.mib:g} are allowed."
    yield Rule("small enough", passed, f"{mib:,.2f} MiB", f"≤ {limits.small.mib:g} MiB", reason)


def _skew(skew: Skew | None, limits: SkewLimit) -> Rule:
    name, limit = "live as in batch", f"≤ {limits.distance:g}"
    if skew is None or skew.answers < limits.answers:
        answers = skew.answers if skew else 0
        reason = f"Of the champion's live answers {answers:,} have matured, too few to compare with batch."
        return Rule(name, True, "–", limit, reason)
    passed = skew.distance <= limits.distance
    found = f"{skew.distance:.5f} over {skew.answers:,} answers"
    verdict = "close to" if passed else "far from"
    reason = f"The champion's live answers are {verdict} what it says in batch: a probability differs by {found}."
    return Rule(name, passed, found, limit, reason)


def _ends(sampled: Sampled) -> tuple[float, float]:
    """The interval; where there is none, NaN, which passes no rule."""
    figure = sampled.figure()
    return tuple(np.nan if figure[end] is None else float(figure[end] or 0) for end in ("low", "high"))  # type: ignore[return-value]


def _text(sampled: Sampled, digits: int = 4) -> str:
    return text(sampled.figure(), digits)


def page(decision: Decision, version: int, outcome: str) -> str:
    """The decision as a page of Markdown.

    Args:
        decision: what the gate says.
        version: of the candidate.
        outcome: what became of it, in a sentence.
    """
    rows = [[rule.name, "good" if rule.passed else "**fails**", rule.found, rule.limit] for rule in decision.rules]
    head = f"# The gate: model {version} {'passes' if decision.passed else 'does not pass'}\n\n{outcome}\n\n"
    told = "\n".join(f"* {reason}" for reason in decision.reasons)
    return f"{head}{table(['rule', '', 'found', 'allowed'], rows)}\nIn words, what fails first:\n\n{told}\n"


def as_json(decision: Decision) -> dict[str, Any]:
    """The decision as plain values."""
    return {"passed": decision.passed, "rules": msgspec.to_builtins(decision.rules)}
