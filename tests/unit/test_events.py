from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.events import MAX_EVENT_BYTES, Event, Rejection, admit, content_id, encode_event
from lambent.taxonomy import shop

USER = "a" * 22
GOOD = {"user": USER, "type": "view", "event_ms": 1_700_000_000_000}

BAD = [
    ("an empty entry", b"", "malformed"),
    ("a truncated object", b'{"user": "aaaa', "malformed"),
    ("bytes that are no UTF-8", b'{"user": "\xff"}', "malformed"),
    ("a list", b"[]", "malformed"),
    ("a number where a text belongs", msgspec.json.encode(GOOD | {"user": 7}), "malformed"),
    ("a field that nobody knows", msgspec.json.encode(GOOD | {"colour": "red"}), "malformed"),
    ("NaN, which is no JSON", b'{"user": "' + USER.encode() + b'", "price": NaN}', "malformed"),
    ("nesting without end", b"[" * 50_000, "malformed"),
    ("more bytes than are taken", b" " * (MAX_EVENT_BYTES + 1), "too_large"),
    ("a raw user id", msgspec.json.encode(GOOD | {"user": "jane@example.org"}), "user"),
    ("an empty user", msgspec.json.encode(GOOD | {"user": ""}), "user"),
    ("a type that the taxonomy lacks", msgspec.json.encode(GOOD | {"type": "teleport"}), "type"),
    ("a time in seconds", msgspec.json.encode(GOOD | {"event_ms": 1_700_000_000}), "time"),
    ("a negative time", msgspec.json.encode(GOOD | {"event_ms": -1}), "time"),
    ("a time in microseconds", msgspec.json.encode(GOOD | {"event_ms": 1_700_000_000_000_000}), "time"),
    ("a time beyond 64 bits", msgspec.json.encode(GOOD | {"event_ms": 2**63}), "time"),
    ("a negative price", msgspec.json.encode(GOOD | {"price": -0.01}), "price"),
    ("a price beyond all bounds", msgspec.json.encode(GOOD | {"price": 1e300}), "price"),
    ("a negative dwell", msgspec.json.encode(GOOD | {"dwell_ms": -1}), "malformed"),
    ("a product id of 10 kB", msgspec.json.encode(GOOD | {"product": "x" * 10_000}), "malformed"),
    ("too many attributes", msgspec.json.encode(GOOD | {"attributes": {str(n): "x" for n in range(99)}}), "malformed"),
]


@pytest.mark.parametrize(("data", "reason"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_the_door_gives_a_reason_for(data: bytes, reason: str) -> None:
    outcome = admit(data, shop())
    assert isinstance(outcome, Rejection)
    assert outcome.reason == reason
    assert outcome.detail


@given(st.binary(max_size=300))
def test_no_bytes_at_all_break_the_door(data: bytes) -> None:
    assert isinstance(admit(data, shop()), (Event, Rejection))


def test_what_is_missing_is_missing_and_never_zero() -> None:
    event = admit(msgspec.json.encode(GOOD), shop())
    assert isinstance(event, Event)
    assert (event.price, event.dwell_ms, event.product, event.attributes) == (None, None, None, None)


def test_an_event_without_an_id_gets_the_hash_of_its_fields() -> None:
    one, copy = (admit(msgspec.json.encode(GOOD), shop()) for _ in range(2))
    other = admit(msgspec.json.encode(GOOD | {"product": "p"}), shop())
    assert isinstance(one, Event)
    assert isinstance(other, Event)
    assert one == copy
    assert one.id == content_id(Event(**GOOD))  # type: ignore[arg-type]
    assert one.id != other.id


def test_an_event_survives_its_own_bytes() -> None:
    event = Event(**GOOD, id="e", price=1.5, attributes={"b": "2", "a": "ü"})  # type: ignore[arg-type]
    assert admit(encode_event(event), shop()) == event
