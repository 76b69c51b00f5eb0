"""``lambent status`` on a real Valkey: what it says while parts come and go."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from lambent import cli, keys
from realtime import ids, lag
from realtime.archiver import Archiver
from realtime.gateway import Gateway
from realtime.status import Status, read_status
from realtime.status_command import COMMAND
from realtime.store import Store
from realtime.verdict import ARCHIVE_LATE_MS, LATE_MS, judge
from tests.chaos.rig import Rig, events_of, make_rig
from tests.valkey import Valkey, free_port, server, valkey  # noqa: F401

pytestmark = pytest.mark.integration
MOST = 1_000


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path)


def status_of(rig: Rig) -> Status:
    return read_status(rig.store, rig.meta.partitions)


def found(status: Status) -> dict[str, str]:
    return {finding.name: finding.status for finding in judge(status, MOST)}


def archiver(rig: Rig) -> Archiver:
    return Archiver(rig.store, rig.meta, rig.settings, name="the-archiver")


def test_nothing_runs_and_every_missing_part_is_told(rig: Rig) -> None:
    rig.feed_now(events_of(5, 40))
    status = status_of(rig)
    assert found(status) == {
        "worker": "problem",
        "archiver": "problem",
        "server": "warning",
        "profiles": "warning",
        "model": "warning",
    }
    assert (status.workers, status.archiver, status.servers) == ({}, "", ())
    assert sum(place.worker.entries for place in status.partitions if place.worker) == 40
    assert [place.archive for place in status.partitions] == [None] * 4


def test_parts_that_live_are_named_and_nothing_is_behind_once_they_have_worked(rig: Rig) -> None:
    rig.feed_now(events_of(5, 40))
    worker = rig.worker(lease_ms=60_000, name="the-worker")
    rig.drain(worker)
    archiver(rig).round()
    gateway = Gateway(rig.settings, rig.meta.partitions)

    async def beside_a_server() -> Status:
        await gateway.ping()
        status = await asyncio.to_thread(status_of, rig)
        await gateway.close()
        return status

    status = asyncio.run(beside_a_server())
    assert status.workers == {"the-worker": 4}
    assert status.archiver == "the-archiver"
    assert status.servers is not None
    assert len(status.servers) == 1
    assert status.unheld == ()
    assert "worker" not in found(status)
    assert "archiver" not in found(status)
    assert "server" not in found(status)
    assert sum(place.worker.entries for place in status.partitions if place.worker) <= 4  # markers
    assert sum(place.archive.entries for place in status.partitions if place.archive) <= 4


def test_partitions_that_nobody_holds_are_told_beside_a_worker_that_holds_others(rig: Rig) -> None:
    rig.drain(rig.worker(lease_ms=60_000, name="the-worker", partitions=[0, 2]))
    status = status_of(rig)
    assert status.unheld == (1, 3)
    told = next(finding for finding in judge(status, MOST) if finding.name == "worker")
    assert told.detail == "nobody works on 2 of 4 partitions"


def test_a_worker_and_an_archiver_that_stand_still_are_behind(rig: Rig) -> None:
    rig.drain(rig.worker(lease_ms=60_000, name="the-worker"))
    archiver(rig).round()
    now_ms = rig.store.now_ms()
    rig.store.call("DEL", keys.events(1))
    rig.store.call("XADD", keys.events(1), ids.form(now_ms - 2 * LATE_MS, 0), "e", "x")
    assert found(status_of(rig))["worker"] == "problem"
    assert "archiver" not in found(status_of(rig))
    rig.store.call("DEL", keys.events(2))
    rig.store.call("XADD", keys.events(2), ids.form(now_ms - 2 * ARCHIVE_LATE_MS, 0), "e", "x")
    rig.store.call("HSET", keys.ARCHIVED, 2, "0-0")
    assert found(status_of(rig))["archiver"] == "problem"


@pytest.mark.parametrize("trimmed", [False, True])
@pytest.mark.parametrize("seen", [0, 1, 5, 15, 29, 30])
def test_the_lag_is_exact_where_one_side_can_be_counted_and_a_lower_bound_where_none_can(
    rig: Rig, seen: int, trimmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lag, "COUNTED", 10)
    added = rig.store.append((0, b"e", b"x") for _ in range(30))
    if seen:
        rig.store.call("SET", keys.position(0), added[seen - 1])
        if trimmed:
            rig.store.call("XTRIM", keys.events(0), "MINID", added[seen - 1])
    (place,) = lag.look(rig.store, [0])
    assert place.worker is not None
    assert place.added == 30
    exact = trimmed or seen != 15
    assert (place.worker.entries, place.worker.exact) == ((30 - seen, True) if exact else (10, False))
    if seen == 30:
        assert place.worker.waiting_ms == 0


def test_the_oldest_unseen_entry_says_how_long_it_has_waited(rig: Rig) -> None:
    now_ms = rig.store.now_ms()
    for at_ms in (now_ms - 9_000, now_ms - 5_000, now_ms):
        rig.store.call("XADD", keys.events(0), ids.form(at_ms, 0), "e", "x")
    rig.store.call("SET", keys.position(0), ids.form(now_ms - 9_000, 0))
    (place,) = lag.look(rig.store, [0])
    assert place.worker is not None
    assert 5_000 <= place.worker.waiting_ms < 9_000


def test_rates_are_what_was_added_worked_and_archived_meanwhile(rig: Rig) -> None:
    archiver(rig).round()
    worker = rig.worker()
    rig.drain(worker)

    def meanwhile(_: float) -> None:
        rig.feed_now(events_of(5, 60))
        worker.turn(block_ms=0)
        rig.feed_now(events_of(5, 20, start=60))

    rates = read_status(rig.store, rig.meta.partitions, 1, meanwhile).rates
    assert rates is not None
    assert rates.worked is not None
    assert rates.added * rates.seconds == pytest.approx(80, rel=0.01)
    assert rates.worked * rates.seconds == pytest.approx(60, rel=0.01)
    assert rates.archived == 0


def test_memory_near_its_limit_and_a_stream_near_its_own_are_told(rig: Rig) -> None:
    rig.store.append((3, b"e", b"x") for _ in range(8))
    assert "memory" not in found(status_of(rig))
    used_bytes = status_of(rig).memory.used_bytes
    for share, told in ((0.8, "warning"), (0.98, "problem")):
        rig.store.call("CONFIG", "SET", "maxmemory", int(used_bytes / share))
        status = status_of(rig)
        rig.store.call("CONFIG", "SET", "maxmemory", 0)
        assert found(status)["memory"] == told
    for most, told in ((10, "warning"), (8, "problem")):
        assert {one.name: one.status for one in judge(status_of(rig), most)}["stream"] == told


def test_a_partition_that_is_rebuilt_counts_neither_as_behind_nor_as_nobodys(rig: Rig) -> None:
    rig.store.call("SET", keys.position(1), ids.HELD)
    rig.drain(rig.worker(lease_ms=60_000, name="the-worker", partitions=[0, 2, 3]))
    assert found(status_of(rig))["rebuild"] == "warning"
    assert "worker" not in found(status_of(rig))


def test_what_is_published_and_given_up_is_told(rig: Rig) -> None:
    hour_ms = 3_600_000
    cutoff_ms = rig.store.now_ms() - hour_ms
    rig.store.call("HSET", keys.META, "profiles_version", 7, "cutoff_ms", cutoff_ms)
    rig.store.call("SET", keys.control(2), b'{"models":[{"type":"model","version":4,"folder":"f","sha256":"s"}]}')
    rig.store.call("XADD", keys.dead(0), "*", "id", "1-0", "reason", "r", "bytes", "b")
    status = status_of(rig)
    assert (status.profiles.version, status.profiles.cutoff_ms) == (7, cutoff_ms)
    assert hour_ms <= status.profiles.age_ms < 2 * hour_ms
    assert status.models == {"none": 3, "4": 1}
    assert found(status)["dead"] == "warning"
    assert {"profiles", "model"}.isdisjoint(found(status))
    rig.store.call("HSET", keys.META, "cutoff_ms", cutoff_ms - 72 * hour_ms)
    assert found(status_of(rig))["profiles"] == "warning"


def test_a_look_at_many_partitions_takes_as_few_round_trips_as_one_at_few(valkey: Valkey, tmp_path: Path) -> None:  # noqa: F811
    class Counting(Store):
        trips = 0

        def call(self, *command: Any) -> Any:
            self.trips += 1
            return super().call(*command)

        def pipe(self, commands: Any) -> list[Any]:
            self.trips += 1
            return super().pipe(commands)

    trips = []
    for partitions in (4, 64):
        valkey.client.flushall()
        rig = make_rig(valkey, tmp_path, partitions=partitions)
        store = Counting(rig.url)
        read_status(store, partitions)
        trips.append(store.trips)
    assert trips[0] == trips[1] <= 6


def command(monkeypatch: pytest.MonkeyPatch, url: str, *arguments: str) -> int:
    monkeypatch.setattr(cli, "load_commands", lambda: {"status": COMMAND})
    for name, value in {"STORE_URL": url, "PARTITIONS": "4", "TILE_MS": "1000"}.items():
        monkeypatch.setenv(f"LAMBENT_{name}", value)
    return cli.main(["status", "--sample", "0", *arguments])


def test_the_command_shows_one_screen_and_fails_where_there_is_a_problem(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rig.feed_now(events_of(5, 40))
    assert command(monkeypatch, rig.url) == 1
    screen = capsys.readouterr().out
    assert "worker lag   40 entries, the oldest for" in screen
    assert "problem  worker       none works: events are kept and not answered" in screen
    assert len(screen.splitlines()) < 30
    assert command(monkeypatch, rig.url, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert len(report["partitions"]) == 4
    rig.drain(rig.worker(lease_ms=60_000))
    archiver(rig).round()
    assert command(monkeypatch, rig.url) == 0
    assert "warning  profiles" in capsys.readouterr().out


def test_a_store_that_is_away_and_one_that_was_not_made_are_told_as_ever(
    valkey: Valkey,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(monkeypatch, f"redis://127.0.0.1:{free_port()}/0") == 1
    assert "The store cannot be reached" in capsys.readouterr().err
    assert command(monkeypatch, valkey.url) == 1
    assert "There is no Lambent store at this URL." in capsys.readouterr().err
    assert valkey.client.dbsize() == 0
