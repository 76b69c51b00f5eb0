"""Live records over generated histories: tiles that are made of the last events, and the bytes of both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent import oracle
from lambent.encoding import encode_events
from lambent.errors import DataError, StoreError
from lambent.events import Event
from lambent.fold import fold
from lambent.law import differs
from lambent.records import LAST_EVENTS, decode_live, encode_live, kept_fields, last_dtype, merge_live
from lambent.tiles import UNCOUNTED
from realtime.users import fold_state, read_users, remember, write_users
from tests.histories import USERS, logs
from tests.law.test_fold import FEATURES, TILE_MS, expected, same
from tests.record_oracle import record_of

Log = list[tuple[Event, int]]


def after(values: list[bytes | None], log: Log, tile_ms: int) -> list[bytes | None]:
    """The records after a batch, as the worker works it."""
    events = encode_events([event for event, _ in log], [at for _, at in log], FEATURES.taxonomy)
    user = np.array([USERS.index(event.user) for event, _ in log])
    known = read_users(FEATURES, [one for value in values for one in (None, value)], np.full(len(USERS), 2**62))
    state = fold_state(FEATURES, known)
    fold(FEATURES, state, user, events, tile_ms)
    last = np.zeros(len(log), last_dtype(FEATURES.taxonomy))
    for name in kept_fields(FEATURES):
        last[name] = events[name]
    last["change"] = np.random.default_rng(len(log)).uniform(-1, 1, last["change"].shape)
    remember(known, user, events["id"], last)
    return list(write_users(FEATURES, known, state, tile_ms, 0))


def worked(log: Log, data: st.DataObject) -> list[bytes | None]:
    """The records after batches of any size."""
    values: list[bytes | None] = [None] * len(USERS)
    tile_ms, rest = data.draw(st.sampled_from([TILE_MS, 20 * TILE_MS, 10**12])), oracle.distinct(log)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        values, rest = after(values, rest[:size], tile_ms), rest[size:]
    return values


@given(logs(max_events=60), st.data())
def test_records_that_are_read_and_written_batch_by_batch_give_the_oracles_profiles(
    log: Log, data: st.DataObject
) -> None:
    records = decode_live(FEATURES, worked(log, data))
    nothing = FEATURES.profile.identity(len(USERS))
    same(merge_live(FEATURES, nothing, np.zeros(len(USERS), np.int64), records), expected(FEATURES, log))


@given(logs(max_events=60), st.data())
def test_a_records_bytes_are_those_that_are_put_together_one_by_one(log: Log, data: st.DataObject) -> None:
    values = worked(log, data)
    records = decode_live(FEATURES, values)
    assert encode_live(FEATURES, records) == [record_of(FEATURES, records, user) for user in range(len(USERS))]
    assert all(value is None or value == record_of(FEATURES, records, user) for user, value in enumerate(values))


@given(logs(max_events=60), st.data())
def test_a_tile_that_is_made_of_its_events_is_the_one_whose_sums_are_stored(log: Log, data: st.DataObject) -> None:
    records = decode_live(FEATURES, worked(log, data))
    tiles = records.tiles
    assert (tiles.events[tiles.events < UNCOUNTED] <= LAST_EVENTS).all()
    counted, records.tiles.events = tiles.events, np.full(len(tiles.user), UNCOUNTED)
    summed = decode_live(FEATURES, encode_live(FEATURES, records))
    assert (summed.tiles.events == UNCOUNTED).all() and (summed.tiles.user == tiles.user).all()
    assert not any(rows.any() for rows in differs(FEATURES.profile, summed.tiles.profiles, tiles.profiles, stored=False).values())  # fmt: skip
    assert (counted < UNCOUNTED).any() or not len(counted) or max(records.last.counts) == LAST_EVENTS


def a_record() -> bytes:
    log = [
        (Event(user=USERS[0], type="view", event_ms=1_700_000_000_000 + n, id=str(n), product=f"{n}", price=9.99), 0)
        for n in range(30)
    ]
    (value, *_) = after([None] * len(USERS), [(event, event.event_ms) for event, _ in log], TILE_MS)
    assert value is not None
    return value


@pytest.mark.parametrize("price", [0.0, 9.99, 0.1 + 0.2, 1e12, 5e-324, float("nan")])
def test_a_price_comes_back_as_it_was_or_as_next_to_nothing(price: float) -> None:
    records = decode_live(FEATURES, [a_record()])
    records.last.values["price"][3] = price
    found = decode_live(FEATURES, encode_live(FEATURES, records)).last.values["price"][3]
    np.testing.assert_allclose(found, price, rtol=0, atol=1e-300)


def test_a_record_that_lacks_a_whole_tile_is_refused() -> None:
    whole = a_record()
    for cut in range(1, len(whole)):
        with pytest.raises((StoreError, DataError)):
            decode_live(FEATURES, [whole[:-cut], whole])


@given(st.integers(1, 400), st.integers(0, 2**32))
def test_a_record_that_was_cut_or_broken_is_refused_in_words_or_read(cut: int, seed: int) -> None:
    whole = a_record()
    with pytest.raises((StoreError, DataError)):
        decode_live(FEATURES, [whole[:-cut], whole])
    broken = bytearray(whole)
    for at in np.random.default_rng(seed).integers(5, len(whole), 3).tolist():
        broken[at] ^= 1 << seed % 8
    try:
        decode_live(FEATURES, [bytes(broken), whole])
    except (StoreError, DataError) as error:
        assert "bytes" in error.cause or "type" in error.cause
