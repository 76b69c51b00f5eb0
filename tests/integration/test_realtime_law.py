"""The law's command on a real store and real tables: it holds, and it finds what was planted."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lambent import keys, tables
from lambent.cli import main
from lambent.errors import StoreError
from lambent.events import Event
from lambent.records import decode_live, decode_profiles, encode_live, encode_profiles
from lambent.tiles import UNCOUNTED
from realtime.archiver import Archiver
from realtime.law import check_law
from tests.chaos.rig import FEATURES, TILE_MS, Rig, events_of, ingest, make_rig
from tests.stores import server, valkey  # noqa: F401
from tests.valkey import Valkey

pytestmark = pytest.mark.integration


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path, partitions=3)


def archive(rig: Rig) -> None:
    Archiver(rig.store, rig.meta, rig.settings, name="archiver").round()


def scene(rig: Rig) -> None:
    """Events from a file, published; live ones with copies, one of them of a file's event."""
    old = [Event(user=f"{n % 3:022d}", type="cart", event_ms=1_700_000_000_000 + n, id=f"f{n}") for n in range(9)]
    ingest(rig.settings, old)
    rig.log = [(event, event.event_ms) for event in old]
    live = events_of(5, 60)
    cutoff_ms = (live[0].event_ms // TILE_MS - 60) * TILE_MS
    rig.publish(cutoff_ms)
    rig.feed_now([*live, *live[10:20]])
    rig.drain()
    archive(rig)


def fresh_meta(rig: Rig):  # type: ignore[no-untyped-def]
    return rig.store.meta()


def test_the_law_holds_over_files_and_live_events(rig: Rig) -> None:
    scene(rig)
    report = check_law(rig.store, fresh_meta(rig), rig.settings, FEATURES)
    assert (report.users, report.events, report.differences) == (5, 69, 0), report
    assert report.crossing == 3
    assert report.cutoffs_ms == tuple(rig.published)


def test_a_planted_difference_is_found_and_named(
    rig: Rig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene(rig)
    user = f"{4:022d}"
    key = keys.live(keys.partition(user, 3), user)
    records = decode_live(FEATURES, [rig.store.call("GET", key)])
    FEATURES.profile.block(records.tiles.profiles[:1], FEATURES.profile.aggregates[0])[:] += 1
    records.tiles.events[:] = UNCOUNTED  # what is stored as its events could not differ from them
    rig.store.call("SET", key, encode_live(FEATURES, records)[0])
    for name, value in (("ROOT", rig.settings.root), ("STORE_URL", rig.url), ("PARTITIONS", 3), ("TILE_MS", TILE_MS)):
        monkeypatch.setenv(f"LAMBENT_{name}", str(value))
    assert main(["law", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["differences"] == 1
    assert (report["examples"][0]["user"], report["examples"][0]["aggregate"]) == (user, "events")
    assert report["examples"][0]["live"][0] == report["examples"][0]["expected"][0] + 1


def test_what_is_told_of_a_user_has_to_be_what_the_table_said_at_the_publish(rig: Rig) -> None:
    scene(rig)
    user = f"{0:022d}"
    key = keys.profile(keys.partition(user, 3), user)
    said = {
        "user": user,
        "gender": "male",
        "age_band": "x",
        "member_since_ms": None,
        "valid_from_ms": 0,
        "valid_to_ms": None,
    }
    write_deltalake(rig.settings.table(tables.USERS), pa.Table.from_pylist([said]))
    rig.store.call("HSET", keys.META, "users_version", 0, "cutoff_ms", rig.published[-1])
    profiles, cutoffs_ms = decode_profiles(FEATURES, [rig.store.call("GET", key)])
    for code, wrong in ((2, []), (1, ["gender"])):
        profiles["fact"] = [len(FEATURES.taxonomy.users.age_band) + 1, code, 0]
        rig.store.call("SET", key, encode_profiles(FEATURES, profiles, cutoffs_ms)[0])
        report = check_law(rig.store, fresh_meta(rig), rig.settings, FEATURES)
        assert [one.aggregate for one in report.examples] == wrong


@pytest.mark.parametrize("who", ["archive", "worker"])
def test_entries_that_somebody_has_not_seen_are_refused_in_words(rig: Rig, who: str) -> None:
    rig.feed_now(events_of(5, 20))
    if who == "worker":
        archive(rig)
    else:
        rig.drain()
    with pytest.raises(StoreError, match=f"entries that the {who} has not seen"):
        check_law(rig.store, rig.meta, rig.settings, FEATURES)


def test_markers_on_their_way_are_no_reason_to_wait(rig: Rig) -> None:
    scene(rig)
    rig.store.append((p, b"m", b"") for p in range(3))
    assert check_law(rig.store, fresh_meta(rig), rig.settings, FEATURES).differences == 0


def test_what_a_worker_gave_up_is_left_out(rig: Rig) -> None:
    scene(rig)
    stray = rig.log[-1][0]
    wrong = (keys.partition(stray.user, 3) + 1) % 3
    data = DeltaTable(rig.settings.table(tables.LOG)).to_pyarrow_table()["bytes"].to_pylist()[0]
    rig.store.append([(wrong, b"e", data.replace(b'"id":"e', b'"id":"x'))])
    rig.drain()
    archive(rig)
    assert check_law(rig.store, fresh_meta(rig), rig.settings, FEATURES).differences == 0
