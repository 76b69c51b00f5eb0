"""Metrics, calibration and the gate by numbers that a person can work out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models import metrics
from models.calibrate import Calibration, fit_calibration, log_loss
from models.gate import MARGIN_NATS, decide

P = np.array([0.9, 0.8, 0.3, 0.1])
HIT = np.array([True, False, True, False])


def test_auc_and_average_precision_equal_the_hand_worked_ones() -> None:
    found = metrics.intent_figures(P, HIT)
    assert found["auc"] == pytest.approx(3 / 4)  # of 4 pairs one, (0.3, 0.8), stands in the wrong order
    assert found["ap"] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert found["base_rate"] == 0.5


def test_calibration_error_equals_the_hand_worked_one() -> None:
    # Two bins: said 0.2, happened 0.5; said 0.85, happened 0.5.
    assert metrics.expected_calibration_error(P, HIT, bins=2) == pytest.approx((0.3 + 0.35) / 2)


def test_log_loss_equals_the_hand_worked_one() -> None:
    said = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert metrics.log_loss(said, np.array([0, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)


def test_the_curve_takes_ties_as_one_threshold_and_ends_at_the_base_rate() -> None:
    curve = metrics.curve(np.array([0.7, 0.7, 0.2, 0.1]), np.array([True, False, True, False]))
    points = list(zip(curve["recall"], curve["precision"], strict=True))
    assert points == [(0.5, 0.5), (1.0, pytest.approx(2 / 3, abs=1e-5))]


def test_an_intent_that_the_split_lacks_has_no_auc_instead_of_a_wrong_one() -> None:
    found = metrics.evaluate(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 0]), ("no", "yes"), np.array([0.9, 0.1]))
    assert found["model"]["yes"]["auc"] is None and found["model"]["yes"]["base_rate"] == 0.0
    json.dumps(found, allow_nan=False)


def test_base_log_loss_is_that_of_the_training_splits_shares() -> None:
    found = metrics.evaluate(np.full((2, 2), 0.5), np.array([0, 1]), ("no", "yes"), np.array([0.9, 0.1]))
    assert found["base_log_loss"] == pytest.approx(-(np.log(0.9) + np.log(0.1)) / 2)


def _planted(n: int = 40_000) -> tuple[np.ndarray, np.ndarray, Calibration]:
    """Logits whose truth is a known vector scaling of them, and labels drawn from it."""
    rng = np.random.default_rng(7)
    truth = Calibration(scale=(0.6, 1.4, 0.9), bias=(0.5, -0.4, -0.1))
    logits = rng.normal(0, 1.5, (n, 3))
    chance = truth.apply(logits).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > chance).sum(axis=1).clip(max=2), truth


def test_calibration_recovers_a_planted_miscalibration() -> None:
    logits, labels, truth = _planted()
    found = fit_calibration(logits, labels)
    assert np.abs(found.apply(logits) - truth.apply(logits)).max() < 0.03


def test_calibration_lowers_the_log_loss_of_the_split_that_it_is_fitted_on() -> None:
    logits, labels, _ = _planted()
    before = log_loss(Calibration.identity(3).apply(logits), labels)
    assert log_loss(fit_calibration(logits, labels).apply(logits), labels) < before - 0.01


def test_calibration_of_an_empty_split_changes_nothing() -> None:
    assert fit_calibration(np.zeros((0, 3)), np.zeros(0, np.int32)) == Calibration.identity(3)


def test_a_rare_intent_of_few_events_keeps_its_calibration_near_unchanged() -> None:
    logits = np.tile([[4.0, 0.0, -6.0]], (50, 1))
    found = fit_calibration(logits, np.zeros(50, np.int32))
    assert np.abs(np.array(found.scale) - 1).max() < 0.5 and np.abs(found.bias).max() < 0.5


def test_the_gate_refuses_a_model_that_is_worse_than_the_base_rates_and_says_so() -> None:
    decision = decide(candidate=0.41, base=0.40, champion=None)
    assert not decision.promoted
    assert decision.reasons == ("Log loss 0.4100 is not better than the base rates' 0.4000.",)


def test_the_gate_refuses_a_model_that_is_worse_than_the_champion_by_more_than_the_margin() -> None:
    decision = decide(candidate=0.35 + 2 * MARGIN_NATS, base=0.40, champion=0.35, champion_version=4)
    assert not decision.promoted
    assert "not within 0.002 of champion 4's 0.3500" in decision.reasons[1]


def test_the_gate_lets_through_what_is_as_good_as_the_champion_within_the_margin() -> None:
    assert decide(candidate=0.35 + MARGIN_NATS / 2, base=0.40, champion=0.35).promoted
    assert decide(candidate=0.35, base=0.40, champion=None).promoted


def test_the_gate_refuses_what_is_not_a_number() -> None:
    assert not decide(candidate=float("nan"), base=0.40, champion=0.35).promoted


def test_pictures_are_drawn_also_for_a_taxonomy_of_ones_own(tmp_path: Path) -> None:
    from models.plots import draw

    rng = np.random.default_rng(1)
    said = rng.dirichlet([5, 1, 1], 300)
    found = metrics.evaluate(said, rng.integers(0, 2, 300), ("stays", "churns", "never"), np.array([0.5, 0.4, 0.1]))
    assert [path.stat().st_size > 10_000 for path in draw(found, tmp_path)] == [True, True]
