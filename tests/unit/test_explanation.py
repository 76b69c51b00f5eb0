"""Explanations: the sum holds, shares are Shapley's, and everything that the model sees of a profile is in one group."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.events import Intent
from lambent.features import PRICE_LEVEL, FeatureSet, shop_features
from lambent.groups import GROUPS, groups_of
from lambent.records import last_dtype
from lambent.shapley import coalitions, shapley
from realtime.explanation import Explanation, put_together
from realtime.intent import Found, describe
from tests.showing_oracle import all_shown

FEATURES = shop_features()
TAXONOMY = FEATURES.taxonomy
ALL_SHOWN = all_shown(FEATURES)
K = len(TAXONOMY.intents)
WORTHS = st.integers(1, 4).flatmap(
    lambda g: st.lists(st.floats(-1, 1, width=32), min_size=2**g, max_size=2**g).map(np.array)
)


@given(WORTHS)
def test_shares_are_what_each_player_adds_over_all_orders_in_which_they_come(worth: np.ndarray) -> None:
    players = len(worth).bit_length() - 1
    added = np.zeros(players)
    for order in itertools.permutations(range(players)):
        there = 0
        for player in order:
            added[player] += worth[there | 1 << player] - worth[there]
            there |= 1 << player
    shares = shapley(worth[:, None])[:, 0]
    assert shares == pytest.approx(added / math.factorial(players), abs=1e-9)
    assert shares.sum() == pytest.approx(worth[-1] - worth[0], abs=1e-9)


def test_in_the_last_coalition_are_all_and_in_the_first_is_nobody() -> None:
    inside = coalitions(3)
    assert (inside[0].any(), inside[-1].all()) == (False, True)
    assert [np.flatnonzero(row).tolist() for row in inside[:4]] == [[], [0], [1], [0, 1]]


@pytest.mark.parametrize("features", [FEATURES, ALL_SHOWN])
def test_every_aggregate_that_the_model_sees_is_in_one_group_and_no_group_is_empty(features: FeatureSet) -> None:
    groups = groups_of(features)
    seen = [one.name for one in features.profile.aggregates if one.feature_names or one.name in PRICE_LEVEL]
    assert sorted(one.name for own in groups.values() for one in own) == sorted(seen)
    assert list(groups) == [name for name in GROUPS if groups.get(name)]


def test_of_the_shipped_sums_of_prices_the_model_sees_the_level_alone() -> None:
    assert {one.name for one in groups_of(FEATURES)["prices"]} == set(PRICE_LEVEL)
    assert not [name for name in FEATURES.profile.feature_names if "price" in name]


def test_what_a_user_did_says_the_group_not_how_it_is_kept() -> None:
    groups = groups_of(ALL_SHOWN)
    assert list(groups) == list(GROUPS)
    of = {one.name: group for group, own in groups.items() for one in own}
    examples = {
        "purchase_sessions_7d": "outcomes", "purchase_count": "outcomes", "cart": "products", "view_1d": "activity",
        "view_log_price_1d": "prices", "category_7d": "tastes", "hours": "rhythm", "first_s": "recency", "gender": "facts",
    }  # fmt: skip
    assert {name: of[name] for name in examples} == examples


def simplex(rows: int, seed: int) -> np.ndarray:
    """[rows, K] distributions."""
    return np.random.default_rng(seed).dirichlet(np.full(K, 0.5), rows)


def session(said: np.ndarray) -> tuple[Intent, np.ndarray]:
    """The newest intent after a session in which this was said [n, K], and its events as the worker keeps them."""
    last = np.zeros(len(said), last_dtype(TAXONOMY))
    last["t_ms"] = 1_700_000_000_000 + 1000 * np.arange(len(said))
    last["type"] = np.arange(len(said)) % len(TAXONOMY.types)
    last["change"] = np.diff(said, axis=0, prepend=np.array([TAXONOMY.base_rates]))
    probabilities = dict(zip(TAXONOMY.intents, np.round(said[-1], 6).tolist(), strict=True))
    intent = Intent(
        user="u", event_id="e", event_ms=0, ingest_ms=0, probabilities=probabilities, model="1", session_events=len(said)
    )  # fmt: skip
    return intent, last


def total(explanation: Explanation) -> dict[str, float]:
    return {
        name: rate + sum(part.moved[name] for part in explanation.parts)
        for name, rate in explanation.base_rates.items()
    }


@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 2**32))
def test_base_rates_profile_and_events_sum_to_what_was_said_however_much_is_kept(
    events_of_session: int, kept: int, seed: int
) -> None:
    said, profile = simplex(events_of_session, seed), simplex(2, seed + 1)
    intent, last = session(said)
    moved = {"outcomes": profile[1] - profile[0], "facts": profile[0] - profile[1]}
    explanation = put_together(TAXONOMY, intent, last[len(said) - min(kept, len(said)) :], moved)
    assert total(explanation) == pytest.approx(intent.probabilities, abs=1e-12)
    events = sum(part.events for part in explanation.parts if part.kind != "profile")
    assert events == intent.session_events
    rounding = 20 * K * 2.0**-12  # of what is kept, in half precision, all of which may be in the rest
    assert all(abs(sum(part.moved.values())) < rounding for part in explanation.parts)


def test_each_event_has_what_it_moved_and_events_of_an_earlier_session_have_no_part() -> None:
    said = np.array([[0.9, 0.06, 0.02, 0.02], [0.5, 0.46, 0.02, 0.02], [0.6, 0.36, 0.02, 0.02]])
    intent, last = session(said)
    before = last.copy()
    before["change"] = 0.5
    explanation = put_together(TAXONOMY, intent, np.concatenate([before, last]), {})
    moved = [part.moved["purchase"] for part in explanation.parts]
    assert moved == pytest.approx([0.02, 0.4, -0.1], abs=1e-3)
    assert [part.name for part in explanation.parts] == ["view", "search", "cart"]
    assert [part.at_ms for part in explanation.parts] == [1_700_000_000_000 + 1000 * n for n in range(3)]


def test_what_is_kept_no_more_is_told_together() -> None:
    intent, last = session(np.full((25, K), 0.25))
    explanation = put_together(TAXONOMY, intent, last[5:], {})
    first = explanation.parts[0]
    assert (first.kind, first.events) == ("earlier", 5)
    assert first.moved["purchase"] == pytest.approx(0.25 - 0.04)
    assert any(line.startswith("5 earlier events ") for line in describe(Found(intent, explanation), 0))


def test_people_see_signed_points_and_a_bar_for_what_was_moved_most() -> None:
    intent, last = session(np.array([[0.9, 0.06, 0.02, 0.02], [0.4, 0.56, 0.02, 0.02]]))
    moved = {"outcomes": np.array([0.05, -0.05, 0, 0])}
    lines = describe(Found(intent, put_together(TAXONOMY, intent, last, moved, "because")), 0)
    why = lines[lines.index("") + 1 :]
    assert why[0].split() == ["why", *TAXONOMY.intents, "bar:", "purchase"]
    assert why[2].startswith("what earlier sessions led to") and why[2].endswith("░")
    assert why[3].split()[:3] == ["22:13:20", "view", "-8.0"]
    assert why[4].split()[:6] == ["22:13:21", "search", "-50.0", "+50.0", "+0.0", "+0.0"]
    assert why[4].count("█") == 24
    assert why[5].split() == ["together", "40.0%", "56.0%", "2.0%", "2.0%"]
    assert why[6] == "because"
