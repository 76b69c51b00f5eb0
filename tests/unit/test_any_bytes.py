"""Bytes that are almost right, by the hundred thousand: nothing breaks, nothing hangs, and each is an event or a counted rejection.

Pieces of good and bad lines are joined at every place, each with each, so that one example is some hundred inputs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambent import keys
from lambent.control import decode_control, encode_control
from lambent.errors import DataError
from lambent.events import Event, Rejection, admit, encode_event
from lambent.features import shop_features
from lambent.mapping import load_mapping, read_events
from realtime import ids
from realtime.batch import Batch, Gate
from realtime.predict import Control, Models
from realtime.process import Processor
from tests.visitors import load, model_entry

FEATURES = shop_features()
KEY = b"k" * 32
REASONS = {
    "attributes", "columns", "csv", "dwell_ms", "encoding", "malformed", "missing", "nul", "price", "time", "too_large",
    "too_long", "type", "user", "value",
}  # fmt: skip
USERS = [keys.pseudonym(f"u{n}", KEY) for n in range(4)]
WORLD = settings(max_examples=25, suppress_health_check=list(HealthCheck))
LONG = settings(WORLD, max_examples=6_500)
"""Times 160 inputs: more than a million."""

events = st.builds(
    Event,
    user=st.sampled_from(USERS),
    type=st.sampled_from([kind.name for kind in FEATURES.taxonomy.types]),
    event_ms=st.integers(946_684_800_000, 4_102_444_799_999),
    id=st.text(max_size=8),
    product=st.none() | st.text(max_size=12),
    category=st.none() | st.sampled_from(["a.b", "größe", "\ud7ff"]),
    price=st.none() | st.floats(0, 1e12),
    dwell_ms=st.none() | st.integers(0, 2**53 - 1),
    attributes=st.none() | st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
)
odd = st.sampled_from(
    [b"", b"{", b"null", b"[]", b"{}", b'"', b"\0", b"\xff\xfe", b"[" * 5_000, b'{"a":' * 900, b'{"user":' + b"9" * 5_000,
     b'"price":NaN', b'"price":1e999', b'"event_ms":-1', b'"event_ms":1.7e12', b"\xed\xa0\x80", b"\\ud800", b'"type":""']
) | st.binary(max_size=20)  # fmt: skip
control = st.integers(-1, 4).map(model_entry).map(encode_control)
lines = st.lists(st.one_of(events.map(encode_event), events.map(encode_event), control, odd), min_size=4, max_size=4)
cuts = st.lists(st.floats(0, 1), min_size=10, max_size=10)


def joined(pieces: Sequence[bytes], cuts: Sequence[float]) -> Iterator[bytes]:
    """The beginning of each piece with the end of each, at every cut."""
    for left in pieces:
        for right in pieces:
            for cut in cuts:
                yield left[: int(cut * len(left))] + right[int(cut * len(right)) :]


def check_door(pieces: Sequence[bytes], cuts: Sequence[float]) -> None:
    """One door for all: what it lets in survives its own bytes, and what it refuses has a reason that is counted by."""
    for data in joined(pieces, cuts):
        found = admit(data, FEATURES.taxonomy)
        if isinstance(found, Rejection):
            assert found.reason in REASONS, (found, data)
            assert len(found.detail) < 1_000, data
        else:
            assert admit(encode_event(found), FEATURES.taxonomy) == found, data


def check_stream(pieces: Sequence[bytes], cuts: Sequence[float]) -> None:
    """Entries of every kind through a worker's gate and fold: each is counted once, and no event is given up for its bytes."""
    kinds = (b"e", b"e", b"e", b"c", b"m", b"", b"?")
    models = Models(FEATURES, load)
    gate, batch = Gate(FEATURES, models, 1), Batch()
    entries = [(ids.form(1_700_000_000_000 + n, 0), kinds[n % 7], data) for n, data in enumerate(joined(pieces, cuts))]
    gate.take(batch, 0, ids.START, Control(), entries)
    refused = sum(kind == b"c" and isinstance(decode_control(data), Rejection) for _, kind, data in entries)
    quiet = sum(kind in (b"c", b"m") for _, kind, _ in entries) - refused
    assert batch.rejected["control"] == refused
    assert len(batch.events) + sum(batch.rejected.values()) == len(entries) - quiet
    users = {name: row for row, name in enumerate(dict.fromkeys(one.event.user for one in batch.events))}
    outcome = Processor(FEATURES, models, 1_000).run(batch, users, [None] * 2 * len(users), 0)
    assert not batch.dead
    assert outcome.applied + outcome.duplicates == len(batch.events)


MAPPINGS = {
    "lambent": b"",
    "rees46": b"event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n",
    "taobao": b"",
}
cells = st.sampled_from(
    [b"2019-10-01 00:00:00 UTC,view,1,2,a.b,x,1.5,7,s", b"1,2,3,pv,1511544070", b'"', b'""', b",", b",,,,", b"\r", b"1e999",
     b"-0", b"\xe4", b"2019-13-01", b"9" * 400, b'"a\n', b"\0", b"NaN"]
)  # fmt: skip
rows = st.lists(st.one_of(cells, events.map(encode_event), odd), min_size=4, max_size=4)


def check_mapping(folder: Path, name: str, pieces: Sequence[bytes], cuts: Sequence[float]) -> None:
    """A file by a shipped mapping: its rows come in order, each an event that the door lets in, a rejection, or skipped."""
    mapping = load_mapping(name)
    (folder / "log").write_bytes(MAPPINGS[name] + b"\n".join(joined(pieces, cuts)) + b"\n")
    last = 0
    with contextlib.suppress(DataError):  # a file that is none at all, such as an empty one
        for row in read_events(folder / "log", mapping, FEATURES.taxonomy, KEY):
            assert row.line > last
            last = row.line
            assert row.event is None or row.rejection is None
            if row.rejection is not None:
                assert row.rejection.reason in REASONS, row
            if row.event is not None:
                assert admit(encode_event(row.event), FEATURES.taxonomy) == row.event


@WORLD
@given(lines, cuts)
def test_bytes_that_are_almost_an_event_are_one_or_have_a_reason(pieces: list[bytes], cuts: list[float]) -> None:
    check_door(pieces, cuts)


@WORLD
@given(lines, cuts)
def test_every_entry_of_a_stream_is_counted_once_and_none_breaks_the_worker(
    pieces: list[bytes], cuts: list[float]
) -> None:
    check_stream(pieces, cuts)


@pytest.mark.parametrize("name", MAPPINGS)
def test_rows_that_almost_fit_a_mapping_are_accounted_for(tmp_path: Path, name: str) -> None:
    given(rows, cuts)(WORLD(lambda pieces, cuts: check_mapping(tmp_path, name, pieces, cuts)))()


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("check", [check_door, check_stream])
def test_of_a_million_inputs_none_breaks_the_door_or_the_worker(check: Callable[..., None]) -> None:
    given(lines, cuts)(LONG(check))()


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", MAPPINGS)
def test_of_a_million_rows_none_breaks_a_mapping(tmp_path: Path, name: str) -> None:
    given(rows, cuts)(LONG(lambda pieces, cuts: check_mapping(tmp_path, name, pieces, cuts)))()
