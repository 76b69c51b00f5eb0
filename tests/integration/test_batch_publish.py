"""Publish on a real Valkey: what is read back is the table ``profiles``, and the floor is the oldest rollback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from lambent import keys
from lambent.errors import DataError, StoreError
from lambent.events import Event
from lambent.features import FeatureSet
from lambent.law import differs
from lambent.records import decode_profiles
from lambent.settings import Settings
from lambent.tables import EVENTS, PROFILES
from lambent.tables import USERS as USERS_TABLE
from spark_jobs import profiles, publish, run
from spark_jobs.commits import append
from spark_jobs.ingest import first_copies
from spark_jobs.snapshot import Snapshot
from tests.batch_rows import built_profiles, rows_of
from tests.spark import overwrite
from tests.told import users_table
from tests.valkey import Valkey, free_port, server, valkey

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.spark]
__all__ = ["server", "valkey"]

START_MS = 1_700_000_000_000
USERS = [keys.pseudonym(f"u{n}", b"k") for n in range(40)]


@pytest.fixture
def shop(spark: SparkSession, settings: Settings, valkey: Valkey) -> Settings:
    """Forty users' events: each has two from a file and a live one every second."""
    old = [Event(user=u, type="view", event_ms=START_MS + n, id=f"f{n}-{u}", product=u) for u in USERS for n in (1, 2)]
    new = [Event(user=u, type="cart", event_ms=START_MS, id=f"l{n}-{u}") for u in USERS[:5] for n in range(9)]
    live = [(event, START_MS + 1_000 * int(event.id[1])) for event in new]
    rows = spark.createDataFrame(rows_of([(event, event.event_ms) for event in old], live))
    append(first_copies(rows, None), settings.table(EVENTS), {"watermark_ms": START_MS + 9_000})
    return settings.model_copy(update={"store_url": SecretStr(valkey.url)})


def test_what_is_published_is_the_table_with_its_cutoff(shop: Settings, valkey: Valkey) -> None:
    profiles.build(shop, Snapshot(0, START_MS + 5_000))
    report = publish.publish(shop)
    features = FeatureSet(shop.load_taxonomy())
    users, table = built_profiles(features, shop.table(PROFILES))
    assert users == sorted(USERS)
    values = valkey.client.mget(keys.profile(keys.partition(user, 4), user) for user in users)
    found, cutoffs_ms = decode_profiles(features, values)
    assert set(cutoffs_ms) == {START_MS + 5_000}
    assert not any(rows.any() for rows in differs(features.profile, found, table, stored=True).values())
    assert found["count"][:, 0].sum() == 2 * len(USERS) + 5 * 5
    assert report.rows == len(valkey.client.keys("profile:*")) == len(USERS)


def test_after_a_build_that_went_on_only_the_users_of_whom_something_is_new_are_written(
    shop: Settings, valkey: Valkey
) -> None:
    profiles.build(shop, Snapshot(0, START_MS + 2_000))
    publish.publish(shop)
    profiles.build(shop, Snapshot(0, START_MS + 3_000))
    before = {key: valkey.client.get(key) for key in valkey.client.keys("profile:*")}
    report = publish.publish(shop)
    assert (report.rows, report.counts) == (5, {"deleted": 0, "unchanged": 35})
    publish.publish(shop, 0)
    assert {key: valkey.client.get(key) for key in valkey.client.keys("profile:*")} == before


def test_what_is_told_of_users_is_published_though_nothing_happened_and_of_users_who_never_came(
    shop: Settings, spark: SparkSession, valkey: Valkey
) -> None:
    member, features = keys.pseudonym("new", b"k"), FeatureSet(shop.load_taxonomy())

    def told(*genders: str) -> tuple[int, dict[str, int], list[int]]:
        """Who is of which gender, from one second to the next; what a build then counts, a publish writes, and live holds."""
        said = {START_MS + 1_000 * n: {"gender": gender} for n, gender in enumerate(genders)}
        overwrite(users_table(spark, {USERS[0]: said, member: {START_MS: {}}}), shop.table(USERS_TABLE))
        counts, written = profiles.build(shop).counts, publish.publish(shop).rows
        values = [
            valkey.client.get(keys.profile(keys.partition(user, 4), user)) for user in (USERS[0], USERS[1], member)
        ]
        codes = features.profile.block(decode_profiles(features, values)[0], features.facts[1])
        return written, counts, codes[:, 0].tolist()

    assert told("female") == (len(USERS) + 1, {}, [1, 0, 0])
    assert told("female", "male") == (1, {"users_touched": 1, "users_anew": 0, "users_new": 0}, [2, 0, 0])
    assert told("male", "male") == (0, {"users_touched": 0, "users_anew": 0, "users_new": 0}, [2, 0, 0])
    assert int(valkey.client.hget(keys.META, "users_version")) == 2
    profiles.build(shop, Snapshot(0, START_MS + 9_000, 2), full=True)
    assert publish.publish(shop, full=True).rows == 0


def test_the_floor_is_the_oldest_of_the_last_three_cutoffs(shop: Settings, valkey: Valkey) -> None:
    for second, floor in enumerate((0, 0, 0, 1), start=0):
        profiles.build(shop, Snapshot(0, START_MS + 1_000 * second))
        publish.publish(shop)
        meta = valkey.client.hgetall(keys.META)
        assert int(meta[b"cutoff_ms"]) == START_MS + 1_000 * second
        assert int(meta[b"floor_ms"]) == START_MS + 1_000 * floor
    assert json.loads(meta[b"published"]) == [START_MS + 1_000 * n for n in (1, 2, 3)]
    assert (meta[b"partitions"], meta[b"tile_ms"], meta[b"schema"]) == (b"4", b"1000", b"1")


def test_a_store_keeps_its_own_partitions_and_refuses_another_tile_width(shop: Settings, valkey: Valkey) -> None:
    profiles.build(shop, Snapshot(0, START_MS))
    valkey.client.hset(keys.META, mapping={"partitions": 2, "tile_ms": 1_000})
    publish.publish(shop)
    assert valkey.client.exists(keys.profile(keys.partition(USERS[0], 2), USERS[0]))
    valkey.client.hset(keys.META, "tile_ms", 60_000)
    with pytest.raises(StoreError, match="tile_ms"):
        publish.publish(shop)


def test_a_store_that_is_not_there_and_profiles_for_other_features_are_told_in_words(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles.build(shop, Snapshot(0, START_MS))
    nowhere = shop.model_copy(update={"store_url": SecretStr(f"redis://127.0.0.1:{free_port()}/0")})
    with pytest.raises(StoreError, match="cannot be reached"):
        publish.publish(nowhere)
    monkeypatch.setattr(FeatureSet, "hash", "0" * 16)
    with pytest.raises(DataError, match="these are"):
        publish.publish(shop)


def test_without_profiles_publish_says_what_to_run(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lambent batch profiles"):
        publish.publish(settings)


def test_jobs_run_in_order_in_one_application_each_with_a_line_of_json_that_is_kept(
    shop: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAMBENT_ROOT", str(shop.root))
    monkeypatch.setenv("LAMBENT_TILE_MS", "1000")
    monkeypatch.setenv("LAMBENT_STORE_URL", shop.store_url.get_secret_value())
    assert run.main(["profiles", "publish", "training-sessions"]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kept = [json.loads(line) for line in (shop.root / "reports" / "jobs.jsonl").read_text().splitlines()]
    assert [one["job"] for one in told] == ["profiles", "publish", "training_sessions"]
    assert [{name: value for name, value in one.items() if name != "time_ms"} for one in kept] == told
    assert {one["cutoff_ms"] for one in told} == {START_MS + 9_000}


def test_a_job_that_fails_says_why_in_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAMBENT_ROOT", str(settings.root))
    assert run.main(["publish"]) == 1
    assert capsys.readouterr().err.startswith("lambent: There is no table")
