from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from lambent.events import Event, Rejection, admit, content_id, encode_event
from lambent.taxonomy import shop

USER = "a" * 22
GOOD = {"user": USER, "type": "view", "event_ms": 1_700_000_000_000}


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
