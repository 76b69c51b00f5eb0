"""The gate by events that are made so that one rule decides; and what was answered live beside what followed."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambent.errors import SettingsError
from models.gate import BASE, CANDIDATE, CHAMPION, Cost, Decision, Evidence, Skew, as_json, decide, load_limits, page
from models.paired import compare
from models.scored import Scored

LIMITS = load_limits()
CHEAP = Cost(alone_us=30.0, together_us=4.0, size_bytes=300_000)
SESSIONS, LENGTH = 2_000, 4
RATES = np.array([0.8, 0.15, 0.05])


@functools.cache
def events() -> tuple[Scored, np.ndarray]:
    """Sessions of four events, two a user, and [n, 3] the probabilities that their intents were drawn by."""
    rng = np.random.default_rng(5)
    logits = np.log(RATES) + rng.normal(0, 1.0, (SESSIONS, 3))
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = (rng.random((SESSIONS, 1)) > truth.cumsum(axis=1)).sum(axis=1).clip(max=2)
    n = SESSIONS * LENGTH
    session, position = np.repeat(np.arange(SESSIONS), LENGTH), np.tile(1 + np.arange(LENGTH), SESSIONS)
    scored = Scored(
        said={},
        labels=label[session],
        type=np.zeros(n, np.int64),
        device=np.tile([0, 0, 1, 1], SESSIONS),
        hour=np.full(n, 12.0),
        session=session,
        position=position,
        way=np.where(label[session] > 0, LENGTH - 1, LENGTH),
        user=session // 2,
        new_user=np.zeros(n, bool),
        users=SESSIONS // 2,
        owner=np.array([f"u{one // 2}" for one in range(SESSIONS)]),
        start_ms=np.arange(SESSIONS),
        length=np.full(SESSIONS, LENGTH),
    )
    return scored, truth[session]


def sharpened(p: np.ndarray, slope: float) -> np.ndarray:
    """[n, K] probabilities whose calibration has the slope 1 / ``slope``."""
    raised = p**slope
    return raised / raised.sum(axis=1, keepdims=True)


def blurred(p: np.ndarray, share: float) -> np.ndarray:
    """What says so much less of the truth, and is about as honest."""
    return (1 - share) * p + share * RATES


def decision(said: Mapping[str, np.ndarray], where: np.ndarray | None = None, **known: Any) -> Decision:
    """What the gate says of a candidate, on all events or some."""
    scored, truth = events()
    base = np.broadcast_to(RATES, truth.shape)
    scored = dataclasses.replace(scored, said={BASE: base, **said})
    evidence = {"cost": CHEAP, **known}
    return decide(Evidence(scored if where is None else scored.of(where), **evidence), LIMITS, count=200)


def failing(found: Decision) -> list[str]:
    return [rule.name for rule in found.rules if not rule.passed]


def test_an_honest_model_that_knows_more_than_the_base_rates_passes_every_rule() -> None:
    _, truth = events()
    found = decision({CANDIDATE: truth})
    assert found.passed and failing(found) == []
    assert len(found.reasons) == len(found.rules) == 8


def test_few_decisions_let_nothing_through_however_good_it_looks() -> None:
    scored, truth = events()
    few = np.flatnonzero(scored.session < 30)
    found = decision({CANDIDATE: 0.01 * truth + 0.99 * np.eye(3)[scored.labels]}, few)
    assert "enough decisions" in failing(found)
    assert "too few to judge by" in found.reasons[0]


def test_no_events_at_all_let_nothing_through() -> None:
    _, truth = events()
    found = decision({CANDIDATE: truth, CHAMPION: truth}, np.zeros(0, np.int64), champion=3)
    assert not found.passed and {"enough decisions", "better than the base rates"} <= set(failing(found))


def test_a_model_that_says_what_the_base_rates_say_is_refused() -> None:
    _, truth = events()
    found = decision({CANDIDATE: blurred(truth, 1.0)})
    assert "better than the base rates" in failing(found)


def test_a_model_that_was_better_by_luck_for_all_one_knows_is_refused() -> None:
    scored, truth = events()
    found = decision({CANDIDATE: truth}, np.flatnonzero(scored.session < 60))
    (rule,) = [one for one in found.rules if one.name == "better than the base rates"]
    assert rule.found.startswith("-0.") and not rule.passed


def test_what_is_no_number_is_refused() -> None:
    _, truth = events()
    assert not decision({CANDIDATE: np.full_like(truth, np.nan)}).passed


def test_the_champion_s_equal_passes_and_one_that_lost_a_part_of_its_gain_does_not() -> None:
    _, truth = events()
    assert decision({CANDIDATE: truth, CHAMPION: truth}, champion=3).passed
    assert decision({CANDIDATE: truth, CHAMPION: blurred(truth, 0.5)}, champion=3).passed
    found = decision({CANDIDATE: blurred(truth, 0.5), CHAMPION: truth}, champion=3)
    assert "not worse than the champion" in failing(found)
    assert "worse than champion 3's" in found.reasons[0]


def against_champion(found: Decision) -> tuple[float, float, bool]:
    """How far the candidate is above the champion, the interval's upper end, and whether the rule passes."""
    (rule,) = [one for one in found.rules if one.name == "not worse than the champion"]
    value, _, high = map(float, re.findall(r"-?[\d.]+", rule.found))
    return value, high, rule.passed


def test_a_candidate_that_may_be_worse_for_all_one_knows_is_refused() -> None:
    """On these users it is a little better than the champion, but as wide as chance makes it nobody can say so."""
    scored, truth = events()
    noisy = sharpened(truth * np.exp(np.random.default_rng(1).normal(0, 0.6, (SESSIONS, 3)))[scored.session], 1.0)
    few = np.flatnonzero(scored.session < 300)
    value, high, passed = against_champion(decision({CANDIDATE: noisy, CHAMPION: blurred(truth, 0.6)}, few, champion=3))
    assert value < 0 < high and not passed


def test_a_candidate_that_is_surely_a_little_worse_is_refused() -> None:
    """It keeps four fifths of what the champion gains, beyond doubt, and yet it is worse."""
    _, truth = events()
    value, high, passed = against_champion(decision({CANDIDATE: blurred(truth, 0.3), CHAMPION: truth}, champion=3))
    assert 0.0092 < value < high < 0.0369 and not passed


@pytest.mark.parametrize("slope", [0.5, 2.0])
def test_a_model_that_says_too_much_or_too_little_is_refused(slope: float) -> None:
    _, truth = events()
    assert "calibrated: slope" in failing(decision({CANDIDATE: sharpened(truth, slope)}))


def test_a_model_that_takes_everyone_for_a_buyer_is_refused_though_its_slope_is_right() -> None:
    _, truth = events()
    shifted = truth * np.array([1.0, 3.0, 3.0])
    found = decision({CANDIDATE: shifted / shifted.sum(axis=1, keepdims=True)})
    assert "calibrated: ECE" in failing(found) and "calibrated: slope" not in failing(found)


def test_a_part_in_which_it_is_much_worse_stops_a_model_that_is_better_on_the_whole() -> None:
    scored, truth = events()
    at = (scored.position == 1)[:, None]
    candidate = np.where(at, blurred(sharpened(truth, -1.0), 0.5), truth)
    found = decision({CANDIDATE: candidate, CHAMPION: blurred(truth, 0.7)}, champion=3)
    assert "no part much worse" in failing(found)
    assert "position 1 by" in next(rule.reason for rule in found.rules if rule.name == "no part much worse")


@pytest.mark.parametrize(
    ("known", "rule"),
    [
        ({"cost": Cost(5_000.0, 4.0, 1)}, "fast enough"),
        ({"cost": Cost(30.0, 400.0, 1)}, "fast enough"),
        ({"cost": Cost(30.0, 4.0, 1 << 30)}, "small enough"),
        ({"skew": Skew(0.02, 5_000)}, "live as in batch"),
    ],
)
def test_what_is_slow_or_large_or_answered_otherwise_live_is_refused(known: dict[str, Any], rule: str) -> None:
    _, truth = events()
    assert failing(decision({CANDIDATE: truth}, **known)) == [rule]


@pytest.mark.parametrize("skew", [None, Skew(0.5, 3)])
def test_where_too_little_was_answered_live_the_skew_is_not_judged_and_the_table_says_so(skew: Skew | None) -> None:
    _, truth = events()
    found = decision({CANDIDATE: truth}, skew=skew)
    assert found.passed and "too few to compare with batch" in found.rules[-1].reason


def test_a_champion_that_cannot_be_compared_stops_nobody_and_the_table_says_why() -> None:
    _, truth = events()
    found = decision({CANDIDATE: truth}, champion=3, unknown="made for other features.")
    assert found.passed and "Champion 3 cannot be compared: made for other features." in found.reasons


def test_the_table_has_every_rule_and_is_plain_json_besides() -> None:
    _, truth = events()
    found = decision({CANDIDATE: sharpened(truth, 2.0)})
    text = page(found, 4, "It is not promoted.")
    assert text.startswith("# The gate: model 4 does not pass")
    assert all(f"| {rule.name} |" in text for rule in found.rules)
    assert json.loads(json.dumps(as_json(found), allow_nan=False))["passed"] is False


def test_limits_of_one_s_own_are_read_and_a_wrong_name_is_told(tmp_path: Path) -> None:
    shipped = (Path(__file__).parents[2] / "models" / "gate.toml").read_text()
    own = tmp_path / "gate.toml"
    own.write_text(shipped.replace("decided_sessions = 25", "decided_sessions = 7"))
    assert load_limits(own).enough.decided_sessions == 7
    own.write_text(shipped.replace("decided_sessions", "sessions"))
    with pytest.raises(SettingsError, match="LAMBENT_GATE"):
        load_limits(own)


def test_a_comparison_is_the_difference_of_the_two_on_the_same_draws() -> None:
    scored, truth = events()
    scored = dataclasses.replace(scored, said={"7": truth, "8": blurred(truth, 0.5)})
    found = compare(scored, "7", "8", ("browse", "purchase", "review"), count=100)
    losses, less = found["log_loss"], found["log_loss"]["less"]
    assert less["value"] == pytest.approx(losses["7"]["value"] - losses["8"]["value"])
    assert less["low"] < less["value"] < less["high"] < 0
    own = losses["7"]["high"] - losses["7"]["low"]
    assert less["high"] - less["low"] < own / 2  # what moves one moves the other
    assert found["intents"]["purchase"]["auc"]["value"] == pytest.approx(0.0, abs=0.05)
    assert {one["group"] for one in found["slices"]} == {"user", "device", "hour", "position", "way"}
    same = compare(dataclasses.replace(scored, said={"7": truth, "8": truth}), "7", "8", ("a", "b", "c"), count=20)
    assert same["log_loss"]["less"] == {"value": 0.0, "low": 0.0, "high": 0.0}
