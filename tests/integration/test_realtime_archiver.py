"""The archiver on a real Valkey and real Delta tables: every entry once, whatever is killed when."""

from __future__ import annotations

import functools
import time
from collections import Counter
from pathlib import Path

import pytest
from deltalake import DeltaTable

from lambent import keys, tables
from lambent.errors import DataError, FencedError, StoreError
from lambent.events import encode_event
from realtime import ids
from realtime.archive import LOG, Archive, intent_rows, log_rows
from realtime.archiver import Archiver
from realtime.store import Store
from tests.chaos.crashes import CrashError, FlakyStore, Fuse
from tests.chaos.rig import Rig, events_of, make_rig
from tests.stores import server, valkey  # noqa: F401
from tests.valkey import Valkey

pytestmark = pytest.mark.integration


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path, partitions=2)


def archiver(rig: Rig, store: Store | None = None) -> Archiver:
    return Archiver(store or rig.store, rig.meta, rig.settings, name="archiver")


def rows(rig: Rig, name: str) -> list[dict]:  # type: ignore[type-arg]
    return DeltaTable(rig.settings.table(name)).to_pyarrow_table().to_pylist()


def check_every_entry_once(rig: Rig) -> None:
    found = Counter((row["partition"], row["ingest_ms"], row["seq"]) for row in rows(rig, tables.LOG))
    assert set(found.values()) <= {1}
    events = [row for row in rows(rig, tables.LOG) if row["kind"] == "e"]
    assert len(events) == len(rig.log)
    answered = Counter(row["event_id"] for row in rows(rig, tables.INTENTS))
    assert answered == Counter(event.id for event, _ in rig.log)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_crash_at_any_command_repeats_and_loses_nothing(rig: Rig, after: bool) -> None:
    worker = rig.worker()
    for at in range(1, 22):
        rig.feed_now(events_of(5, 6, start=6 * at))
        rig.drain(worker)
        rig.store.call("DEL", keys.ARCHIVER)
        with pytest.raises(CrashError):
            for _ in range(3):
                archiver(rig, FlakyStore(rig.url, Fuse(at, after))).round()
                raise CrashError
    rig.store.call("DEL", keys.ARCHIVER)
    last = archiver(rig)
    last.round()
    last.round()
    check_every_entry_once(rig)


def test_two_archivers_that_append_the_same_conflict_instead_of_doubling(rig: Rig) -> None:
    rig.feed_now(events_of(5, 20))
    path = rig.settings.table(tables.LOG)
    first, second = (Archive(path, *LOG[:2], 2) for _ in range(2))
    found = rig.store.read(first.positions, 100)
    ends = {p: own[-1][0] for p, own in found.items()}
    first.append(log_rows(found, first.schema), ends)
    with pytest.raises(FencedError):
        second.append(log_rows(found, second.schema), ends)
    second.reopen()
    assert second.positions == ends
    assert len(rows(rig, tables.LOG)) == 20


def test_another_writer_of_the_table_stops_nobody(rig: Rig) -> None:
    rig.feed_now(events_of(5, 20))
    own = archiver(rig)
    own.round()
    rig.feed_now(events_of(5, 20, start=20))
    own.round()
    DeltaTable(rig.settings.table(tables.LOG)).optimize.compact()
    rig.feed_now(events_of(5, 20, start=40))
    own.round()
    assert len(rows(rig, tables.LOG)) == 60


def test_idle_partitions_get_markers_so_that_the_watermark_goes_on(rig: Rig) -> None:
    own = archiver(rig)
    own.round()
    own.round()
    marks = [row for row in rows(rig, tables.LOG) if row["kind"] == "m"]
    assert sorted(row["partition"] for row in marks) == [0, 1]
    table = DeltaTable(rig.settings.table(tables.LOG))
    for row in marks:
        version = table.transaction_version(f"lambent-archiver-{row['partition']}")
        assert version == row["ingest_ms"] << 20 | row["seq"]
        assert time.time() * 1000 - row["ingest_ms"] < 60_000


def test_only_what_archive_and_worker_have_seen_is_trimmed(rig: Rig) -> None:
    rig.feed_now(events_of(5, 20))
    own = archiver(rig)
    own.round()
    assert lengths(rig) == 20
    rig.drain()
    rig.feed_now(events_of(5, 20, start=20))
    own.round()
    assert lengths(rig) == 22  # the last archived entry of each partition that the worker has seen stays
    rig.drain()
    rig.check()


def lengths(rig: Rig) -> int:
    return sum(rig.store.call("XLEN", keys.events(p)) for p in range(rig.meta.partitions))


def test_ids_never_repeat_after_the_store_lost_its_last_entries(rig: Rig) -> None:
    rig.feed_now(events_of(5, 20))
    archiver(rig).round()
    archived = {p: rig.last[p] for p in (0, 1)}
    rig.store.pipe_or_raise(("DEL", key) for key in (keys.events(0), keys.events(1), keys.ARCHIVER))
    archiver(rig).round()
    for p, last in enumerate(rig.store.last_ids([0, 1])):
        assert ids.parse(last) > ids.parse(archived[p])


def test_an_archive_that_lacks_what_was_trimmed_is_refused_in_words(rig: Rig) -> None:
    rig.store.call("SET", keys.trimmed(1), "5-0")
    with pytest.raises(StoreError, match="Partition 1 was trimmed up to 5-0, but the table log ends at 0-0"):
        archiver(rig).round()


def test_an_archiver_that_slept_while_another_archived_and_trimmed_finds_no_gap(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.feed_now(events_of(5, 20))
    rig.drain()
    reopen, opened = Archive.reopen, []

    def sleep_after(self: Archive) -> None:
        reopen(self)
        opened.append(self)
        if len(opened) == 1:  # the log's table has been read: another one takes the lease and does all there is to do
            rig.store.call("DEL", keys.ARCHIVER)
            archiver(rig).round()

    monkeypatch.setattr(Archive, "reopen", sleep_after)
    with pytest.raises(FencedError):
        archiver(rig).round()
    archiver(rig).round()
    check_every_entry_once(rig)


def test_a_table_of_another_number_of_partitions_is_refused_in_words(rig: Rig) -> None:
    Archive(rig.settings.table(tables.LOG), *LOG[:2], 2)
    with pytest.raises(DataError, match=r'was made with \{"partitions": 2\}'):
        Archive(rig.settings.table(tables.LOG), *LOG[:2], 3)


def test_after_a_loss_of_the_stores_tail_it_says_what_is_gone_and_what_only_the_archive_has_and_goes_on(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.feed_now(events_of(5, 30))
    rig.drain()
    archiver(rig).round()
    saved = {key: rig.store.call("DUMP", key) for p in (0, 1) for key in (keys.events(p), keys.position(p))}
    rig.feed_now(events_of(5, 20, start=30))
    rig.store.call("DEL", keys.ARCHIVER)
    archiver(rig).round()  # of these the archive has the events, and no worker has passed them
    time.sleep(0.01)
    rig.feed_now(events_of(5, 10, start=50))
    rig.drain()
    own = archiver(rig)
    _, intents, _ = own._open()
    own._drain(intents, functools.partial(rig.store.read, stream=keys.intents), intent_rows, "intents")
    for key, value in saved.items():
        rig.store.call("RESTORE", key, 0, value, "REPLACE")
    rig.store.call("DEL", keys.ARCHIVER)
    again = archiver(rig)
    with caplog.at_level("ERROR", "lambent.archiver"):
        again.round()
    assert "event=store-lost-its-tail partitions=2 answered_and_gone=10 only_archived=20" in caplog.text
    rig.feed_now(events_of(5, 10, start=60))
    again.round()
    assert {row["bytes"] for row in rows(rig, tables.LOG)} >= {encode_event(event) for event, _ in rig.log[-10:]}
