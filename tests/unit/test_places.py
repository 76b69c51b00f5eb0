"""Where a reader of the intents is, as a text."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.errors import UsageError
from realtime.ids import SEQ_BITS
from realtime.places import MOST_SEQ, read_place, write_place

TIMES = st.integers(0, 1 << 41)
IDS = st.lists(st.one_of(st.just(0), st.builds(lambda ms, seq: ms << SEQ_BITS | seq, TIMES, st.integers(0, MOST_SEQ))))


@given(TIMES, IDS)
def test_a_place_is_read_as_it_was_written(as_of_ms: int, ids: list[int]) -> None:
    assert read_place(write_place(as_of_ms, ids), len(ids)) == (as_of_ms, ids)


@given(st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_-]{0,40}", fullmatch=True)))
def test_any_text_is_a_place_or_is_refused_in_words(text: str) -> None:
    try:
        as_of_ms, ids = read_place(text, 3)
    except UsageError as error:
        assert "Last-Event-ID" in str(error)
    else:
        assert as_of_ms >= 0
        assert len(ids) == 3


def test_a_place_of_64_partitions_is_short() -> None:
    now_ms = 1_800_000_000_000
    busy = write_place(now_ms, [(now_ms - 17 * p) << SEQ_BITS | p % 3 for p in range(64)])
    assert len(busy) < 400


def test_a_place_nested_without_end_is_refused_in_words() -> None:
    deep = base64.urlsafe_b64encode(b"\x91" * 3_000).decode()
    with pytest.raises(UsageError, match="Last-Event-ID"):
        read_place(deep, 3)


def test_a_place_of_a_store_with_other_partitions_is_refused() -> None:
    with pytest.raises(UsageError, match="Leave it out"):
        read_place(write_place(1, [1, 2]), 3)
