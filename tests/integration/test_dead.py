"""Dead letters: what a worker had to give up is archived once, left out by the law and by a rebuild, and retried as a new entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from lambent import cli, keys, tables
from lambent.events import Event
from realtime import ids, process, trim
from realtime.archiver import Archiver
from realtime.dead import read_dead
from realtime.law import check_law
from realtime.rebuild import rebuild
from spark_jobs import dead_command, retry
from spark_jobs.log import passed_of, watermark_ms
from spark_jobs.quarantine import Chosen, open_rows
from tests.chaos.crashes import CrashError, FlakyStore, Fuse
from tests.chaos.rig import FEATURES, Rig, events_of, make_rig
from tests.valkey import Valkey, server, valkey  # noqa: F401

pytestmark = pytest.mark.integration
P = 2


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path, partitions=P)


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Events of the product poison cannot be folded, until it is undone."""
    real = process.encode_events

    def poisoned(events: Any, *rest: Any) -> Any:
        if any(event.product == "poison" for event in events):
            raise ValueError("poison")
        return real(events, *rest)

    monkeypatch.setattr(process, "encode_events", poisoned)
    return monkeypatch


def bad(n: int, user: str) -> Event:
    return Event(user=user, type="cart", event_ms=events_of(1, 1)[0].event_ms, id=f"bad{n}", product="poison")


def feed(rig: Rig, dead: int) -> None:
    """40 events, some of them poison, worked off; the rig's log is without those."""
    events = events_of(5, 40)
    rig.feed_now([*events[:20], *(bad(n, events[n].user) for n in range(dead)), *events[20:]])
    rig.drain()
    rig.log = [one for one in rig.log if one[0].product != "poison"]


def archiver(rig: Rig, store: Any = None) -> Archiver:
    return Archiver(store or rig.store, rig.meta, rig.settings, name="archiver")


def rows(rig: Rig) -> list[dict[str, Any]]:
    table = DeltaTable(rig.settings.table(tables.DEAD)).to_pyarrow_table()
    return sorted(table.to_pylist(), key=lambda row: (row["partition"], row["died_ms"], row["died_seq"]))


def in_streams(rig: Rig) -> int:
    return sum(rig.store.call("XLEN", keys.dead(p)) for p in range(P))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_each_is_archived_once_with_its_reason_and_bytes_wherever_the_archiver_dies(
    rig: Rig, poison: pytest.MonkeyPatch, after: bool
) -> None:
    feed(rig, 6)
    for at in range(1, 22):
        rig.store.call("DEL", keys.ARCHIVER)
        with pytest.raises(CrashError):
            archiver(rig, FlakyStore(rig.url, Fuse(at, after))).round()
            raise CrashError
    rig.store.call("DEL", keys.ARCHIVER)
    archiver(rig).round()
    found = rows(rig)
    assert sorted(json.loads(row["raw"])["id"] for row in found) == [f"bad{n}" for n in range(6)]
    assert {(row["reason"], row["detail"], row["became"]) for row in found} == {
        ("ValueError", "ValueError: poison", None)
    }
    assert {row["origin"] for row in found} <= {"log/0", "log/1"}
    rig.check()


def test_they_leave_the_stream_once_archived_and_old_and_everybody_still_knows_of_them(
    rig: Rig, poison: pytest.MonkeyPatch
) -> None:
    feed(rig, 4)
    own = archiver(rig)
    own.round()
    assert in_streams(rig) == 4
    poison.setattr(trim, "INTENTS_KEPT_MS", -1_000)
    own.round()
    assert in_streams(rig) <= P  # the last archived entry of each stays
    before = read_dead(rig.settings, rig.store, P)
    assert sum(map(len, before.values())) == 4
    report = check_law(rig.store, rig.store.meta(), rig.settings, FEATURES)
    assert (report.differences, report.dead, report.events) == (0, 4, 40)
    rig.store.client.flushall()  # the store is lost
    lost = make_rig_again(rig)
    assert rebuild(lost.store, lost.meta, lost.settings, FEATURES).dead == 0
    assert read_dead(lost.settings, lost.store, P) == before
    assert check_law(lost.store, lost.store.meta(), lost.settings, FEATURES).differences == 0


def make_rig_again(rig: Rig) -> Rig:
    rig.store.create_meta(P, rig.meta.tile_ms)
    return rig


def test_a_retry_sends_each_once_as_a_new_entry_which_counts_like_any_other(
    rig: Rig, poison: pytest.MonkeyPatch
) -> None:
    feed(rig, 3)
    archiver(rig).round()
    assert retry.retry_dead(rig.settings, Chosen(reason="OSError")).counts == {}
    poison.undo()  # the workers were mended

    def die(*arguments: Any) -> None:
        list(arguments[1])
        raise KeyboardInterrupt

    with poison.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(retry, "settle", die)
        retry.retry_dead(rig.settings, Chosen())
    assert retry.retry_dead(rig.settings, Chosen()).counts == {"offered": 3, "duplicates": 3}
    assert retry.retry_dead(rig.settings, Chosen()).counts == {}
    assert {row["became"] for row in rows(rig)} == {"bad0", "bad1", "bad2"}
    worker = rig.drain()
    assert worker.metrics.tally["events"] == 3
    archiver(rig).round()
    report = check_law(rig.store, rig.store.meta(), rig.settings, FEATURES)
    assert (report.differences, report.dead, report.events) == (0, 3, 43)


def test_what_cannot_be_folded_still_is_given_up_again_at_its_new_place(rig: Rig, poison: pytest.MonkeyPatch) -> None:
    feed(rig, 1)
    archiver(rig).round()
    assert retry.retry_dead(rig.settings, Chosen()).counts == {"offered": 1, "sent": 1}
    rig.drain()
    archiver(rig).round()
    assert [row["became"] for row in rows(rig)] == ["bad0", None]
    assert len(list(open_rows(rig.settings, name=tables.DEAD))) == 1


def test_the_log_says_how_far_workers_were_and_its_watermark_is_not_ahead_of_them(rig: Rig) -> None:
    rig.feed_now(events_of(9, 60))
    rig.drain()
    own = archiver(rig)
    own.round()
    behind = dict(enumerate(rig.store.positions(range(P))))
    rig.feed_now(events_of(9, 60, start=60))
    own.round()
    table = DeltaTable(rig.settings.table(tables.LOG))
    versions = {p: ids.to_version(at) for p, at in behind.items()}
    assert passed_of(table) == versions
    assert watermark_ms(table) == min(versions.values()) >> 20


def test_the_command_shows_writes_out_and_retries(
    rig: Rig, poison: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    poison.setattr(cli, "load_commands", lambda: {"dead": dead_command.COMMAND})
    poison.setattr(cli, "load_settings", lambda: rig.settings)
    assert cli.main(["dead", "show"]) == 0
    assert capsys.readouterr().out == "Nothing was given up.\n"
    feed(rig, 2)
    archiver(rig).round()
    assert cli.main(["dead", "show"]) == 0
    said = capsys.readouterr().out
    assert "Entries given up: 2" in said
    assert "ValueError   log/" in said
    assert events_of(5, 1)[0].user not in said
    path = tmp_path / "entries.jsonl"
    assert cli.main(["dead", "show", "--out", str(path)]) == 0
    mended = path.read_text().replace("poison", "lamp")
    path.write_text(mended)
    assert cli.main(["dead", "retry", str(path), "--json"]) == 0
    rig.drain()
    assert in_streams(rig) == 2
    assert sum(b'"lamp"' in data for data in sent(rig)) == 2
    assert cli.main(["dead", "retry", "--limit", "1"]) == 2
    assert cli.main(["dead", "show", str(path)]) == 2


def sent(rig: Rig) -> list[bytes]:
    return [one[2] for p in range(P) for one in rig.store.read({p: b"0-0"}, 1_000).get(p, [])]
