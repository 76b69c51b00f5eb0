"""A longer run of what ``tests/integration/test_realtime_kill.py`` does in short: more kills, and the store dies too."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.chaos.killing import all_seen, traffic_under_kills
from tests.chaos.outage import DURABLE, all_parts, check_nothing_lost_or_doubled, flowing, frozen, wait_until_settled
from tests.chaos.processes import running
from tests.chaos.rig import Rig, events_of, make_rig, wait_until
from tests.valkey import Valkey, free_port, server, start_valkey, valkey  # noqa: F401

pytestmark = [pytest.mark.integration, pytest.mark.long]
GONE_S = 10


@pytest.mark.parametrize("seed", range(3))
def test_a_worker_that_is_killed_ten_times_leaves_the_oracles_profiles(
    valkey: Valkey,  # noqa: F811
    tmp_path: Path,
    seed: int,
) -> None:
    rig = make_rig(valkey, tmp_path)
    traffic_under_kills(rig, ["worker", "--lease-ms", "300"], kills=10, seconds=40, seed=seed)
    rig.check()


def test_a_store_that_is_killed_and_comes_back_loses_and_doubles_nothing(tmp_path: Path) -> None:
    port, sent = free_port(), 0
    own = start_valkey(tmp_path, port, *DURABLE)
    rig: Rig = make_rig(own, tmp_path)
    with running(rig.settings, "worker", "--lease-ms", "300"):
        for _ in range(4):
            end_s = time.monotonic() + 3
            while time.monotonic() < end_s:
                rig.feed_now(events_of(11, 25, start=sent))
                sent += 25
                time.sleep(0.03)
            own.process.kill()
            own.process.wait()
            time.sleep(0.5)
            own = start_valkey(tmp_path, port, *DURABLE)
        wait_until(lambda: all_seen(rig), seconds=60)
    rig.check()
    own.process.kill()
    own.process.wait()


def test_a_store_that_is_gone_for_ten_seconds_hung_or_dead_costs_answers_of_503_and_nothing_else(
    tmp_path: Path,
) -> None:
    port = free_port()
    own = start_valkey(tmp_path, port, *DURABLE)
    rig = make_rig(own, tmp_path, http_port=free_port())
    with all_parts(rig) as processes:
        with flowing(rig) as traffic:
            traffic.wait_for_more(50)
            with frozen(own):
                time.sleep(GONE_S)
            traffic.wait_for_more(50)
            own.process.kill()
            own.process.wait()
            time.sleep(GONE_S)
            own = start_valkey(tmp_path, port, *DURABLE)
            traffic.wait_for_more(50)
        wait_until_settled(rig, traffic.sent)
        assert [process.poll() for process in processes] == [None, None, None]
    check_nothing_lost_or_doubled(rig, traffic)
    own.process.kill()
    own.process.wait()
