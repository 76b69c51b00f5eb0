"""What the model sees of a profile."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent import oracle
from lambent.aggregates import ACT_BITS, DAY_MS, HASH_BITS, HOUR_MS, MAX_RANK, MINUTE_MS, RECALLED
from lambent.events import MIN_EVENT_MS, Event
from lambent.features import FeatureSet, shop_features
from lambent.profile import Layout, Profiles
from tests.histories import START_MS, logs, told
from tests.showing_oracle import all_shown, features_of

SHIPPED = shop_features()
LAYOUT = SHIPPED.profile

AFTER_MS = st.sampled_from([0, 1, HOUR_MS, 5 * HOUR_MS, 3 * DAY_MS, 40 * DAY_MS, 900 * DAY_MS])
registers = st.lists(st.integers(0, MAX_RANK), min_size=LAYOUT.width["register"], max_size=LAYOUT.width["register"])
entries = st.lists(st.tuples(st.integers(1, 60_000), st.integers(0, 2), st.integers(0, 50)), max_size=RECALLED)
"""Of last-N maps: minutes before the clock, the act, the hash."""


def assert_shown(layout: Layout, profile: Profiles, now_ms: int) -> None:
    names = layout.feature_names
    found = layout.finalize(profile, np.array([now_ms]))[0].tolist()
    expected = features_of(layout, profile, now_ms)
    assert dict(zip(names, found, strict=True)) == pytest.approx(dict(zip(names, expected, strict=True)), rel=1e-6)


@pytest.mark.parametrize("features", [SHIPPED, all_shown(SHIPPED)], ids=["shipped", "all shown"])
@given(log=logs(), told=told, after_ms=AFTER_MS)
def test_what_is_seen_of_a_history_is_what_the_oracle_says(
    features: FeatureSet, log: list[tuple[Event, int]], told: dict[str, Any], after_ms: int
) -> None:
    user = log[0][0].user if log else ""
    seen = oracle.mark(features, [one for one in oracle.distinct(log) if one[0].user == user])
    profile = oracle.profile(features, seen, told)
    assert_shown(features.profile, profile, (int(profile["clock_ms"][0]) or START_MS) + after_ms)


@given(registers, entries, AFTER_MS)
def test_what_is_seen_of_many_products_is_what_the_oracle_says(
    registers: list[int], entries: list[tuple[int, int, int]], after_ms: int
) -> None:
    profile = LAYOUT.identity(1)
    profile["clock_ms"], profile["register"][0] = START_MS, registers
    for column, (minutes, act, text) in enumerate(entries):
        minute = (START_MS - MIN_EVENT_MS) // MINUTE_MS - minutes
        profile["recent"][0, column::RECALLED] = (minute << ACT_BITS | act) << HASH_BITS | text
    assert_shown(LAYOUT, profile, START_MS + after_ms)


def shown(*acts: str) -> dict[str, float]:
    """What is seen a day after a user did these to other products, an hour between two."""
    log = [
        Event(id=f"e{n}", user="anna", type=act, product=f"p{n}", event_ms=START_MS + n * HOUR_MS)
        for n, act in enumerate(acts)
    ]
    profile = oracle.profile(SHIPPED, oracle.mark(SHIPPED, [(one, one.event_ms) for one in log]))
    now_ms = log[-1].event_ms + DAY_MS
    return dict(zip(LAYOUT.feature_names, LAYOUT.finalize(profile, np.array([now_ms]))[0].tolist(), strict=True))


def test_a_cart_waits_until_something_is_taken_out_or_bought() -> None:
    ages = [name for name in LAYOUT.feature_names if name.startswith("cart_age_")]
    assert sum(shown("cart", "view")[name] for name in ages) == pytest.approx(1)
    for settled in ("purchase", "uncart"):
        found = shown("cart", settled)
        assert found["cart_held"] == pytest.approx(math.log(2))  # it is still in: another product was bought
        assert [found[name] for name in ages] == [0] * len(ages)
    assert sum(shown("cart", "purchase", "cart")[name] for name in ages) == pytest.approx(1)


def test_of_each_rhythm_one_bucket_is_now() -> None:
    monday_ms = 4 * DAY_MS  # 5 January 1970
    for days, hours in ((0, 0), (6, 23)):
        now_ms = monday_ms + days * DAY_MS + hours * HOUR_MS
        values = LAYOUT.finalize(LAYOUT.identity(1), np.array([now_ms]))[0]
        found = [
            name for name, value in zip(LAYOUT.feature_names, values, strict=True) if name in LAYOUT.now_names and value
        ]
        assert found == [f"hours_now[{hours // 3}]", f"weekdays_now[{(4 + days) % 7}]"]
