"""Real processes, killed with SIGKILL in the midst of their work, on a real Valkey."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from deltalake import DeltaTable

from lambent import tables
from tests.chaos.killing import all_seen, traffic_under_kills
from tests.chaos.processes import running, spawn
from tests.chaos.rig import Rig, events_of, make_rig, wait_until
from tests.valkey import Valkey, server, valkey  # noqa: F401

pytestmark = pytest.mark.integration
WORKER = ["worker", "--lease-ms", "300"]


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path)


def test_a_worker_that_is_killed_again_and_again_leaves_the_oracles_profiles(rig: Rig) -> None:
    traffic_under_kills(rig, WORKER, kills=2, seconds=8, seed=1)
    rig.check()


def test_a_worker_stops_within_two_seconds_and_reports(rig: Rig) -> None:
    rig.feed_now(events_of(5, 40))
    process = spawn(rig.settings, *WORKER)
    wait_until(lambda: all_seen(rig))
    started_s = time.monotonic()
    process.terminate()
    assert process.wait(10) == 0
    assert time.monotonic() - started_s < 2
    report = json.loads((rig.settings.root / "reports" / "worker.json").read_text())
    assert (report["events"], report["duplicates"], report["late"], report["dead"]) == (40, 0, 0, 0)
    assert sum(n for _, n in report["latencies_ms_histogram"]) == 40
    rig.check()


def test_an_archiver_that_is_killed_midway_leaves_every_entry_once(rig: Rig) -> None:
    command, sent = ["archiver", "--interval-ms", "20"], 0
    for _ in range(2):
        process = spawn(rig.settings, *command)
        log = Path(rig.settings.table(tables.LOG)) / "_delta_log"
        before = len(list(log.glob("*.json"))) if log.exists() else 0
        while not log.exists() or len(list(log.glob("*.json"))) < before + 4:
            rig.feed_now(events_of(11, 25, start=sent))
            sent += 25
            time.sleep(0.02)
        process.kill()
        process.wait()
    with running(rig.settings, *command):
        wait_until(lambda: archived(rig) >= len(rig.log), seconds=30)
    found = Counter(one["bytes"] for one in entries(rig))
    assert len(found) == len(rig.log)
    assert set(found.values()) == {1}


def entries(rig: Rig) -> list[dict]:  # type: ignore[type-arg]
    rows = DeltaTable(rig.settings.table(tables.LOG)).to_pyarrow_table().to_pylist()
    return [row for row in rows if row["kind"] == "e"]


def archived(rig: Rig) -> int:
    return len(entries(rig))
