"""A full disk under the tables, made by a limit on the size of a process's files, which needs no rights and no disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lambent.errors import UnwritableError
from lambent.settings import Settings
from lambent.tables import EVENTS, INTENTS, LOG
from spark_jobs import ingest
from spark_jobs.commits import open_table
from tests.chaos.outage import archived
from tests.chaos.processes import running
from tests.chaos.rig import Rig, events_of, make_rig, wait_until
from tests.valkey import Valkey, server, valkey  # noqa: F401

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.integration
MOST_BYTES = 4_096


@contextlib.contextmanager
def no_room(pid: int) -> Iterator[None]:
    """A process whose files cannot grow beyond ``MOST_BYTES``; the next one that it writes fails midway."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (MOST_BYTES, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may be what the process died of
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def archived_ids(rig: Rig) -> set[str]:
    return {event.id for event, _ in archived(rig)}


def test_the_archiver_says_that_its_table_has_no_room_lives_and_goes_on_when_there_is(
    valkey: Valkey,  # noqa: F811
    tmp_path: Path,
) -> None:
    rig = make_rig(valkey, tmp_path)
    rig.feed_now(events_of(5, 50))
    rig.drain()
    with running(rig.settings, "archiver", "--interval-ms", "50") as process:
        wait_until(lambda: len(archived_ids(rig)) == 50)
        with no_room(process.pid):
            rig.feed_now(events_of(5, 1_000, start=50))
            rig.drain()
            wait_until(lambda: "event=table-not-writable" in (tmp_path / "archiver.log").read_text())
            assert len(archived_ids(rig)) == 50
        wait_until(lambda: len(archived_ids(rig)) == 1_050)
        assert process.poll() is None
    said = (tmp_path / "archiver.log").read_text()
    either = "|".join(rig.settings.table(name) for name in (LOG, INTENTS))  # whichever is written first
    assert re.search(rf"The table ({either}) cannot be written \(", said)
    assert "File too large" in said and "Make room there" in said and "\x1b" not in said
    assert json.loads((tmp_path / "reports" / "archiver.json").read_text())["failures"] >= 1
    assert sorted(event.id for event, _ in archived(rig)) == sorted(event.id for event, _ in rig.log)
    rig.check()


@pytest.mark.spark
def test_an_ingest_without_room_names_the_table_adds_nothing_and_can_be_run_again(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    def line(n: int) -> str:
        noise = hashlib.sha256(str(n).encode()).hexdigest()
        return json.dumps({"user": noise, "type": "view", "event_ms": 1_700_000_000_000 + n, "query": noise})

    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(line(n) for n in range(2_000)))
    with no_room(spark.sparkContext._gateway.proc.pid), pytest.raises(UnwritableError) as caught:
        ingest.ingest_files(settings, [path], "lambent")
    assert str(caught.value).startswith(f"The table {settings.table(EVENTS)} cannot be written (File too large).")
    assert "run it again: nothing was added" in caught.value.remedy
    assert count(settings) == 0
    assert ingest.ingest_files(settings, [path], "lambent").rows == count(settings) == 2_000


def count(settings: Settings) -> int:
    table = open_table(settings.table(EVENTS))
    return table.to_pyarrow_dataset().count_rows() if table else 0
