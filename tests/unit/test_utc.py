"""Times as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.errors import UsageError
from lambent.utc import parse_time, time_text


def test_times_are_iso_8601_in_utc_unless_they_say_otherwise() -> None:
    assert parse_time("1970-01-01T00:00:01") == parse_time("1970-01-01T01:00:01+01:00") == 1_000
    assert parse_time("2025-01-06") == parse_time("2025-01-06T00:00:00Z") == 1_736_121_600_000
    with pytest.raises(UsageError, match="yesterday"):
        parse_time("yesterday")


@given(st.integers(0, 4_102_444_799))
def test_a_time_that_is_shown_can_be_given(seconds: int) -> None:
    assert parse_time(time_text(seconds * 1_000)) == seconds * 1_000
