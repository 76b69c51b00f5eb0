"""The two measures of drift: by their definitions, and quiet where only chance speaks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_jobs import drift

_values = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=1, max_size=30).map(np.array)


def test_the_index_of_two_bins_is_the_one_reckoned_by_hand() -> None:
    reference, new = np.repeat([0.0, 1.0], [60, 40]), np.repeat([0.0, 1.0], [20, 80])
    p, q = np.array([60.5, 40.5]) / 101, np.array([20.5, 80.5]) / 101
    assert drift.psi(reference, new) == pytest.approx(sum((q - p) * np.log(q / p)))
    assert drift.psi(reference, reference) == 0


@given(_values, _values)
def test_the_gap_is_the_widest_between_the_shares_up_to_any_value(reference: np.ndarray, new: np.ndarray) -> None:
    at = np.union1d(reference, new)
    expected = max(abs((reference <= x).mean() - (new <= x).mean()) for x in at)
    assert drift.ks(reference, new) == pytest.approx(expected)
    assert drift.ks(new, reference) == pytest.approx(expected)


def test_a_constant_that_becomes_another_is_the_widest_gap_in_either_direction() -> None:
    for low, high in ((5.0, 3.0), (3.0, 5.0)):
        assert drift.ks(np.full(9, low), np.full(7, high)) == 1


@pytest.mark.parametrize(("n", "m"), [(60, 25), (400, 400), (3_000, 150)])
def test_samples_of_one_distribution_pass_the_limit_of_chance_about_as_seldom_as_it_says(n: int, m: int) -> None:
    rng, runs, alpha = np.random.default_rng(1), 600, 0.05
    for measure, limit in ((drift.psi, drift.psi_by_chance(n, m, alpha)), (drift.ks, drift.ks_by_chance(n, m, alpha))):
        above = np.mean([measure(rng.normal(size=n), rng.normal(size=m)) > limit for _ in range(runs)])
        # Four standard deviations of so many runs; small samples may be quieter, since each bin has half a row more.
        assert (0.01 if min(n, m) > 100 else 0) <= above < alpha + 4 * math.sqrt(alpha * (1 - alpha) / runs), measure


def test_the_quantile_behind_the_limit_is_that_of_the_tables() -> None:
    """χ² with 9 degrees of freedom: 16.919 at 5 %, 27.877 at 0.1 %; Kolmogorov's 1.3581 at 5 %."""
    assert drift.psi_by_chance(2, 2, 0.05) == pytest.approx(16.919, rel=0.003)
    assert drift.psi_by_chance(2, 2, 0.001) == pytest.approx(27.877, rel=0.01)
    assert drift.ks_by_chance(2e8, 2e8, 0.05) * 1e4 == pytest.approx(1.3581, rel=0.001)
