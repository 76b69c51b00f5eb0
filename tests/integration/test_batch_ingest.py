"""Ingest, exactly once: whatever is read twice, in parts, or after a crash is in the tables once."""

from __future__ import annotations

import datetime
import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, Transaction, write_deltalake

from lambent import keys
from lambent.errors import DataError, MappingError, UsageError
from lambent.events import Event, encode_event
from lambent.mapping import load_mapping
from lambent.settings import Settings
from lambent.tables import DEAD, EVENTS, LOG, LOG_COLUMNS, QUARANTINE
from realtime import ids
from realtime.archive import DEAD as DEAD_ARCHIVE
from realtime.archive import Archive, dead_rows
from realtime.commit import Dead
from spark_jobs import ingest
from spark_jobs.commits import last_metadata, need_table, open_table
from spark_jobs.files import read_files
from spark_jobs.log import find_new
from spark_jobs.rows import arrow_types
from spark_jobs.snapshot import choose

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.spark]

START_MS = 1_700_000_000_000
PARTITIONS = 4


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def line(n: int, **fields: Any) -> str:
    return json.dumps(
        {"user": f"u{n % 7}", "type": "view", "event_ms": START_MS + n * 1_000, "product": f"p{n}"} | fields
    )


def read(settings: Settings, table: str) -> list[dict[str, Any]]:
    found = open_table(settings.table(table))
    return found.to_pyarrow_dataset().to_table().to_pylist() if found else []


def event_ids(settings: Settings) -> Counter[str]:
    return Counter(row["event_id"] for row in read(settings, EVENTS))


# --- files -------------------------------------------------------------------------------------------------------------


def test_a_file_ingested_again_or_in_two_parts_gives_the_same_table(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    lines = [line(n) for n in range(50)] + [line(3), "{", line(60, type="nothing")]
    whole = write_lines(tmp_path / "whole.jsonl", lines)
    assert ingest.ingest_files(settings, [whole], "lambent").counts == {
        "read": 51, "rejected_malformed": 1, "rejected_type": 1, "duplicates": 1,
    }  # fmt: skip
    again = ingest.ingest_files(settings, [whole], "lambent")
    assert (again.rows, again.counts["duplicates"]) == (0, 51)
    assert len(read(settings, EVENTS)) == 50
    assert len(read(settings, QUARANTINE)) == 2

    parted = settings.model_copy(update={"tables": str(tmp_path / "parted")})
    parts = [write_lines(tmp_path / f"{n}.jsonl", lines[cut]) for n, cut in enumerate((slice(0, 31), slice(31, None)))]
    for part in parts:
        ingest.ingest_files(parted, [part], "lambent")
    assert sorted(read(parted, EVENTS), key=str) == sorted(read(settings, EVENTS), key=str)


def test_a_rejected_line_is_found_again_by_its_file_and_number_and_no_raw_user_is_kept(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "bad.jsonl", [line(1), line(2, price="dear"), line(3, event_ms=5)])
    ingest.ingest_files(settings, [path], "lambent")
    found = {(row["origin"], row["line"], row["seq"], row["reason"], row["raw"]) for row in read(settings, QUARANTINE)}
    assert found == {(str(path), 2, 0, "price", None), (str(path), 3, 0, "time", None)}


def test_only_what_happened_before_a_time_is_ingested_if_so_asked(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "log.jsonl", [line(n) for n in range(20)])
    assert ingest.ingest_files(settings, [path], "lambent", before_ms=START_MS + 5_000).rows == 5
    assert ingest.ingest_files(settings, [path], "lambent").rows == 15
    rows = read(settings, EVENTS)
    assert all((row["source"], row["ingest_ms"], row["seq"]) == (0, row["event_ms"], 0) for row in rows)


def test_a_missing_file_and_a_wrong_mapping_are_told_before_spark_starts(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        ingest.ingest_files(settings, [tmp_path / "none.csv"], "rees46")
    with pytest.raises(MappingError):
        ingest.ingest_files(settings, [write_lines(tmp_path / "a.csv", ["a,b", "1,2"])], "rees46")


def test_a_file_that_is_damaged_further_on_adds_nothing_and_is_named(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    whole = gzip.compress(
        "\n".join(line(n, query=hashlib.sha256(bytes([n % 256])).hexdigest()) for n in range(20_000)).encode()
    )
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut.jsonl.gz: its gzip data cannot be read"):
        ingest.ingest_files(settings, [path], "lambent")
    assert not read(settings, EVENTS)


# --- the log -----------------------------------------------------------------------------------------------------------


def entry(n: int, ms: int, kind: str = "e", data: bytes | None = None) -> dict[str, Any]:
    event = Event(user=keys.pseudonym(f"u{n % 9}", b"k"), type="view", event_ms=START_MS + n, id=f"e{n}")
    day = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).date()
    partition = keys.partition(event.user, PARTITIONS)
    return {
        "partition": partition, "ingest_ms": ms, "seq": n, "day": day, "kind": kind, "bytes": data or encode_event(event)
    }  # fmt: skip


def archive(
    settings: Settings, entries: list[dict[str, Any]], archived_ms: int, passed: tuple[int, int] | None = None
) -> None:
    """One commit of an archiver: the entries, how far each partition is archived, and which id the workers have passed."""
    schema = pa.schema(list(arrow_types(LOG_COLUMNS).items()))
    transactions = [Transaction(f"lambent-archiver-{p}", (archived_ms << 20) | 7) for p in range(PARTITIONS)]
    if passed:
        transactions += [Transaction(f"lambent-worker-{p}", passed[0] << 20 | passed[1]) for p in range(PARTITIONS)]
    write_deltalake(
        settings.table(LOG), pa.Table.from_pylist(entries, schema), mode="append", partition_by=["day"],
        description=json.dumps({"partitions": PARTITIONS}),
        commit_properties=CommitProperties(app_transactions=transactions),
    )  # fmt: skip


def test_the_log_is_consumed_once_and_carries_the_watermark(spark: SparkSession, settings: Settings) -> None:
    first_ms = START_MS + 10_000
    archive(settings, [entry(n, first_ms + n) for n in range(20)] + [entry(3, first_ms + 500)], first_ms + 1_999)
    archive(settings, [entry(90, first_ms, "m", b"-"), entry(91, first_ms, "c", b"-"), entry(92, first_ms, "e", b"{")],
            first_ms + 2_999)  # fmt: skip
    report = ingest.ingest_log(settings)
    assert (report.rows, report.counts) == (20, {"read": 21, "rejected_malformed": 1, "duplicates": 1})
    assert report.facts == {"log_version": 1, "watermark_ms": first_ms + 2_999}
    assert choose(settings).cutoff_ms == (first_ms + 2_999) // 1_000 * 1_000
    with pytest.raises(UsageError, match="watermark"):
        choose(settings, cutoff_ms=choose(settings).cutoff_ms + 1_000)

    version = need_table(settings.table(EVENTS), "").version()
    assert ingest.ingest_log(settings).rows == 0
    assert need_table(settings.table(EVENTS), "").version() == version  # nothing new, nothing written

    archive(settings, [entry(n, first_ms + 3_000 + n) for n in range(15, 25)], first_ms + 3_999)
    assert ingest.ingest_log(settings).rows == 5
    assert set(event_ids(settings).values()) == {1}
    assert {row["event_id"]: row["ingest_ms"] for row in read(settings, EVENTS)}["e3"] == first_ms + 3  # the first copy


def test_what_no_worker_has_passed_waits_and_what_one_gave_up_is_left_out(
    spark: SparkSession, settings: Settings
) -> None:
    first_ms = START_MS + 10_000
    archive(settings, [entry(n, first_ms + n) for n in range(10)], first_ms + 999, (first_ms + 3, 3))
    report = ingest.ingest_log(settings)
    assert (report.rows, report.facts["watermark_ms"]) == (4, first_ms + 3)
    archive(settings, [entry(n, first_ms + 1_000 + n) for n in range(10, 20)], first_ms + 1_999, (first_ms + 5, 5))
    give_up(settings, entry(4, first_ms + 4))  # it was archived already, and not ingested: no worker had passed it
    give_up(settings, entry(12, first_ms + 1_012))
    assert ingest.ingest_log(settings).rows == 1
    archive(settings, [entry(20, first_ms + 2_000)], first_ms + 2_999, (first_ms + 2_999, 7))
    report = ingest.ingest_log(settings)
    assert (report.rows, report.facts["watermark_ms"]) == (14, first_ms + 2_999)
    assert set(event_ids(settings)) == {f"e{n}" for n in range(21) if n not in (4, 12)}
    assert set(event_ids(settings).values()) == {1}
    archive(settings, [entry(4, first_ms + 3_000)], first_ms + 3_999, (first_ms + 3_999, 7))  # it was retried
    assert ingest.ingest_log(settings).rows == 1


def give_up(settings: Settings, one: dict[str, Any]) -> None:
    """What the archiver makes of a dead letter."""
    own, at = Archive(settings.table(DEAD), *DEAD_ARCHIVE[:2], PARTITIONS), (one["ingest_ms"] + 1) << 20
    dead = {
        one["partition"]: [
            (ids.from_version(at), Dead(ids.form(one["ingest_ms"], one["seq"]), "ValueError: x", one["bytes"]))
        ]
    }
    own.append(dead_rows(dead, own.schema), {one["partition"]: ids.from_version(at)})


def test_a_file_leaves_the_watermark_as_it_was(spark: SparkSession, settings: Settings, tmp_path: Path) -> None:
    archive(settings, [entry(1, START_MS)], START_MS + 5)
    ingest.ingest_log(settings)
    ingest.ingest_files(settings, [write_lines(tmp_path / "a.jsonl", [line(1)])], "lambent")
    said = last_metadata(open_table(settings.table(EVENTS)))
    assert (said["log_version"], said["watermark_ms"]) == (0, START_MS + 5)


def test_an_event_on_another_users_partition_is_quarantined(spark: SparkSession, settings: Settings) -> None:
    astray = entry(1, START_MS)
    archive(settings, [astray | {"partition": (astray["partition"] + 1) % PARTITIONS}], START_MS)
    assert ingest.ingest_log(settings).counts["rejected_partition"] == 1


def test_a_run_that_stops_between_quarantine_and_events_is_repeated_without_doubles(
    spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(settings, [entry(n, START_MS + n) for n in range(5)] + [entry(9, START_MS, "e", b"[]")], START_MS + 9)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ingest, "write_events", stop)
        ingest.ingest_log(settings)
    assert (len(read(settings, QUARANTINE)), len(read(settings, EVENTS))) == (1, 0)
    assert ingest.ingest_log(settings).rows == 5
    assert len(read(settings, QUARANTINE)) == 1


def test_of_two_ingests_at_once_one_writes_nothing_and_says_so(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    paths = [write_lines(tmp_path / f"{n}.jsonl", [line(n)]) for n in range(3)]
    ingest.ingest_files(settings, paths[:1], "lambent")
    behind = ingest.Target.find(settings)
    ingest.ingest_files(settings, paths[1:2], "lambent")
    mapping, taxonomy = load_mapping("lambent"), settings.load_taxonomy()
    late = read_files(spark, paths[1:], mapping, taxonomy, settings.user_key_bytes())
    with pytest.raises(DataError, match="Another ingest"):
        ingest.write_rows(spark, behind, late, {})
    # Nor where a version that is no ingest's lies between what they found.
    behind = ingest.Target.find(settings)
    name = f"delta.`{settings.table(EVENTS)}`"
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('delta.logRetentionDuration' = 'interval 60 days')")
    beside = ingest.Target.find(settings)
    ingest.write_rows(spark, behind, late, {})
    with pytest.raises(DataError, match="Another ingest"):
        ingest.write_rows(spark, beside, late, {})
    assert set(event_ids(settings).values()) == {1}
    assert len(event_ids(settings)) == 3


def test_a_log_that_does_not_say_its_partitions_is_refused(settings: Settings) -> None:
    write_deltalake(settings.table(LOG), pa.table({"partition": pa.array([0], pa.int32())}))
    with pytest.raises(DataError, match="how many partitions"):
        ingest.ingest_log(settings)


def test_without_a_log_there_is_nothing_to_do(settings: Settings) -> None:
    assert ingest.ingest_log(settings).rows == 0


def test_a_log_that_was_ingested_and_is_gone_is_told(settings: Settings) -> None:
    with pytest.raises(DataError, match=r"There is no table .*/log, of which version 7 was ingested\. Restore it"):
        find_new(settings, consumed=7)


def test_events_are_readable_without_a_jvm_and_clustered_by_user_and_time(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "a.jsonl", [line(1, attributes={"colour": "red"}, price=2.5, dwell_ms=7)])
    ingest.ingest_files(settings, [path], "lambent")
    (row,) = read(settings, EVENTS)
    assert (row["attributes"], row["price"], row["dwell_ms"]) == ([("colour", "red")], 2.5, 7)
    detail = spark.sql(f"DESCRIBE DETAIL delta.`{settings.table(EVENTS)}`").first()
    assert detail["clusteringColumns"] == ["user", "ingest_ms"]
