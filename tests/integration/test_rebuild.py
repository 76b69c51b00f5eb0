"""A store that was lost, or that is made for something else: rebuilt, it is the store that it would be, and goes on as that."""

from __future__ import annotations

import dataclasses
import functools
import random
import shutil
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from deltalake import DeltaTable

from lambent import keys, law, oracle, tables
from lambent.aggregates import HOUR_MS, Decayed, Where
from lambent.control import ModelEntry
from lambent.errors import DataError, FencedError, ModelError, StoreError, UsageError
from lambent.events import Event, Intent, encode_event
from lambent.features import FeatureSet, declare
from lambent.records import LAST_FIELDS, LiveRecords, decode_live, encode_profiles
from lambent.taxonomy import shop
from lambent.tiles import stack
from lambent.utc import time_text
from realtime import ids, rebuild, rebuild_command
from realtime.archive import LOG, Archive, intent_rows
from realtime.archiver import Archiver
from realtime.checks import check_held
from realtime.fence import Fence, Write
from realtime.law import check_law
from realtime.store import Store, open_store
from realtime.worker import Worker
from tests.chaos.crashes import CrashError, FlakyStore, Fuse
from tests.chaos.rig import FEATURES, TILE_MS, Rig, answered, events_of, ingest, make_rig
from tests.valkey import Valkey, free_port, server, start_valkey, stop_valkey, valkey  # noqa: F401

pytestmark = pytest.mark.integration
MINUTE_MS = 60_000
PARTITIONS = 3
COLUMNS = np.arange(64)
USERS = [keys.pseudonym(f"u{n}", b"k") for n in range(12)]
NEW = FeatureSet(shop(), (*declare(shop()), Decayed("spent_3h", Where("cart"), 3 * HOUR_MS, of="price")))


@dataclasses.dataclass
class FakeModel:
    """Its state remembers the profile that the session began with, and every step."""

    version: int

    def start(self, profile):  # type: ignore[no-untyped-def]
        return profile[:, COLUMNS % profile.shape[1]]

    def step(self, state, step_ids, floats):  # type: ignore[no-untyped-def]
        state = (0.5 * state + floats[:, COLUMNS % floats.shape[1]] / self.version).astype(np.float32)
        weights = 1 + np.abs(state[:, :4])
        return state, weights / weights.sum(axis=1, keepdims=True)


def load(entry: ModelEntry) -> FakeModel:
    if entry.folder == "gone":
        raise ModelError("There is no such folder.")
    return FakeModel(entry.version)


@dataclasses.dataclass
class Traffic:
    """Visitors who come now: sessions, late events and copies, each event a few minutes after the one before."""

    rig: Rig
    rng: random.Random = dataclasses.field(default_factory=lambda: random.Random(5))
    at_ms: int = dataclasses.field(default_factory=lambda: time.time_ns() // 1_000_000 - 20 * 60 * MINUTE_MS)
    sent: list[Event] = dataclasses.field(default_factory=list)

    def events(self, count: int) -> list[Event]:
        found: list[Event] = []
        for _ in range(count):
            if self.sent and self.rng.random() < 0.1:
                found.append(self.rng.choice(self.sent[-30:]))
                continue
            self.at_ms += self.rng.randrange(3 * MINUTE_MS)
            event_ms = self.at_ms - (self.rng.random() < 0.15) * self.rng.randrange(120 * MINUTE_MS)
            kind = self.rng.choice(["view", "view", "search", "cart", "purchase"])
            event = Event(
                user=self.rng.choice(USERS), type=kind, event_ms=event_ms, id=f"n{len(self.sent)}",
                product=f"p{self.rng.randrange(9)}", category="ab"[self.rng.randrange(2)], price=self.rng.random() * 90,
            )  # fmt: skip
            found.append(event)
            self.sent.append(event)
        return found

    def flow(self, count: int = 60) -> None:
        """Events that a worker answers and the archiver archives."""
        for _ in range(3):
            self.rig.feed_now(self.events(count // 3))
            self.work()
            time.sleep(0.2)

    def work(self, features: FeatureSet = FEATURES) -> None:
        self.rig.drain(worker(self.rig, features))


def worker(rig: Rig, features: FeatureSet = FEATURES, store: Store | None = None) -> Worker:
    return Worker(store or rig.store, rig.meta, features, load=load, lease_ms=0)


def archive(rig: Rig) -> None:
    rig.store.call("DEL", keys.ARCHIVER)
    Archiver(rig.store, rig.meta, rig.settings, name="archiver").round()


def publish(rig: Rig, cutoff_ms: int | None = None) -> int:
    """Publish at a cut-off: just now, or again at one."""
    cutoff_ms = rig.log[-1][1] // TILE_MS * TILE_MS if cutoff_ms is None else cutoff_ms
    rig.publish(cutoff_ms)
    rig.store.call("HSET", keys.META, "floor_ms", rig.published[0], "published", msgspec.json.encode(rig.published))
    return cutoff_ms


def publish_files(rig: Rig, store: Store, features: FeatureSet) -> None:
    """Publish profiles of what came from files, and of nothing else."""
    for user in USERS:
        own = [
            (event, event.event_ms)
            for event, ingest_ms in rig.log
            if event.user == user and event.event_ms == ingest_ms
        ]
        key = keys.profile(keys.partition(user, PARTITIONS), user)
        store.call("DEL", key)
        if own:
            store.call(
                "SET", key, encode_profiles(features, oracle.profile(features, oracle.mark(features, own)), 0)[0]
            )
    store.call("HSET", keys.META, "floor_ms", 0, "published", "[0]")


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path, partitions=PARTITIONS)


@pytest.fixture
def twin_server(tmp_path: Path) -> Iterator[Valkey]:
    own = start_valkey(tmp_path, free_port())
    yield own
    stop_valkey(own)


def scene(rig: Rig) -> Traffic:
    """A history from a file; a model; live events with a publish in the middle; a second model in a running session."""
    traffic = Traffic(rig)
    old = [Event(user=user, type="cart", event_ms=traffic.at_ms - 9 * 86_400_000 + n, id=f"f{n}", category="a", price=3.5)
           for n, user in enumerate(USERS[:5] * 3)]  # fmt: skip
    ingest(rig.settings, old)
    rig.log = [(event, event.event_ms) for event in old]
    publish(rig, traffic.at_ms // TILE_MS * TILE_MS)
    rig.store.publish_control(ModelEntry(1, "here", ""), PARTITIONS)
    traffic.flow()
    archive(rig)
    rig.store.publish_control(ModelEntry(2, "here", ""), PARTITIONS)
    traffic.flow()
    publish(rig)
    traffic.flow()
    archive(rig)
    return traffic


# --- what has to be equal ----------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Seen:
    """The live side of a store: records by user, positions and control states by partition."""

    records: dict[str, bytes]
    positions: list[bytes]
    controls: list[bytes | None]


def seen(store: Store) -> Seen:
    pairs = [(keys.partition(user, PARTITIONS), user) for user in USERS]
    values = [store.call("GET", keys.live(p, user)) for p, user in pairs]
    assert len(store.call("KEYS", "live:*")) == sum(value is not None for value in values)
    return Seen(
        {user: value for user, value in zip(USERS, values, strict=True) if value is not None},
        store.positions(range(PARTITIONS)),
        [store.call("GET", keys.control(p)) for p in range(PARTITIONS)],
    )


def check_equal(one: Seen, other: Seen, floor_ms: int, features: FeatureSet = FEATURES) -> None:
    """Equal as the law has it: tiles from the floor on, states to 1e-5, everything else exactly."""
    assert one.records.keys() == other.records.keys()
    a, b = (decode_live(features, [side.records[user] for user in one.records]) for side in (one, other))
    for name in ("session", "reset_ms", "model"):
        assert (a.fixed[name] == b.fixed[name]).all(), name
    assert np.allclose(a.fixed["state"], b.fixed["state"], rtol=0, atol=1e-5)
    for ours, theirs in ((a.recent, b.recent), (a.last, b.last)):
        assert ours.counts.tolist() == theirs.counts.tolist()
    assert a.recent.values.tolist() == b.recent.values.tolist()
    for name in LAST_FIELDS:
        np.testing.assert_array_equal(a.last.values[name], b.last.values[name], name)
    assert np.allclose(a.last.values["change"], b.last.values["change"], rtol=0, atol=1e-3)
    tiles_a, tiles_b = (kept(side, floor_ms) for side in (a, b))
    assert [place for place, _ in tiles_a] == [place for place, _ in tiles_b]
    found = law.differs(features.profile, stack([t for _, t in tiles_a]), stack([t for _, t in tiles_b]), stored=False)
    assert not [name for name, rows in found.items() if rows.any()]
    assert (one.positions, one.controls) == (other.positions, other.controls)


def behind_markers(one: Seen) -> Seen:
    """The same, once the worker has seen the markers that keep ids from being given again."""
    return dataclasses.replace(one, positions=[ids.form(ms, seq + 1) for ms, seq in map(ids.parse, one.positions)])


def kept(records: LiveRecords, floor_ms: int) -> list[tuple[tuple[int, int], Any]]:
    users = range(len(records.fixed))
    return [((row, at), tile) for row in users for at, tile in records.tiles.of(row) if at >= floor_ms]


def copy_store(source: Store, target: Valkey) -> Store:
    for key in source.call("KEYS", "*"):
        target.client.execute_command("RESTORE", key, max(source.call("PTTL", key), 0), source.call("DUMP", key))
    return Store(target.url)


def check_goes_on_as(twin: Store, rig: Rig, traffic: Traffic, features: FeatureSet = FEATURES) -> None:
    """Events that follow give the same intents in both, and the law holds over all."""
    known = {intent.event_id for store in (rig.store, twin) for intent in said(store)}
    for event in traffic.events(80):
        rig.feed_now([event])
        p = keys.partition(event.user, PARTITIONS)
        twin.call("XADD", keys.events(p), rig.last[p], "e", encode_event(event))
    rig.drain(worker(rig, features))
    rig.drain(worker(rig, features, twin))
    new, expected = ({i.event_id: i for i in said(s) if i.event_id not in known} for s in (rig.store, twin))
    assert new.keys() == expected.keys() and len(new) > 40
    for event_id, intent in new.items():
        other = expected[event_id]
        assert (intent.model, intent.session_events) == (other.model, other.session_events)
        assert intent.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    archive(rig)
    report = check_law(rig.store, rig.store.meta(), rig.settings, features)  # type: ignore[arg-type]
    assert report.differences == 0, report.examples


def said(store: Store) -> list[Intent]:
    found: list[Intent] = []
    for p in range(PARTITIONS):
        for _, pairs in store.call("XRANGE", keys.intents(p), "-", "+"):
            found += msgspec.json.decode(pairs[1], type=list[Intent])
    return found


def lose(rig: Rig) -> None:
    """The server is empty; the profiles are published again."""
    cutoff_ms = rig.published[-1]
    rig.store.call("FLUSHALL")
    rig.store, rig.meta = open_store(rig.settings)
    rig.published = []
    publish(rig, cutoff_ms)
    rig.meta = rig.store.meta()  # type: ignore[assignment]


def make(rig: Rig, store: Store | None = None, features: FeatureSet = FEATURES, **options: Any) -> rebuild.Report:
    store = store or rig.store
    return rebuild.rebuild(store, store.meta(), rig.settings, features, load=load, **options)  # type: ignore[arg-type]


# --- a store that was lost ---------------------------------------------------------------------------------------------


def test_a_lost_store_is_rebuilt_as_it_was_and_goes_on_as_if_nothing_had_happened(
    rig: Rig, twin_server: Valkey
) -> None:
    traffic = scene(rig)
    before, twin = seen(rig.store), copy_store(rig.store, twin_server)
    intents = {key: rig.store.call("GET", key) for key in rig.store.call("KEYS", "intent:*")}
    lose(rig)
    foretold = make(rig, dry_run=True)
    assert seen(rig.store) == Seen({}, [ids.START] * PARTITIONS, [None] * PARTITIONS)
    report = make(rig)
    assert {**msgspec.to_builtins(foretold), "dry_run": False, "seconds": 0} == {
        **msgspec.to_builtins(report), "seconds": 0,
    }  # fmt: skip
    assert (report.records, report.deleted, report.lost, report.streamed) == (len(before.records), 0, 0, 0)
    check_equal(before, seen(rig.store), rig.meta.floor_ms)
    assert rig.said() == []
    again = {key: rig.store.call("GET", key) for key in rig.store.call("KEYS", "intent:*")}
    assert again.keys() == intents.keys()
    for key, value in intents.items():
        a, b = (msgspec.json.decode(one, type=Intent) for one in (value, again[key]))
        assert (a.event_id, a.model) == (b.event_id, b.model)
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-5)
    for last, at in zip(rig.store.last_ids(range(PARTITIONS)), before.positions, strict=True):
        assert ids.parse(last) > ids.parse(at)
    check_goes_on_as(twin, rig, traffic)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_command_and_run_again_it_makes_the_same(rig: Rig, after: bool) -> None:
    scene(rig)
    before = seen(rig.store)
    lose(rig)
    at, dead = 0, True
    while dead:
        at += 1
        try:
            make(rig, FlakyStore(rig.url, Fuse(at, after)))
            dead = False
        except CrashError:
            rig.drain(worker(rig))  # it meets partitions that are held, and such as are done
    assert at > 3 * PARTITIONS
    rig.drain(worker(rig))
    check_equal(behind_markers(before), seen(rig.store), rig.meta.floor_ms)
    assert rig.store.call("KEYS", "rebuild:*") == []


def test_what_the_archive_did_not_have_is_counted_and_the_rest_is_rebuilt(rig: Rig) -> None:
    traffic = scene(rig)
    before = seen(rig.store)
    late = [event for event in traffic.events(40) if event.id not in {one.id for one, _ in rig.log}]
    kept_log = list(rig.log)
    rig.feed_now(late)
    rig.drain(worker(rig))
    answered = {intent.event_id for intent in rig.said()} & {event.id for event in late}
    time.sleep(0.01)
    own = Archiver(rig.store, rig.meta, rig.settings, name="archiver")
    _, intents, _ = own._open()
    read = functools.partial(rig.store.read, stream=keys.intents)
    own._drain(intents, read, intent_rows, "intents")  # it was killed before it came to the log
    rig.log = kept_log
    lose(rig)
    report = make(rig)
    assert report.lost == len(answered) > 10
    check_equal(before, seen(rig.store), rig.meta.floor_ms)


def test_entries_that_only_the_archive_has_are_replayed_and_those_of_the_stream_are_left_to_the_worker(
    rig: Rig, twin_server: Valkey
) -> None:
    """The store came back as it was some time before, and went on; the worker was behind besides."""
    traffic = scene(rig)
    old = {key: rig.store.call("DUMP", key) for key in rig.store.call("KEYS", "*")}
    traffic.flow()
    archive(rig)
    twin, before = copy_store(rig.store, twin_server), seen(rig.store)
    rig.store.call("FLUSHALL")
    for key, value in old.items():
        rig.store.call("RESTORE", key, 0, value)
    archive(rig)  # it sees to it that ids do not repeat
    report = make(rig)
    assert (report.lost, report.streamed) == (0, 0)
    check_equal(behind_markers(before), seen(rig.store), rig.meta.floor_ms)
    check_goes_on_as(twin, rig, traffic)


# --- a store that is there ---------------------------------------------------------------------------------------------


def test_a_worker_that_is_behind_or_ahead_of_the_archive_goes_on_where_it_stood(rig: Rig, twin_server: Valkey) -> None:
    traffic = scene(rig)
    rig.feed_now(traffic.events(30))
    traffic.work()  # ahead of the archive
    before, answers = seen(rig.store), rig.said()
    report = make(rig)
    assert report.streamed > 20
    check_equal(before, seen(rig.store), rig.meta.floor_ms)
    rig.feed_now(traffic.events(30))
    archive(rig)  # ahead of the worker
    assert make(rig).streamed == 0
    check_equal(before, seen(rig.store), rig.meta.floor_ms)
    assert rig.said() == answers
    check_goes_on_as(copy_store(rig.store, twin_server), rig, traffic)


def test_a_rollback_to_before_the_floor_is_possible_once_the_tiles_are_made_again(
    rig: Rig, twin_server: Valkey
) -> None:
    traffic = Traffic(rig)
    traffic.flow()
    first_ms = publish(rig)
    profiles = {key: rig.store.call("GET", key) for key in rig.store.call("KEYS", "profile:*")}
    for _ in range(3):
        time.sleep(TILE_MS / 1000)
        traffic.flow()
        publish(rig)
    traffic.flow()
    archive(rig)
    assert rig.store.meta().floor_ms > first_ms  # type: ignore[union-attr]
    twin = copy_store(rig.store, twin_server)
    report = make(rig, since_ms=first_ms)
    meta = rig.store.meta()
    assert meta is not None and (report.floor_ms, meta.floor_ms, meta.published[0]) == (first_ms,) * 3
    assert check_law(rig.store, meta, rig.settings, FEATURES).differences == 0
    for key in rig.store.call("KEYS", "profile:*"):
        rig.store.call(*(("SET", key, profiles[key]) if key in profiles else ("DEL", key)))
    check_goes_on_as(twin, rig, traffic)
    assert make(rig, since_ms=meta.published[1]).floor_ms == first_ms  # it is never raised


def test_for_a_new_feature_set_the_store_is_as_if_it_had_been_made_with_it(rig: Rig, twin_server: Valkey) -> None:
    traffic = scene(rig)
    rig.feed_now(traffic.events(20))
    stood = rig.store.positions(range(PARTITIONS))
    traffic.work(NEW)
    assert rig.store.positions(range(PARTITIONS)) == stood  # they are left to those who compute these features
    traffic.work()
    archive(rig)
    twin = Store(twin_server.url)
    for store in (rig.store, twin):
        publish_files(rig, store, NEW)
    make(rig, features=NEW)
    for row in DeltaTable(rig.settings.table(tables.LOG)).to_pyarrow_table().sort_by("ingest_ms").to_pylist():
        at = ids.form(row["ingest_ms"], row["seq"])
        twin.call("XADD", keys.events(row["partition"]), at, row["kind"], row["bytes"])
    twin.create_meta(PARTITIONS, TILE_MS)
    rig.drain(worker(rig, NEW, twin))
    check_equal(seen(twin), seen(rig.store), 0, NEW)
    check_goes_on_as(twin, rig, traffic, NEW)


def test_a_session_that_was_open_before_the_replay_begins_is_taken_up_from_what_the_profile_knows(rig: Rig) -> None:
    scene(rig)
    before, floor_ms = seen(rig.store), rig.published[-1]
    ingest_again(rig)
    rig.store.call("HSET", keys.META, "floor_ms", floor_ms)
    report = make(rig, lookback_ms=0)
    assert report.begins_ms == floor_ms
    after = seen(rig.store)
    a, b = (decode_live(FEATURES, [side.records[user] for user in after.records]) for side in (before, after))
    begun = a.fixed["session"]["start_ms"] == b.fixed["session"]["start_ms"]
    assert begun.sum() >= 3
    assert (a.fixed["session"]["clock_ms"] == b.fixed["session"]["clock_ms"]).all()
    assert np.allclose(a.fixed["state"][begun], b.fixed["state"][begun], rtol=0, atol=1e-5)
    assert (after.positions, after.controls) == (before.positions, before.controls)
    tiles_a, tiles_b = (kept(side, floor_ms) for side in (a, b))
    assert [place for place, _ in tiles_a] == [place for place, _ in tiles_b]
    found = law.differs(FEATURES.profile, stack([t for _, t in tiles_a]), stack([t for _, t in tiles_b]), stored=False)
    assert not [name for name, rows in found.items() if rows.any()]


def ingest_again(rig: Rig) -> None:
    """The table of events, with the archived log in it."""
    live = [one for one in rig.log if one[1] != one[0].event_ms]
    files = [event for event, ingest_ms in rig.log if ingest_ms == event.event_ms]
    ingest(rig.settings, files, live)


# --- who else is there -------------------------------------------------------------------------------------------------


def test_a_worker_at_work_loses_its_partition_leaves_it_alone_and_takes_it_up_afterwards(rig: Rig) -> None:
    traffic = scene(rig)
    own = worker(rig)
    own.turn(block_ms=0)
    rig.feed_now(traffic.events(30))
    batch = own._read(block_ms=0)
    outcome = own._answer(batch)
    fence = Fence(rig.store)
    stood = fence.hold(range(PARTITIONS))
    own._commit(batch, outcome)
    assert own.metrics.tally["fenced"] == len(batch.slices) > 0
    own.partitions._due_s = 0
    own.turn(block_ms=0)
    assert (own.partitions.held, rig.store.positions(range(PARTITIONS))) == ({}, [ids.HELD] * PARTITIONS)
    archive(rig)
    assert {p: rig.store.call("XLEN", keys.events(p)) > 0 for p in stood} == dict.fromkeys(stood, True)
    make(rig)
    own.partitions._due_s = 0
    rig.drain(own)
    assert check_law(rig.store, rig.store.meta(), rig.settings, FEATURES).differences == 0  # type: ignore[arg-type]
    files = {event.id for event, ingest_ms in rig.log if event.event_ms == ingest_ms}
    assert {intent.event_id for intent in rig.said()} == set(answered(rig.log)) - files


def test_while_a_partition_is_held_nothing_of_it_is_trimmed(rig: Rig) -> None:
    rig.feed_now(events_of(6, 30))
    rig.drain(worker(rig))
    Fence(rig.store).hold(range(PARTITIONS))
    archive(rig)
    there = rig.store.read(dict.fromkeys(range(PARTITIONS), ids.START), 1_000)
    assert sum(kind == b"e" for own in there.values() for _, kind, _ in own) == 30  # beside them there may be markers
    assert rig.store.call("KEYS", "trimmed:*") == []
    make(rig)
    rig.check()


def test_of_two_rebuilds_the_later_one_owns_the_partitions(rig: Rig) -> None:
    first, second = Fence(rig.store), Fence(rig.store)
    assert first.hold([1]) == second.hold([1]) == {1: ids.START}
    for late in (lambda: first.write(1, [Write("live:{1}:x", b"x", 9_000)]), lambda: first.release(1, b"5-0", b"", [])):
        with pytest.raises(FencedError, match="Another rebuild has taken over partition 1"):
            late()
    assert rig.store.call("GET", "live:{1}:x") is None
    second.release(1, b"5-0", b"", [])
    assert rig.store.positions([1]) == [b"5-0"]


def test_another_number_of_partitions_is_refused_in_words(rig: Rig) -> None:
    Archive(rig.settings.table(tables.LOG), *LOG[:2], PARTITIONS + 1)
    with pytest.raises(DataError, match=f"has {PARTITIONS + 1} partitions, and the store {PARTITIONS}"):
        make(rig)
    assert rig.store.call("KEYS", "rebuild:*") == []


def test_while_a_publish_runs_nothing_is_begun(rig: Rig) -> None:
    rig.store.call("SET", keys.PUBLISHER, "somebody")
    with pytest.raises(StoreError, match="A publish is running"):
        make(rig)


# --- what a log can hold -----------------------------------------------------------------------------------------------


def test_a_model_whose_artifact_is_gone_is_named_and_sessions_go_on_without_it(rig: Rig) -> None:
    rig.store.publish_control(ModelEntry(7, "gone", ""), PARTITIONS)
    rig.feed_now(events_of(6, 30))
    rig.drain(worker(rig))
    archive(rig)
    report = make(rig)
    assert report.models_missing == (7,)
    records = decode_live(FEATURES, list(rig.store.call("MGET", *rig.store.call("KEYS", "live:*"))))
    assert (records.fixed["model"] == 0).all()


def test_what_a_worker_gave_up_stays_so_and_is_not_given_up_twice(rig: Rig) -> None:
    stray = events_of(1, 1)[0]
    wrong = (keys.partition(stray.user, PARTITIONS) + 1) % PARTITIONS
    rig.store.append([(wrong, b"e", encode_event(stray)), (wrong, b"e", b"{"), (wrong, b"?", b"")])
    rig.feed_now(events_of(6, 30, start=1))
    rig.drain(worker(rig))
    archive(rig)
    dead = rig.store.call("XRANGE", keys.dead(wrong), "-", "+")
    assert (len(dead), make(rig).dead) == (1, 0)
    assert rig.store.call("XRANGE", keys.dead(wrong), "-", "+") == dead
    rig.store.call("DEL", keys.dead(wrong))
    assert make(rig).dead == 0  # the archive knows of it
    shutil.rmtree(rig.settings.table(tables.DEAD))
    assert make(rig).dead == 1
    ((_, again),) = rig.store.call("XRANGE", keys.dead(wrong), "-", "+")
    assert again == dead[0][1]


def test_live_records_that_the_log_does_not_give_or_whose_time_is_over_are_deleted(rig: Rig) -> None:
    long_ago_ms = time.time_ns() // 1_000_000 - 15 * 86_400_000
    rig.feed([(event, long_ago_ms) for event in events_of(1, 3)])
    rig.feed_now(events_of(5, 20, start=3))
    rig.drain(worker(rig))
    archive(rig)
    rig.store.call("SET", keys.live(0, "x" * 22), b"?")
    rig.store.call("SET", keys.live(2, "x" * 22), b"?")
    old = rig.log[0][0].user
    report = make(rig)
    assert (report.records, report.deleted) == (5, 2)
    assert rig.store.call("EXISTS", keys.live(keys.partition(old, PARTITIONS), old)) == 1
    ttl_ms = rig.store.call("PTTL", keys.live(keys.partition(old, PARTITIONS), old))
    assert 13.9 * 86_400_000 < ttl_ms <= 14 * 86_400_000 + TILE_MS


def test_the_command_says_what_it_did_and_keeps_its_report(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    scene(rig)
    given = {"since": None, "lookback": 24, "dry_run": True, "json": False}
    run = rebuild_command.run
    assert run(Namespace(**given), rig.settings)["dry_run"]
    assert "would write 12 live records and 12 intents where they are missing, delete 0 live" in capsys.readouterr().out
    assert not (rig.settings.root / "reports").exists()
    since = time_text(rig.published[0] - 5_000)
    report = run(Namespace(**{**given, "since": since, "dry_run": False}), rig.settings)
    assert report["floor_ms"] == rig.published[0] - 5_000 == rig.store.meta().floor_ms  # type: ignore[union-attr]
    assert run(Namespace(**{**given, "since": "none", "dry_run": False}), rig.settings)["begins_ms"] == 0
    kept_reports = (rig.settings.root / "reports" / "jobs.jsonl").read_text().splitlines()
    assert [msgspec.json.decode(line)["job"] for line in kept_reports] == ["rebuild", "rebuild"]
    with pytest.raises(UsageError, match="not an ISO 8601 time"):
        run(Namespace(**{**given, "since": "yesterday"}), rig.settings)
    with pytest.raises(UsageError, match="hours are 0 or more"):
        run(Namespace(**{**given, "lookback": -1}), rig.settings)


def test_the_doctor_says_that_a_rebuild_has_not_ended(rig: Rig) -> None:
    assert check_held(rig.store).status == "ok"
    Fence(rig.store).hold([0, 2])
    found = check_held(rig.store)
    assert (found.status, found.detail.split()[0]) == ("warning", "2")
    make(rig)
    assert check_held(rig.store).status == "ok"


def test_partitions_are_taken_together_as_far_as_memory_goes() -> None:
    assert list(rebuild.groups([3, 4, 5, 9, 1], 8)) == [[0, 1], [2], [3], [4]]
    assert list(rebuild.groups([0, 0], 8)) == [[0, 1]]
