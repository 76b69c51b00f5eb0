"""A rebuild that is killed (SIGKILL) again and again, while a worker, an archiver and visitors go on."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from realtime.law import check_law
from tests.chaos.killing import BATCH, all_seen
from tests.chaos.processes import running, spawn
from tests.chaos.rig import FEATURES, TILE_MS, Rig, events_of, make_rig, wait_until
from tests.valkey import Valkey, server, valkey  # noqa: F401

pytestmark = [pytest.mark.integration, pytest.mark.long]
KILLS = 8


def feed_for(rig: Rig, seconds: float) -> None:
    """Visitors."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        rig.feed_now(events_of(11, BATCH, start=len(rig.log)))
        time.sleep(0.03)


def test_killed_under_live_traffic_and_run_again_it_loses_and_repeats_nothing(valkey: Valkey, tmp_path: Path) -> None:  # noqa: F811
    rig, rng = make_rig(valkey, tmp_path), random.Random(3)
    commands = (["worker", "--lease-ms", "300"], ["archiver", "--interval-ms", "100"])
    with running(rig.settings, *commands[0]) as worker, running(rig.settings, *commands[1]):
        for _ in range(KILLS):
            feed_for(rig, 1)
            rig.publish(rig.log[-1][1] // TILE_MS * TILE_MS)
            rebuild = spawn(rig.settings, "rebuild")
            feed_for(rig, 1 + 2 * rng.random())
            rebuild.kill()
            rebuild.wait()
        rebuild = spawn(rig.settings, "rebuild")
        feed_for(rig, 2)
        assert rebuild.wait(120) == 0, (tmp_path / "rebuild.log").read_text()
        wait_until(lambda: all_seen(rig), seconds=60)
        assert worker.poll() is None
        report = check_law(rig.store, rig.store.meta(), rig.settings, FEATURES, wait_s=30)  # type: ignore[arg-type]
    assert report.differences == 0
    rig.last = dict(enumerate(rig.store.positions(range(rig.meta.partitions))))  # behind the archiver's markers
    rig.check()
