"""A worker that is killed while profiles are published, and a store that is gone for long."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.chaos.killing import traffic_under_kills
from tests.chaos.outage import DURABLE, all_parts, check_nothing_lost_or_doubled, flowing, frozen, wait_until_settled
from tests.chaos.rig import make_rig
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
