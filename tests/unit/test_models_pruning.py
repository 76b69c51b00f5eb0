"""Pruning: which weights become 0, and when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.jobs import share
from models.pruning import prune, share_at


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.floats(0, 0.99), st.integers(0, 9))
def test_of_each_matrix_the_smallest_share_becomes_0_and_the_rest_stays(
    sizes: list[int], wanted: float, seed: int
) -> None:
    weights = np.random.default_rng(seed).normal(0, 1, sum(sizes)).astype(np.float32)
    pruned = prune(weights, sizes, wanted)
    for before, after in zip(np.split(weights, np.cumsum(sizes)), np.split(pruned, np.cumsum(sizes)), strict=True):
        kept = after != 0
        assert np.array_equal(after[kept], before[kept])
        assert abs((~kept).sum() - wanted * len(before)) <= 1
        if kept.any() and not kept.all():
            assert np.abs(before[~kept]).max() <= np.abs(before[kept]).min()


def test_more_is_pruned_with_each_step_up_to_the_share_and_nothing_without_one() -> None:
    shares = [share_at(step, 100, 0.8) for step in (0, 10, 50, 99, 100, 10_000)]
    assert shares[0] == 0 and shares[-2:] == [0.8, 0.8] and shares == sorted(shares)
    weights = np.ones(4, np.float32)
    assert np.array_equal(prune(weights, [4], 0.0), weights)


@pytest.mark.parametrize("text", ["1", "-0.1", "nan", "half"])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        share(text)
