"""The store hangs, is gone, or takes no writes, under traffic: server, worker and archiver live, and nothing is lost or doubled."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.chaos.outage import (
    DURABLE,
    all_parts,
    check_nothing_lost_or_doubled,
    flowing,
    frozen,
    refusing_writes,
    wait_until_settled,
)
from tests.chaos.rig import make_rig
from tests.valkey import free_port, start_valkey, stop_valkey

pytestmark = pytest.mark.integration


def test_a_store_that_hangs_then_refuses_writes_then_dies_costs_answers_of_503_and_nothing_else(tmp_path: Path) -> None:
    port = free_port()
    own = start_valkey(tmp_path, port, *DURABLE)
    rig = make_rig(own, tmp_path, http_port=free_port())
    with all_parts(rig) as processes:
        with flowing(rig) as traffic:
            traffic.wait_for_more()
            with frozen(own):
                time.sleep(2.5)
            traffic.wait_for_more()
            with refusing_writes(own):
                time.sleep(0.7)
            traffic.wait_for_more()
            own.process.kill()
            own.process.wait()
            time.sleep(0.5)
            own = start_valkey(tmp_path, port, *DURABLE)
            traffic.wait_for_more()
        wait_until_settled(rig, traffic.sent)
        assert [process.poll() for process in processes] == [None, None, None]
    assert [process.returncode for process in processes] == [0, 0, 0]
    check_nothing_lost_or_doubled(rig, traffic)
    assert traffic.statuses[503] >= 3
    stop_valkey(own)
