"""Metrics, intervals, thresholds and calibration by numbers that a person can work out."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.calibration import Calibration
from models import metrics
from models.calibrate import fit_calibration
from models.ranking import rank
from models.recalibration import fit, recalibrate, recalibrate_one
from models.resample import Resamples, Sampled
from models.thresholds import Rule

P = np.array([0.9, 0.8, 0.3, 0.1])
HIT = np.array([True, False, True, False])
ALONE = Resamples(np.arange(4), 4, count=200)


def clustered(n: int = 20_000, users: int = 100, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users whose events all end alike: p, hit and user of each event."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, users, n)
    return np.full(n, 0.3), (rng.random(users) < 0.3)[user], user


# --- intervals ---------------------------------------------------------------------------------------------------------


def test_a_mean_and_its_draws_are_those_of_the_users_that_were_drawn() -> None:
    resamples = Resamples(np.array([0, 0, 1]), 2, count=50)
    found = resamples.ratio(np.array([1.0, 2.0, 6.0]))
    assert found.value == 3.0
    drawn = {(int(a), int(b)) for a, b in resamples.by_user.T}
    assert drawn == {(2, 0), (1, 1), (0, 2)}
    wanted = [(3 * a + 6 * b) / (2 * a + b) for a, b in resamples.by_user.T]
    np.testing.assert_allclose(found.draws, wanted, rtol=1e-6)


def test_events_of_one_user_that_end_alike_widen_the_interval_as_if_there_were_as_many_events_as_users() -> None:
    _, hit, user = clustered()
    found = Resamples(user, 100).ratio(hit).figure()
    assert found["low"] is not None and found["high"] is not None
    binomial = 2 * 1.96 * np.sqrt(0.3 * 0.7 / 100)
    assert (found["high"] - found["low"]) / binomial == pytest.approx(1, abs=0.3)


def test_a_difference_of_figures_is_paired() -> None:
    rng = np.random.default_rng(2)
    own = rng.normal(0, 5, 300)
    resamples = Resamples(np.arange(300), 300)
    less = (resamples.ratio(own + 0.1) - resamples.ratio(own)).figure()
    assert less["low"] == pytest.approx(0.1, abs=1e-5) and less["high"] == pytest.approx(0.1, abs=1e-5)


def test_what_is_rarely_a_number_has_no_interval() -> None:
    draws = np.full(10, np.nan)
    draws[:4] = 1.0
    assert Sampled(1.0, draws).figure() == {"value": 1.0, "low": None, "high": None}
    assert Sampled(float("nan"), np.ones(10)).figure() == {"value": None, "low": None, "high": None}


# --- figures -----------------------------------------------------------------------------------------------------------


def test_auc_average_precision_and_lift_equal_the_hand_worked_ones() -> None:
    found = rank(P, HIT, ALONE)
    assert found.auc.value == pytest.approx(3 / 4)  # of 4 pairs one, (0.3, 0.8), stands in the wrong order
    assert found.ap.value == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert found.lift[0].value == pytest.approx(2)  # the top is a part of the first event


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=2, max_size=40))
def test_ranking_equals_scikit_learns_in_every_resample_ties_and_weights_included(
    rows: list[tuple[int, bool, int]],
) -> None:
    from sklearn.metrics import average_precision_score, roc_auc_score

    p, hit, user = (np.array(column) for column in zip(*rows, strict=True))
    weight = 1.0 + np.arange(len(p)) % 3
    resamples = Resamples(user, 4, count=5)
    found = rank(p / 5, hit, resamples, weight=weight)
    for r in range(5):
        mass = weight * resamples.by_user[user, r]
        drawn = mass > 0
        if not 0 < hit[drawn].sum() < drawn.sum():
            assert np.isnan(found.auc.draws[r])
            continue
        auc = roc_auc_score(hit[drawn], p[drawn], sample_weight=mass[drawn])
        ap = average_precision_score(hit[drawn], p[drawn], sample_weight=mass[drawn])
        assert (found.auc.draws[r], found.ap.draws[r]) == pytest.approx((auc, ap), abs=1e-5)


def test_lift_within_a_tie_takes_hits_to_lie_evenly_in_it() -> None:
    p, hit = np.r_[np.full(20, 0.9), np.full(80, 0.1)], np.r_[np.arange(20) < 10, np.zeros(80, bool)]
    found = rank(p, hit, Resamples(np.arange(100), 100, count=3))
    assert [one.value for one in found.lift] == pytest.approx([5.0, 5.0, 5.0])


def test_calibration_error_equals_the_hand_worked_one() -> None:
    # Two bins: said 0.2, happened 0.5; said 0.85, happened 0.5.
    assert metrics.calibration_error(P, HIT, ALONE, bins=2)[0].value == pytest.approx((0.3 + 0.35) / 2)


def test_a_constant_has_one_bin_and_no_slope() -> None:
    p, hit, user = clustered()
    resamples = Resamples(user, 100)
    assert len(set(metrics.bins_of(p))) == 1
    assert metrics.calibration_error(p, hit, resamples)[0].value == pytest.approx(abs(0.3 - hit.mean()))
    assert recalibrate_one(p, hit, resamples)[0].figure()["value"] is None


def test_an_honest_models_calibration_error_is_what_is_told_to_come_by_chance() -> None:
    rng = np.random.default_rng(2)
    p = rng.beta(1, 9, 30_000)
    hit = rng.random(30_000) < p
    resamples = Resamples(np.arange(30_000) // 3, 10_000, count=100)
    ece, chance = metrics.calibration_error(p, hit, resamples)
    assert 0.7 < ece.value / chance.value < 1.4
    ece, chance = metrics.calibration_error(1.2 * p, hit, resamples)
    assert ece.value > 3 * chance.value


def test_log_loss_equals_the_hand_worked_one() -> None:
    said = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert metrics.log_loss(said, np.array([0, 1])) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)


def test_decisions_equal_the_hand_worked_ones() -> None:
    found = {name: one.value for name, one in metrics.decision_figures(P, HIT, 0.8, ALONE).items()}
    assert found == pytest.approx({"accuracy": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5, "acted": 0.5})


def test_the_curve_takes_ties_as_one_threshold_and_ends_at_the_base_rate() -> None:
    curve = metrics.curve(np.array([0.7, 0.7, 0.2, 0.1]), np.array([True, False, True, False]))
    points = list(zip(curve["recall"], curve["precision"], strict=True))
    assert points == [(0.5, 0.5), (1.0, pytest.approx(2 / 3, abs=1e-5))]


# --- slope and intercept -----------------------------------------------------------------------------------------------


def test_slope_and_intercept_undo_a_planted_miscalibration_and_their_intervals_hold_it() -> None:
    rng = np.random.default_rng(4)
    log_odds = rng.normal(-2, 1.2, 40_000)
    hit = rng.random(40_000) < 1 / (1 + np.exp(-(0.7 * log_odds + 0.4)))
    slope, intercept = recalibrate_one(1 / (1 + np.exp(-log_odds)), hit, Resamples(np.arange(40_000) // 4, 10_000, 300))
    for found, planted in ((slope, 0.7), (intercept, 0.4)):
        figure = found.figure()
        assert figure["low"] is not None and figure["high"] is not None
        assert figure["low"] < planted < figure["high"] < figure["low"] + 0.2


def test_one_step_draws_are_those_of_a_fit_to_the_users_that_were_drawn() -> None:
    rng = np.random.default_rng(5)
    p = rng.dirichlet([6, 2, 1], 3_000)
    labels = (rng.random((3_000, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=2)
    resamples = Resamples(np.arange(3_000) // 10, 300, count=4)
    found = recalibrate(p, labels, resamples)
    for r in range(4):
        rows = np.repeat(np.arange(3_000), resamples.by_user[np.arange(3_000) // 10, r].astype(int))
        again = fit(np.log(p[rows]), labels[rows])
        assert [one.draws[r] for one in found] == pytest.approx(again.tolist(), abs=0.02)


def test_an_intent_that_never_happens_has_no_slope_and_leaves_the_others_theirs() -> None:
    rng = np.random.default_rng(6)
    p = rng.dirichlet([6, 2, 1], 2_000)
    found = recalibrate(p, (rng.random(2_000) < p[:, 1]).astype(int), Resamples(np.arange(2_000), 2_000, count=20))
    assert [np.isfinite(one.value) for one in found] == [True, True, False]


# --- thresholds --------------------------------------------------------------------------------------------------------


def test_the_rule_chooses_the_threshold_that_a_person_would() -> None:
    user = np.array([0, 0, 1, 2])
    assert Rule.parse("f1").choose(P, HIT, user) == 0.3  # of 3 named 2 are right: F1 0.8
    assert Rule.parse("cost:0.4").choose(P, HIT, user) == 0.9  # one missed, no false alarm: cost 0.4
    assert Rule.parse("cost:9").choose(P, HIT, user) == 0.3
    assert Rule.parse("share:0.34").choose(P, HIT, user) == 0.9  # one user of three
    assert Rule.parse("share:0.66").choose(P, HIT, user) == 0.3
    assert Rule.parse("f1").choose(P, np.zeros(4, bool), user) == 1.0


@pytest.mark.parametrize("text", ["f2", "f1:3", "cost", "cost:0", "cost:x", "share:1", "share:-1", ""])
def test_a_rule_that_is_none_is_refused_in_words(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"share:S with 0 < S < 1"):
        Rule.parse(text)


# --- calibration -------------------------------------------------------------------------------------------------------


def _planted(n: int = 40_000) -> tuple[np.ndarray, np.ndarray, Calibration]:
    """Logits whose truth is a known vector scaling of them, and labels drawn from it."""
    rng = np.random.default_rng(7)
    truth = Calibration(scale=(0.6, 1.4, 0.9), bias=(0.5, -0.4, -0.1))
    logits = rng.normal(0, 1.5, (n, 3))
    chance = truth.apply(logits).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > chance).sum(axis=1).clip(max=2), truth


def _right(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels that are drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 3))
    chance = Calibration.identity(3).apply(logits).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > chance).sum(axis=1).clip(max=2).astype(np.int32)


def test_calibration_recovers_a_planted_miscalibration() -> None:
    logits, labels, truth = _planted()
    found = fit_calibration(logits, labels, np.arange(len(labels)))
    assert np.abs(found.apply(logits) - truth.apply(logits)).max() < 0.03


def test_calibration_lowers_the_log_loss_of_the_split_that_it_is_fitted_on() -> None:
    logits, labels, _ = _planted()
    before = metrics.log_loss(Calibration.identity(3).apply(logits), labels)
    found = fit_calibration(logits, labels, np.arange(len(labels)))
    assert metrics.log_loss(found.apply(logits), labels) < before - 0.01


def test_calibration_of_an_empty_split_changes_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert fit_calibration(np.zeros((0, 3)), none.astype(np.int32), none) == Calibration.identity(3)


def test_calibration_leaves_as_it_is_what_is_calibrated_but_for_luck() -> None:
    found = [fit_calibration(*_right(2_000, seed), np.arange(2_000)) for seed in range(20)]
    assert sum(one == Calibration.identity(3) for one in found) >= 18


def test_events_of_one_session_are_one_witness_to_a_calibration() -> None:
    logits, labels = (np.repeat(one, 50, axis=0) for one in _right(200, seed=1))
    alone, together = np.arange(10_000), np.repeat(np.arange(200), 50)
    assert fit_calibration(logits, labels, alone) != Calibration.identity(3)
    assert fit_calibration(logits, labels, together) == Calibration.identity(3)


def test_a_rare_intent_of_few_events_keeps_its_calibration_near_unchanged() -> None:
    logits = np.tile([[4.0, 0.0, -6.0]], (50, 1))
    found = fit_calibration(logits, np.zeros(50, np.int32), np.arange(50))
    assert np.abs(np.array(found.scale) - 1).max() < 0.5 and np.abs(found.bias).max() < 0.5
