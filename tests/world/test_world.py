"""Worlds by the hundred: whatever happens in them, the oracle finds nothing; and what is wrong with a worker shows."""

from __future__ import annotations

import pytest

from lambent.errors import StoreError
from tests.world.mutants import MUTANTS, Mutate
from tests.world.run import Ended, play

AT_ONCE = 20
MOST = 60
"""Worlds that a mutant may take to show itself."""


def wrong(end: Ended) -> str:
    """What was found, with how to have it again."""
    return "\n".join([f"python -m tests.world {end.seed}", *end.words])


def shows(seed: int) -> bool:
    """Whether the oracle finds something, or cannot compare at all since a position has gone back."""
    try:
        return bool(play(seed).words)
    except StoreError:
        return True


@pytest.mark.parametrize("first", range(0, 80, AT_ONCE))
def test_whatever_happens_nothing_is_lost_doubled_or_different(first: int) -> None:
    for seed in range(first, first + AT_ONCE):
        assert not (end := play(seed)).words, wrong(end)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1_000, 11_000, 100))
def test_in_ten_thousand_worlds_neither(first: int) -> None:
    for seed in range(first, first + 100):
        assert not (end := play(seed)).words, wrong(end)


def test_a_seed_decides_everything() -> None:
    first, again = play(7), play(7)
    assert first.schedule == again.schedule
    assert first.report.verified == again.report.verified  # type: ignore[union-attr]


@pytest.mark.parametrize("mutate", MUTANTS.values(), ids=MUTANTS)
def test_a_mutant_shows_itself(mutate: Mutate, monkeypatch: pytest.MonkeyPatch) -> None:
    mutate(monkeypatch)
    assert any(map(shows, range(MOST)))
