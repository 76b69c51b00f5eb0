"""Profiles on real Delta tables: a build that goes on from the last one gives what a full build gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from lambent import keys
from lambent.errors import DataError
from lambent.events import Event
from lambent.features import FeatureSet
from lambent.law import differs
from lambent.settings import Settings
from lambent.tables import EVENTS, NEWEST_PROFILES, PROFILES
from spark_jobs import compact, ingest, profiles
from spark_jobs.builds import Built
from spark_jobs.commits import need_table
from tests.aging import age
from tests.batch_rows import Log, as_files, built_profiles, oracle_profiles, stacked
from tests.spark import settings, spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.spark]
__all__ = ["settings", "spark"]

START_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def some_events(hours: range, users: range) -> Log:
    """One event of each user an hour, known when it happened."""
    return [
        (Event(user=f"u{user}", type="view", event_ms=START_MS + hour * HOUR_MS + user,
               id=f"{hour}-{user}", product=f"p{user % 7}", price=3.5), START_MS + hour * HOUR_MS + user)
        for hour in hours
        for user in users
    ]  # fmt: skip


def add_file(settings: Settings, name: str, log: Log) -> Log:
    """Ingest the events as a file; returns them as the door lets them in."""
    path = settings.root / f"{name}.jsonl"
    path.write_bytes(b"\n".join(msgspec.json.encode(event) for event, _ in log))
    ingest.ingest_files(settings, [path], "lambent")
    known_as = {event.user: keys.pseudonym(event.user, settings.user_key_bytes()) for event, _ in log}
    return [(msgspec.structs.replace(event, user=known_as[event.user]), ms) for event, ms in log]


def assert_is_built(settings: Settings, log: Log) -> None:
    """The table holds each user's profile by the definition."""
    features = FeatureSet(settings.load_taxonomy())
    users, found = built_profiles(features, settings.table(PROFILES))
    expected = oracle_profiles(features, as_files(log))
    assert users == sorted(expected)
    wrong = differs(features.profile, found, stacked(features, expected, users), stored=False)
    assert not any(rows.any() for rows in wrong.values())


def test_later_earlier_and_first_events_of_users_are_folded_on_and_anew_and_then_there_is_nothing_to_do(
    spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "SUPERSEDED_SHARE", 1)
    log = add_file(settings, "first", some_events(range(10, 13), range(20)))
    assert profiles.build(settings).counts == {}
    log += add_file(settings, "more", some_events(range(20, 22), range(10, 25)) + some_events(range(3), range(2)))

    report = profiles.build(settings)

    assert (report.rows, report.counts) == (25, {"users_touched": 17, "users_anew": 2, "users_new": 5})
    assert_is_built(settings, log)
    table = need_table(settings.table(PROFILES), "").to_pyarrow_dataset().to_table(["events_version"])
    versions = table.column("events_version").to_pylist()
    assert (len(versions), versions.count(report.facts["events_version"])) == (20 + 17, 17)
    spark.read.format("delta").load(settings.table(PROFILES)).createOrReplaceTempView("profiles")
    found = {row["user"]: row["events_version"] for row in spark.sql(NEWEST_PROFILES).collect()}
    assert (len(found), list(found.values()).count(report.facts["events_version"])) == (25, 17)
    assert profiles.build(settings).facts == report.facts


def stamps(settings: Settings) -> dict[str, int]:
    """The version of ``events`` at which each row says that it changed."""
    rows = need_table(settings.table(PROFILES), "").to_pyarrow_dataset().to_table(["user", "events_version"])
    users, versions = (column.to_pylist() for column in rows.columns)
    assert len(set(users)) == len(users)
    return dict(zip(users, versions, strict=True))


def test_where_many_rows_are_superseded_or_many_builds_were_appended_one_row_a_user_is_left_as_it_was(
    spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built() -> Built:
        found = Built.find(need_table(settings.table(PROFILES), ""))
        assert found
        return found

    log = add_file(settings, "first", some_events(range(1), range(9)))
    profiles.build(settings)
    log += add_file(settings, "few", some_events(range(1, 2), range(2)))
    profiles.build(settings)
    assert (built().superseded, built().version) == (2, 1)
    log += add_file(settings, "third", some_events(range(2, 3), range(1, 3)))
    assert profiles.build(settings).rows == 9
    assert (built().superseded, built().whole, built().base) == (0, built().snapshot, 2)
    assert sorted(stamps(settings).values()) == [1] * 6 + [2] + [3] * 2
    assert_is_built(settings, log)

    monkeypatch.setattr(compact, "APPENDS", 1)
    log += add_file(settings, "single", some_events(range(3, 4), range(8, 9)))
    profiles.build(settings)
    assert (built().superseded, built().whole) == (0, built().snapshot)
    assert_is_built(settings, log)


def test_a_build_that_another_one_has_overtaken_says_so_and_adds_nothing(
    spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = add_file(settings, "first", some_events(range(1), range(9)))
    profiles.build(settings)
    log += add_file(settings, "more", some_events(range(1, 2), range(1)))
    found = profiles.find_touched

    def overtaken(*given: Any) -> Any:
        monkeypatch.undo()
        profiles.build(settings)
        return found(*given)

    monkeypatch.setattr(profiles, "find_touched", overtaken)
    with pytest.raises(DataError, match=r"Another job has written to .*profiles in the meantime"):
        profiles.build(settings)
    assert need_table(settings.table(PROFILES), "").count() == 10
    assert_is_built(settings, log)


def test_a_build_goes_on_from_one_of_many_weeks_ago(settings: Settings, spark: SparkSession) -> None:
    log = add_file(settings, "first", some_events(range(3), range(5)))
    profiles.build(settings)
    for name in (EVENTS, PROFILES):
        age(settings.table(name), 40)
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # which remembers the commits' times
    log += add_file(settings, "later", some_events(range(5, 6), range(2)))
    assert profiles.build(settings).counts == {"users_touched": 2, "users_anew": 0, "users_new": 0}
    assert_is_built(settings, log)


def test_where_the_last_builds_events_are_vacuumed_the_build_is_full(settings: Settings, spark: SparkSession) -> None:
    log = add_file(settings, "first", some_events(range(3), range(5)))
    profiles.build(settings)
    log += add_file(settings, "later", some_events(range(5, 6), range(5)))
    spark.sql(f"OPTIMIZE delta.`{settings.table('events')}`")
    kept = need_table(settings.table("events"), "").file_uris()
    for path in {str(path) for path in Path(settings.table("events")).glob("*.parquet")}.difference(kept):
        Path(path).unlink()  # what VACUUM does, which takes Spark minutes here

    report = profiles.build(settings)

    assert (report.counts, report.rows) == ({}, 5)
    assert_is_built(settings, log)
