"""Parts of the realtime layer that need no service."""

from __future__ import annotations

import itertools
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent import keys
from lambent.errors import UsageError
from lambent.events import Event
from lambent.features import shop_features
from lambent.taxonomy import shop
from lambent.tiles import Ragged
from realtime import ids
from realtime.batch import cut
from realtime.collector import Door, Taken, split_body
from realtime.doors import BothDoors, Item, Verdict, partition_of
from realtime.embedded import _listen
from realtime.intent import Found, describe
from realtime.logs import fields
from realtime.metrics import WorkerMetrics
from realtime.partition_list import parse_partitions
from realtime.replay import replay
from realtime.users import duplicates, newest

FEATURES = shop_features()
INTENT_EVENT = Event(user="A" * 22, type="view", event_ms=1_700_000_000_000, id="e")


@given(st.integers(0, 2**42), st.integers(0, 2**20 - 1))
def test_ids_and_versions_name_each_other_and_order_alike(ms: int, seq: int) -> None:
    entry_id = ids.form(ms, seq)
    assert ids.parse(entry_id) == (ms, seq)
    assert ids.from_version(ids.to_version(entry_id)) == entry_id
    assert ids.to_version(ids.form(ms + 1, 0)) > ids.to_version(entry_id)
    assert ids.latest(entry_id, ids.form(ms + 1, 0)) == ids.form(ms + 1, 0)


@pytest.mark.parametrize(
    ("kinds", "size"), [("eee", 3), ("eec", 2), ("ccec", 3), ("cmec", 3), ("m", 1), ("ce", 2), ("cc", 2)]
)
def test_a_batch_ends_before_a_control_entry_that_follows_an_event(kinds: str, size: int) -> None:
    assert cut([(b"1-0", kind.encode(), b"") for kind in kinds]) == size


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6)), max_size=40), st.integers(0, 40))
def test_duplicates_are_those_that_a_set_would_find(pairs: list[tuple[int, int]], split: int) -> None:
    before, after = pairs[:split], pairs[split:]
    recent = ragged([[i for u, i in before if u == user] for user in range(3)])
    user = np.array([u for u, _ in after], np.int64)
    found = duplicates(recent, user, np.array([i for _, i in after], np.uint64))
    seen, expected = set(before), []
    for pair in after:
        expected.append(pair in seen)
        seen.add(pair)
    assert found.tolist() == expected


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=30),
    st.lists(st.integers(0, 8), min_size=4, max_size=4),
)
def test_of_what_a_user_has_the_newest_stay_in_the_logs_order(
    before: list[list[int]], new: list[tuple[int, int]], most: list[int]
) -> None:
    new = [(user % len(before), one) for user, one in new]
    expected = [list(own) for own in before]
    for user, one in new:
        expected[user].append(one)
    bounds = np.array(most[: len(before)])
    users, ids = np.array([u for u, _ in new], np.int64), np.array([one for _, one in new], np.uint64)
    found = newest(ragged(before), users, ids, bounds)
    kept = [own[len(own) - min(len(own), keep) :] for own, keep in zip(expected, most, strict=False)]
    assert [found.of(user).tolist() for user in range(len(before))] == kept


def ragged(own: list[list[int]]) -> Ragged:
    return Ragged(np.array([one for ids_of in own for one in ids_of], np.uint64), np.array([len(one) for one in own]))


def test_partitions_are_given_as_a_list_of_ranges() -> None:
    assert parse_partitions("0-2,5", 8) == [0, 1, 2, 5]
    for text in ("", "a", "3-1", "8", "-1", "0-999999999999", "9" * 5_000):
        with pytest.raises(UsageError, match="Partitions"):
            parse_partitions(text, 8)


def test_a_body_is_one_object_a_list_or_lines() -> None:
    assert split_body(b' {"a": 1}\n') == [b'{"a": 1}']
    assert split_body(b'[{"a":1}, 2]') == [b'{"a":1}', b"2"]
    assert split_body(b'{"a":1}\n{"b":\n{"c":1}') == [b'{"a":1}', b'{"b":', b'{"c":1}']
    assert len(split_body(b'{\n"a":\n1}')) == 1


@given(st.binary(max_size=200))
def test_any_bytes_are_split_or_refused_in_words(data: bytes) -> None:
    try:
        outcomes = Door(shop(), b"k" * 32, 4).take(split_body(data), pseudonymous=False)
    except UsageError:
        return
    assert outcomes


def test_the_door_makes_pseudonyms_and_partitions() -> None:
    (taken,) = Door(shop(), b"k" * 32, 16).take([b'{"user":"anna","type":"view"}'], pseudonymous=False)
    assert isinstance(taken, Taken)
    assert taken.user == keys.pseudonym("anna", b"k" * 32)
    assert taken.partition == keys.partition(taken.user, 16)
    assert b"anna" not in taken.data


class ListDoor:
    def __init__(self) -> None:
        self.items: list[Item] = []

    def send(self, items: list[Item]) -> Verdict:
        self.items += items
        return len(items), Counter()


def test_through_both_doors_every_user_keeps_one_door_and_the_order() -> None:
    even, odd = ListDoor(), ListDoor()
    items: list[Item] = [Event(user=f"{n % 9:022d}", type="view", event_ms=n, id=str(n)) for n in range(90)]
    items += [b"broken"] * 3
    assert replay(items, BothDoors(even, odd, 8), batch=7).accepted == 93  # type: ignore[arg-type]
    assert {partition_of(item, 8) % 2 for item in even.items} == {0}
    for door in (even, odd):
        events = [item for item in door.items if isinstance(item, Event)]
        for _, own in itertools.groupby(sorted(events, key=lambda e: e.user), key=lambda e: e.user):
            assert [e.event_ms for e in own] == sorted(e.event_ms for e in events if e.user == _)


def test_the_report_holds_exact_percentiles_and_a_whole_histogram() -> None:
    metrics = WorkerMetrics()
    now_ms = int(time.time() * 1000)
    metrics.committed(
        entries=3, applied=3, late=0, duplicates=0, dead=0, unreadable=0, missed=0, rejected=Counter(),
        answered_ms=[now_ms - 7, now_ms - 7, now_ms - 90_000],
    )  # fmt: skip
    report = metrics.report()
    assert 7 <= report["p50_ms"] < 60
    assert sum(n for _, n in report["latencies_ms_histogram"]) == 3
    assert report["latencies_ms_histogram"][-1] == [None, 1]


def test_log_lines_are_keys_and_values() -> None:
    assert fields("lost", partition=3, reason='a "b"\nc') == "event=lost partition=3 reason=\"a 'b' c\""


def test_an_intent_is_shown_with_its_likeliest_first() -> None:
    from lambent.events import Intent

    intent = Intent(
        user="u", event_id="e", event_ms=0, ingest_ms=1_000, probabilities={"browse": 0.25, "purchase": 0.75},
        model="3", actions=("offer",), session_events=2,
    )  # fmt: skip
    lines = describe(Found(intent), 3_500)
    assert lines[0].split()[:2] == ["purchase", "75.0%"]
    assert lines[-1].endswith("2.5 s")


def test_the_embedded_store_listens_on_loopback_only() -> None:
    assert _listen("redis://127.0.0.1:6390/0") == {"port": "6390", "bind": "127.0.0.1"}
    assert _listen("unix:///tmp/s.sock")["unixsocket"] == "/tmp/s.sock"
    for url in ("redis://shop.example:6379", "rediss://127.0.0.1:6379", "redis://:secret@127.0.0.1:6379"):
        with pytest.raises(UsageError):
            _listen(url)
