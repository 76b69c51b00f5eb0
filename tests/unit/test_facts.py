"""What is told of users besides events: its codes, what the model sees of them, and as of when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent import oracle
from lambent.aggregates import DAY_MS
from lambent.encoding import encode_events
from lambent.events import Event
from lambent.facts import Spans
from lambent.features import shop_features
from lambent.training import session_rows
from tests.histories import START_MS, USERS, logs, told

FEATURES = shop_features()
LAYOUT = FEATURES.profile
Rows = dict[tuple[int, int], dict[str, Any]]
"""Rows of the table ``users`` by the user's index and ``valid_from_ms``."""

statements = st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.integers(-1, 1), told), max_size=12)
"""What is told of the user of an event, by the event's number: as of when it happened or was taken, or just beside that."""


def shown(told: dict[str, Any], clock_ms: int) -> dict[str, float]:
    """What the model sees of a user of whom nothing else is known."""
    values = LAYOUT.finalize(oracle.profile(FEATURES, [], told), np.array([clock_ms]))[0]
    names = [name for fact in FEATURES.facts for name in fact.feature_names]
    return {name: float(values[LAYOUT.feature_names.index(name)]) for name in names}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, ["age_band_unknown", "gender_unknown", "member_since_s_unknown"]),
        ({"gender": "male"}, ["age_band_unknown", "gender_male", "member_since_s_unknown"]),
        ({"gender": "Male", "age_band": "65+"}, ["age_band_65+", "gender_other", "member_since_s_unknown"]),
    ],
)
def test_a_text_is_one_of_the_listed_or_other_and_what_is_missing_says_so(
    told: dict[str, Any], expected: list[str]
) -> None:
    assert shown(told, START_MS) == dict.fromkeys(shown({}, START_MS), 0.0) | dict.fromkeys(expected, 1.0)


def test_a_member_is_as_old_as_the_time_asked_for_says_and_one_of_today_is_not_unknown() -> None:
    told = {"member_since_ms": START_MS}
    assert shown(told, START_MS + 9 * DAY_MS)["member_since_s"] == pytest.approx(np.log(10))
    assert (shown(told, START_MS)["member_since_s"], shown(told, START_MS)["member_since_s_unknown"]) == (0.0, 0.0)
    assert shown(told, START_MS - DAY_MS)["member_since_s"] == 0.0


@given(told)
def test_a_code_is_the_oracles_and_fits_the_bytes_that_it_has(told: dict[str, Any]) -> None:
    codes = [fact.code(told[fact.column]) for fact in FEATURES.facts]
    assert codes == oracle.profile(FEATURES, [], told)["fact"][0].tolist()
    assert all(0 <= code < 2**32 and (code == 0) == (told[fact.column] is None)
               for fact, code in zip(FEATURES.facts, codes, strict=True))  # fmt: skip


def rows_of(log: list[tuple[Event, int]], statements: list[tuple[int, bool, int, dict[str, Any]]]) -> Rows:
    """The table ``users``."""
    rows: Rows = {}
    for number, is_taken, off_ms, said in statements:
        event, ingest_ms = log[number % len(log)]
        rows[USERS.index(event.user), (ingest_ms if is_taken else event.event_ms) + off_ms] = said
    return rows


def spans_of(rows: Rows) -> Spans:
    places = sorted(rows)
    codes = [[fact.code(rows[place][fact.column]) for fact in FEATURES.facts] for place in places]
    user, from_ms = np.array(places, np.int64).reshape(-1, 2).T
    return Spans(user, from_ms, np.array(codes, np.int64).reshape(-1, len(FEATURES.facts)))


@given(logs().filter(bool), statements)
def test_a_session_in_training_is_shown_what_was_told_when_the_log_took_its_first_event(
    log: list[tuple[Event, int]], statements: list[tuple[int, bool, int, dict[str, Any]]]
) -> None:
    log = oracle.distinct(log)
    rows = rows_of(log, statements)
    user = np.array([USERS.index(e.user) for e, _ in log], np.int64)
    events = encode_events([e for e, _ in log], [at for _, at in log], FEATURES.taxonomy)
    found = session_rows(FEATURES, user, events, spans_of(rows))
    without = session_rows(FEATURES, user, events)
    names = [name for fact in FEATURES.facts for name in fact.feature_names]
    columns = [LAYOUT.feature_names.index(name) for name in names]
    others = np.setdiff1d(np.arange(len(LAYOUT.feature_names)), columns)
    np.testing.assert_array_equal(found.profile[:, others], without.profile[:, others])
    for s, event in enumerate(found.event[found.first]):
        ingest_ms = log[event][1]
        known = [rows[place] for place in sorted(rows) if place[0] == found.user[s] and place[1] <= ingest_ms]
        expected = shown(known[-1] if known else {}, int(found.start_ms[s]))
        assert dict(zip(names, found.profile[s, columns].tolist(), strict=True)) == pytest.approx(expected)
