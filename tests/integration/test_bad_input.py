"""The tables of bad input at the doors that need engines: the worker's stream, the archived log, files read by Spark."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lambent import errors, keys
from lambent.events import Event, admit
from lambent.settings import Settings
from lambent.tables import EVENTS, QUARANTINE
from lambent.taxonomy import shop
from realtime import ids
from realtime.archiver import Archiver
from spark_jobs import ingest
from spark_jobs.commits import open_table
from tests.bad_input import cases
from tests.chaos.rig import Rig, make_rig
from tests.valkey import Valkey, server, valkey  # noqa: F401

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.integration
USER = cases.sealed(b"k" * 32)


@pytest.fixture
def rig(valkey: Valkey, settings: Settings) -> Rig:  # noqa: F811
    return make_rig(valkey, settings.root, settings.partitions)


def read(settings: Settings, table: str) -> list[dict[str, Any]]:
    found = open_table(settings.table(table))
    return found.to_pyarrow_table().to_pylist() if found else []


def feed(rig: Rig) -> list[bytes]:
    """All lines as entries of one partition; the healthy ones, and those that look bad and are not, in the rig's log."""
    lines, p = cases.lines(USER), keys.partition(USER, rig.meta.partitions)
    for line, at in zip(lines, rig.store.append((p, b"e", line) for line in lines), strict=True):
        rig.last[p] = at
        if isinstance(event := admit(line, shop()), Event):
            rig.log.append((event, ids.ingest_ms(at)))
    return lines


def test_the_worker_counts_bad_entries_by_reason_and_applies_their_neighbours(rig: Rig) -> None:
    feed(rig)
    rig.store.append([(0, b"event", b"an entry whose field is not e")])
    report = rig.drain().metrics.report()
    assert report["rejected"] == Counter([*filter(None, cases.expected().values()), "kind"])
    assert (report["events"], report["dead"], report["duplicates"]) == (len(rig.log), 0, 0)
    rig.check()


@pytest.mark.spark
def test_the_archived_log_puts_the_same_entries_into_the_quarantine_for_the_same_reasons(
    spark: SparkSession, rig: Rig
) -> None:
    lines, astray = feed(rig), b"an entry whose field is not e"
    rig.store.append([(0, b"event", astray)])
    Archiver(rig.store, rig.meta, rig.settings).round()
    report = ingest.ingest_log(rig.settings)
    assert report.rows == len(rig.log)
    admitted = {row["event_id"] for row in read(rig.settings, EVENTS)}
    assert admitted == {event.id for event, _ in rig.log}
    outcomes: dict[bytes, object] = {row["raw"]: row["reason"] for row in read(rig.settings, QUARANTINE)}
    assert outcomes.pop(astray) == "kind"
    outcomes |= {line: event for line in lines if isinstance(event := admit(line, shop()), Event)}
    assert cases.told(outcomes, lines) == cases.expected()


@pytest.mark.spark
def test_a_file_of_the_same_lines_is_ingested_with_the_same_reasons(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    lines, path = cases.lines(cases.RAW_USER), tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(lines))
    report = ingest.ingest_files(settings, [path], "lambent")
    wanted = Counter(cases.expected("file").values())
    assert report.rows == wanted[""] + len(lines) - len(cases.event_cases())
    found = {row["line"]: row["reason"] for row in read(settings, QUARANTINE)}
    said = {case.name: found.get(2 * n + 2, "") for n, case in enumerate(cases.event_cases())}
    assert said == {name: reason.replace(cases.SKIPPED, "") for name, reason in cases.expected("file").items()}


@pytest.mark.spark
def test_files_with_bad_rows_are_ingested_together_and_each_row_is_accounted_for(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    mapping = str(cases.write_mapping(tmp_path))
    paths = {str(case.write(tmp_path)): case for case in cases.readable_files()}
    report = ingest.ingest_files(settings, [Path(path) for path in paths], mapping)
    assert report.counts["read"] == sum(case.events for case in paths.values())
    found: dict[str, Counter[str]] = {path: Counter() for path in paths}
    for row in read(settings, QUARANTINE):
        found[row["origin"]][row["reason"]] += 1
    assert {paths[path].name: reasons for path, reasons in found.items()} == {
        case.name: case.rejected for case in paths.values()
    }


def test_a_file_that_is_no_log_is_refused_before_spark_starts_and_no_table_is_made(
    settings: Settings, tmp_path: Path
) -> None:
    mapping = str(cases.write_mapping(tmp_path))
    for case in cases.refused_files():
        with pytest.raises(getattr(errors, case.error), match=re.escape(case.words)):
            ingest.ingest_files(settings, [case.write(tmp_path)], mapping)
    assert not Path(settings.tables_root).exists()
