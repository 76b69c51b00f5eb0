"""The batch that suits a table, and the learning rate that goes with it."""

from __future__ import annotations

import pytest

from models.trainer import LARGEST_BATCH, SMALLEST_BATCH, STEPS_AN_EPOCH, Options, suited


@pytest.mark.parametrize("ranks", [1, 2, 8])
@pytest.mark.parametrize("sessions", [0, 1, 3_000, 4_000, 12_000, 31_000, 122_000, 5_000_000])
def test_a_batch_is_the_largest_power_of_two_with_which_an_epoch_has_enough_steps(sessions: int, ranks: int) -> None:
    batch = suited(Options(), sessions, ranks).batch
    assert batch & (batch - 1) == 0
    assert SMALLEST_BATCH <= batch <= LARGEST_BATCH
    if batch > SMALLEST_BATCH:
        assert sessions / (batch * ranks) >= STEPS_AN_EPOCH
    if batch < LARGEST_BATCH:
        assert sessions / (2 * batch * ranks) < STEPS_AN_EPOCH


def test_the_learning_rate_goes_with_the_sixth_root_of_the_batch() -> None:
    large, small = (suited(Options(), sessions, 1) for sessions in (10**6, 0))
    assert large.learning_rate == Options().learning_rate
    assert (large.batch / small.batch) ** (1 / 6) == pytest.approx(large.learning_rate / small.learning_rate)


def test_a_batch_that_is_named_is_taken_with_the_learning_rate_as_it_is() -> None:
    named = Options(batch=48, learning_rate=0.01)
    assert suited(named, 10, 2) == named
