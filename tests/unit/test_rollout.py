"""Who is in which arm: the same for whoever asks, about as many as the share says, and by other lots in another experiment."""

from __future__ import annotations

import numpy as np

from lambent.keys import pseudonym
from lambent.rollout import arm, is_challenged

USERS = [pseudonym(f"u{n}", b"k") for n in range(5_000)]


def challenged(experiment: str, share: float) -> np.ndarray:
    return np.array([is_challenged(experiment, user, share) for user in USERS])


def test_the_arms_are_those_that_they_have_always_been() -> None:
    """Users who were told apart yesterday must be told apart alike tomorrow: these are written down."""
    found = [arm("colours", f"u{n}", 0.3) for n in range(4)]
    assert found == ["colours/champion", "colours/champion", "colours/challenger", "colours/challenger"]


def test_a_share_of_the_users_is_challenged_and_all_or_none_at_its_ends() -> None:
    assert challenged("colours", 0.0).sum() == 0 and challenged("colours", 1.0).all()
    assert abs(challenged("colours", 0.2).mean() - 0.2) < 0.02


def test_who_is_challenged_stays_so_when_the_share_grows() -> None:
    few, many = challenged("colours", 0.1), challenged("colours", 0.5)
    assert (many[few]).all() and many.sum() > few.sum() > 0


def test_another_experiment_draws_other_lots() -> None:
    first, second = challenged("colours", 0.5), challenged("shapes", 0.5)
    assert abs((first & second).mean() - 0.25) < 0.03
