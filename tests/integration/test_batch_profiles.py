"""Profiles on real Delta tables: a build that goes on from the last one gives what a full build gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from lambent import keys
from lambent.features import FeatureSet
from lambent.law import differs
from lambent.settings import Settings
from lambent.tables import PROFILES
from spark_jobs import ingest, profiles
from spark_jobs.commits import open_table
from tests.batch_rows import collected
from tests.spark import settings, spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.spark]
__all__ = ["settings", "spark"]

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def write_log(path: Path, hours: range, users: range) -> Path:
    """A log of one event of each user an hour."""
    lines = [
        {"user": keys.pseudonym(f"u{user}", b"k"), "type": "view", "event_ms": START_MS + hour * HOUR_MS + user,
         "id": f"{hour}-{user}", "product": f"p{user % 7}", "price": 3.5}
        for hour in hours
        for user in users
    ]  # fmt: skip
    path.write_bytes(b"\n".join(msgspec.json.encode(line) for line in lines))
    return path


def assert_is_what_a_full_build_gives(spark: SparkSession, settings: Settings) -> None:
    features = FeatureSet(settings.load_taxonomy())
    table = spark.read.format("delta").load(settings.table(PROFILES)).localCheckpoint()
    users, found = collected(features, table)
    profiles.build(settings, full=True)
    expected_users, expected = collected(features, spark.read.format("delta").load(settings.table(PROFILES)))
    assert users == expected_users
    assert not any(rows.any() for rows in differs(features.profile, found, expected, stored=False).values())


def test_later_earlier_and_first_events_of_users_are_folded_on_and_anew(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    ingest.ingest_files(settings, [write_log(tmp_path / "first.jsonl", range(10, 13), range(20))], "lambent")
    assert profiles.build(settings).counts == {}
    later = write_log(tmp_path / "later.jsonl", range(20, 22), range(10, 25))
    earlier = write_log(tmp_path / "earlier.jsonl", range(3), range(2))
    ingest.ingest_files(settings, [later, earlier], "lambent")

    report = profiles.build(settings)

    assert report.counts == {"users_touched": 17, "users_anew": 2}
    assert report.rows == 25
    rows = spark.read.format("delta").load(settings.table(PROFILES))
    changed = rows.where(f"events_version = {report.facts['events_version']}")
    assert changed.count() == 17
    assert_is_what_a_full_build_gives(spark, settings)


def test_a_build_of_what_is_built_writes_nothing(settings: Settings, spark: SparkSession, tmp_path: Path) -> None:
    ingest.ingest_files(settings, [write_log(tmp_path / "first.jsonl", range(3), range(5))], "lambent")
    first = profiles.build(settings)
    again = profiles.build(settings)
    assert again.facts == first.facts
    table = open_table(settings.table(PROFILES))
    assert table is not None
    assert table.version() == 0


def test_where_the_last_builds_events_are_vacuumed_the_build_is_full(
    settings: Settings, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest.ingest_files(settings, [write_log(tmp_path / "first.jsonl", range(3), range(5))], "lambent")
    profiles.build(settings)
    ingest.ingest_files(settings, [write_log(tmp_path / "later.jsonl", range(5, 6), range(5))], "lambent")
    spark.sql(f"OPTIMIZE delta.`{settings.table('events')}`")
    table = open_table(settings.table("events"))
    assert table is not None
    for path in {str(path) for path in Path(settings.table("events")).glob("*.parquet")}.difference(table.file_uris()):
        Path(path).unlink()  # what VACUUM does, which takes Spark minutes here

    report = profiles.build(settings)

    assert report.counts == {}
    assert report.rows == 5
    assert_is_what_a_full_build_gives(spark, settings)
