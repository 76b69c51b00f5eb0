"""What is printed of a rejected row: enough to see what is wrong, and nobody's id."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambent.masking import mask_row


def test_a_row_keeps_the_names_of_fields_and_shows_only_the_shape_of_values() -> None:
    row = b'{"user":"anna-77","type" : "view","event_ms":17,"note":"user"}'
    assert mask_row(row) == '{"user":"aaaa-99","type" : "aaaa","event_ms":99,"aaaa":"aaaa"}'


def test_a_row_is_cut_and_can_do_nothing_to_a_terminal() -> None:
    assert mask_row(b"\x1b[2J\n\xff\x00x") == "·[9a·\\aaa·a"
    assert mask_row(b"-" * 200, most=10) == "-" * 10 + "…"


@given(st.binary(max_size=2_000))
def test_any_bytes_are_shown_in_one_line_that_can_be_printed(raw: bytes) -> None:
    shown = mask_row(raw)
    assert shown.isprintable()
    assert len(shown) <= 161
