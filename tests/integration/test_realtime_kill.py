"""Real processes, killed with SIGKILL in the midst of their work, on a real Valkey."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.chaos.killing import all_seen, kill_parts, not_void, traffic_under_kills
from tests.chaos.processes import spawn
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


def test_all_parts_killed_at_random_in_the_midst_of_their_work_lose_and_double_nothing(tmp_path: Path) -> None:
    not_void(lambda seed: kill_parts(tmp_path / str(seed), kills=5, seed=seed), seed=7)
