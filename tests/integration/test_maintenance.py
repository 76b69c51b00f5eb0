"""Maintenance: what the tables say stays the same, what somebody can still ask for stays readable, the rest goes."""

from __future__ import annotations

import datetime
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from lambent.errors import FencedError
from lambent.settings import Settings
from lambent.tables import EVENT_COLUMNS, EVENTS, LOG, PROFILES, TRAINING_SESSIONS, USERS
from realtime.archive import LOG as LOG_KIND
from realtime.archive import Archive, log_rows
from spark_jobs import ingest, maintenance
from spark_jobs.builds import Built, lineage
from spark_jobs.commits import append, create_clustered, last_metadata, need_table
from spark_jobs.log import partitions_of, watermark_ms
from spark_jobs.needed import needed_versions
from spark_jobs.snapshot import Snapshot
from tests.aging import DAY_MS, age, data_files
from tests.profile_tables import Table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.integration

START_MS = 1_700_000_000_000
PARTITIONS = 2


def read(settings: Settings, name: str, version: int | None = None) -> list[Any]:
    table = need_table(settings.table(name), "", version).to_pyarrow_dataset().to_table()
    return sorted(table.to_pylist(), key=str)


# --- the archiver's tables ---------------------------------------------------------------------------------------------


def entries(ms: int) -> dict[int, list[tuple[bytes, bytes, bytes]]]:
    """One entry a partition."""
    return {p: [(b"%d-%d" % (ms, p), b"e", b"{}")] for p in range(PARTITIONS)}


def archive(own: Archive, ms: int) -> None:
    """As the archiver does: fenced off, it looks where the table ends, and goes on from there."""
    found = entries(ms)
    ends = {p: one[-1][0] for p, one in found.items()}
    while own.positions != ends:
        try:
            own.append(log_rows(found, own.schema), ends)
        except FencedError:
            own.reopen()


def test_days_that_are_over_are_compacted_beside_the_archiver_and_every_entry_is_there_once(settings: Settings) -> None:
    path, own = settings.table(LOG), Archive(settings.table(LOG), *LOG_KIND[:2], PARTITIONS)
    times = [START_MS + day * DAY_MS + n for day in range(2) for n in range(20)]
    for ms in times:
        archive(own, ms)
    running, done = threading.Event(), threading.Event()

    def go_on() -> None:
        while not done.wait(0.02):
            times.append(times[-1] + 1)
            archive(own, times[-1])
            if len(times) > 45:
                running.set()

    with ThreadPoolExecutor() as pool:
        archiver = pool.submit(go_on)
        running.wait(60)
        compacted = [maintenance.maintain(settings).counts["log_compacted"] for _ in range(2)]
        done.set()
        archiver.result()
    compacted.append(maintenance.maintain(settings).counts["log_compacted"])

    table = need_table(path, "")
    operations = [commit["operation"] for commit in table.history()]
    assert operations.index("WRITE") < len(operations) - 1 - operations[::-1].index("OPTIMIZE")
    assert min(compacted[:2]) > 1
    assert len(table.file_uris()) == 2  # one a day
    found = sorted((row["ingest_ms"], row["partition"]) for row in read(settings, LOG))
    assert found == [(ms, p) for ms in times for p in range(PARTITIONS)]
    assert (watermark_ms(table), partitions_of(table)) == (times[-1], PARTITIONS)
    assert Archive(path, *LOG_KIND[:2], PARTITIONS).positions == own.positions


def test_today_is_left_to_the_archiver(settings: Settings) -> None:
    own = Archive(settings.table(LOG), *LOG_KIND[:2], PARTITIONS)
    now_ms = int(datetime.datetime.now(datetime.UTC).timestamp() * 1_000)
    for n in range(3):
        archive(own, now_ms + n)
    assert "log_compacted" not in {name for name, count in maintenance.maintain(settings).counts.items() if count}


# --- what is needed ----------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Six builds of profiles, the oldest with a snapshot of its own each, the newest two of the same."""
    made = Table(tmp_path, "redis://127.0.0.1:1/0")
    for n, snapshot in enumerate([1, 2, 3, 4, 5, 5]):
        made.build(Snapshot(snapshot, snapshot * 1_000, snapshot - 1), [f"user-{n}"], full=True)
    age(made.settings.table(PROFILES), 40)
    return made


def test_the_builds_that_a_rollback_can_reach_stay_and_older_ones_go(table: Table) -> None:
    path = table.settings.table(PROFILES)
    before = [read(table.settings, PROFILES, version) for version in range(6)]
    report = maintenance.maintain(table.settings)
    assert report.facts["profiles_needed"] == [2, 3, 5]
    needed = needed_versions(table.settings)
    assert (needed[EVENTS], needed[USERS]) == ({3, 4, 5}, {2, 3, 4})
    assert report.counts["profiles_deleted"] == 3
    assert len(data_files(path)) == 3
    for version in (2, 3, 5):
        assert read(table.settings, PROFILES, version) == before[version]
    with pytest.raises(FileNotFoundError):
        read(table.settings, PROFILES, 1)
    # A build of these rows, and where it came from, is known as before.
    newest = need_table(path, "")
    assert Built.find(newest).snapshot == Snapshot(5, 5_000, 4)  # type: ignore[union-attr]
    assert [one.version for one in lineage(newest)] == [5]
    assert maintenance.maintain(table.settings).counts.get("profiles_deleted", 0) == 0


def test_what_is_younger_than_the_retention_stays(table: Table) -> None:
    settings = table.settings.model_copy(update={"retention_days": 41})
    assert "profiles_deleted" not in maintenance.maintain(settings).counts
    assert len(data_files(settings.table(PROFILES))) == 6
    # Delta's own clean-ups go by it too.
    assert need_table(settings.table(PROFILES), "").metadata().configuration == {
        "delta.deletedFileRetentionDuration": "interval 41 days", "delta.logRetentionDuration": "interval 60 days",
    }  # fmt: skip


def test_the_rows_of_every_model_that_is_there_stay_and_so_does_their_part_of_the_log(settings: Settings) -> None:
    path = settings.table(TRAINING_SESSIONS)
    for n in range(5):
        said = CommitProperties(custom_metadata={"userMetadata": json.dumps({"events_version": n, "cutoff_ms": 0})})
        write_deltalake(path, pa.table({"n": [n]}), mode="overwrite", commit_properties=said)
    age(path, 50)
    for model, version in (("1", 1), ("staging", 3), (".1.99.new", 2)):
        (folder := settings.artifacts_root / model).mkdir(parents=True)
        (folder / "model.json").write_text(
            json.dumps({"version": model == "1", "data": {"training_sessions_version": version}})
        )
    report = maintenance.maintain(settings)
    maintenance.maintain(settings)
    assert report.facts["training_sessions_needed"] == [1, 3]
    assert [read(settings, TRAINING_SESSIONS, version) for version in (1, 3, 4)] == [[{"n": n}] for n in (1, 3, 4)]
    assert len(data_files(path)) == 3
    assert last_metadata(need_table(path, "")) == {"events_version": 4, "cutoff_ms": 0}


def test_what_a_table_says_of_itself_outlives_the_commits_that_said_it(table: Table) -> None:
    path = table.settings.table(PROFILES)
    said = last_metadata(need_table(path, ""))
    maintenance.maintain(table.settings)
    for log in sorted(Path(path).glob("_delta_log/*.json"))[:-1]:
        log.unlink()  # what the clean-up of a log does, once a checkpoint is after them
    assert last_metadata(need_table(path, "")) == said


# --- events ------------------------------------------------------------------------------------------------------------


def files_with(settings: Settings, column: str, low: Any, high: Any) -> int:
    """How many files of ``events`` a query of such rows has to read."""
    found = pa.table(DeltaTable(settings.table(EVENTS)).get_add_actions(flatten=True))
    lows, highs = (found.column(f"{end}.{column}").to_pylist() for end in ("min", "max"))
    return sum(first <= high and last >= low for first, last in zip(lows, highs, strict=True))


@pytest.mark.spark
@pytest.mark.long
def test_events_are_clustered_by_user_and_day_and_nothing_that_reads_them_sees_a_difference(
    spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, days, rows = settings.table(EVENTS), 4, 5_000
    create_clustered(spark, path, EVENT_COLUMNS, ["user"])  # as it was made once
    for day in range(days):
        values = {
            "event_id": f"concat('{day}-', id)",
            "user": "substr(md5(CAST(id % 500 AS STRING)), 1, 22)",
            "type": "'view'",
            "event_ms": f"{START_MS + day * DAY_MS}L + id * 17000",
            "ingest_ms": f"{START_MS + day * DAY_MS}L + id * 17000",
            "source": "0Y",
            "seq": "0L",
        }
        columns = [f"CAST({values.get(name, 'NULL')} AS {kind}) AS {name}" for name, kind in sql_types().items()]
        append(spark.range(rows).selectExpr(*columns), path, {"watermark_ms": day, "log_version": day},
               (ingest.WRITER, day + 1))  # fmt: skip
    before, settings = read(settings, EVENTS), settings.model_copy(update={"retention_days": 1})
    user = before[0]["user"]
    monkeypatch.setattr(maintenance, "FILE_BYTES", 16_000)
    monkeypatch.setattr(maintenance, "needed_versions", lambda _: {EVENTS: {days}})

    report = maintenance.maintain(settings)

    files = need_table(path, "").file_uris()
    assert (report.counts["events_written"], len(files) > 12) == (len(files), True)
    assert files_with(settings, "user", user, user) <= len(files) / 2
    assert files_with(settings, "ingest_ms", START_MS + DAY_MS, START_MS + 2 * DAY_MS - 1) <= len(files) * 2 / 3
    assert read(settings, EVENTS) == before
    assert last_metadata(need_table(path, "")) == {"watermark_ms": 3, "log_version": 3}

    grow_older(spark, path)
    assert maintenance.maintain(settings).counts == {"events_compacted": 0, "events_written": 0}
    assert read(settings, EVENTS, days) == before  # somebody needs it
    grow_older(spark, path)
    monkeypatch.setattr(maintenance, "needed_versions", lambda _: {})
    old = need_table(path, "", days).file_uris()
    assert maintenance.maintain(settings).counts["events_deleted"] == len(old)
    assert data_files(path) == {Path(file).name for file in need_table(path, "").file_uris()}
    assert read(settings, EVENTS) == before


def grow_older(spark: SparkSession, path: str) -> None:
    age(path, 3)
    spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


def sql_types() -> dict[str, str]:
    from spark_jobs.commits import SQL_TYPES

    return {name: SQL_TYPES[kind] for name, kind in EVENT_COLUMNS.items()}
