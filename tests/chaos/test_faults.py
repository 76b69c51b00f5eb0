"""What else goes wrong under traffic: workers that sleep, a bad network, clocks that jump, a full disk, a full memory."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import pytest

from tests.chaos.conftest import Report
from tests.chaos.crew import COMMANDS, DURABLE, PATIENCE_S, behind, working
from tests.chaos.machine import Machine
from tests.chaos.proxy import Way, proxied
from tests.chaos.rig import wait_until
from tests.chaos.traffic import Traffic, producing
from tests.integration.test_full_disk import no_room
from tests.valkey import free_port

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]
HOUR_MS = 3_600_000
TIMES = 6


def test_a_worker_that_sleeps_beyond_its_lease_wakes_up_to_find_its_work_done_by_another(
    tmp_path: Path, report: Report
) -> None:
    workers = {"worker": COMMANDS["worker"], "worker-2": COMMANDS["worker"]}
    with working(tmp_path, commands=COMMANDS | workers) as crew:
        with producing(crew.rig, 1, threads=8, pause_s=0.1) as traffic:
            traffic.wait_for_accepted()
            for sleeper in ("worker", "worker-2") * (TIMES // 2):
                asleep = crew.stop(sleeper, traffic)
                traffic.wait_for_accepted()
                crew.recovery(sleeper, traffic).wait()  # what has come since, in all partitions: another has taken over
                report.recovered("worker asleep, another takes over", [asleep.wait()])
                crew.processes[sleeper].send_signal(signal.SIGCONT)
        crew.settle(traffic)


def test_two_workers_that_both_believe_in_the_lease_are_told_apart_by_the_position(tmp_path: Path) -> None:
    workers = dict.fromkeys(("worker", "worker-2"), ("worker", "--lease-ms", "0"))
    with working(tmp_path, commands=COMMANDS | workers) as crew:
        with producing(crew.rig, 2, threads=8, pause_s=0.1) as traffic:
            traffic.wait_for_accepted(2_000)
        crew.settle(traffic)
    assert json.loads((tmp_path / "reports" / "worker.json").read_text())["fenced"] > 0


def test_connections_that_are_cut_slowed_and_half_cut_lose_and_double_nothing(tmp_path: Path, report: Report) -> None:
    rng = random.Random(3)
    with proxied(port := free_port()) as network, working(tmp_path, port=port, store_port=network.port) as crew:
        with producing(crew.rig, 3, threads=8, pause_s=0.1) as traffic:
            for _ in range(TIMES):
                for fault in (
                    lambda: network.slow(0.05),
                    lambda: network.losing(Way.UP),
                    lambda: network.losing(Way.DOWN),
                ):
                    traffic.wait_for_accepted()
                    wait_until(lambda: traffic.waiting > 0, PATIENCE_S)
                    with fault():
                        time.sleep(0.2 + rng.random())
                    report.recovered("network", [crew.recovery("valkey", traffic).wait()])
                assert network.cut() > 0
        crew.settle(traffic)


def test_clocks_that_jump_by_an_hour_to_and_fro_move_no_event_before_another(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store, parts = Machine(tmp_path / "store"), Machine(tmp_path)
    options = {"environment": parts.environment, "store_environment": store.environment}
    with working(tmp_path, **options) as crew:
        with producing(crew.rig, 4, threads=8, pause_s=0.1, retries=0) as traffic:
            for clock in (store, parts) * 2:
                for hours in (1, 0, -1, 0):
                    last = crew.last()
                    clock.shift_clock(hours * HOUR_MS)
                    traffic.wait_for_accepted()
                    assert not behind(crew.last(), last)
        crew.settle(traffic)


def test_a_disk_that_is_full_under_the_tables_holds_the_archive_up_and_nothing_else(
    tmp_path: Path, report: Report
) -> None:
    with working(tmp_path) as crew:
        with producing(crew.rig, 5, threads=8, pause_s=0.1) as traffic:
            for _ in range(TIMES // 2):
                traffic.wait_for_accepted()
                with no_room(crew.processes["archiver"].pid):
                    wait_for_another_line(tmp_path / "archiver.log", "table-not-writable")
                    held = crew.seen("archiver")
                    traffic.wait_for_accepted()
                    assert crew.seen("archiver") == held
                report.recovered("disk full under the tables", [crew.recovery("archiver", traffic).wait()])
        crew.settle(traffic)


def test_a_store_whose_memory_is_full_refuses_and_takes_events_again_once_it_is_worked_off(
    tmp_path: Path, report: Report
) -> None:
    with working(tmp_path, options=(*DURABLE, "--maxmemory", "8mb")) as crew:
        with producing(crew.rig, 6, threads=8, pause_s=0.01, retries=0) as traffic:
            for _ in range(2):
                traffic.wait_for_accepted()
                for name in ("worker", "archiver"):
                    crew.processes[name].send_signal(signal.SIGSTOP)
                full(traffic)
                recovery = crew.recovery("server", traffic)
                for name in ("worker", "archiver"):
                    crew.processes[name].send_signal(signal.SIGCONT)
                report.recovered("store's memory full", [recovery.wait()])
        crew.settle(traffic)


def wait_for_another_line(path: Path, word: str) -> None:
    """Wait until a log has another line with a word in it."""
    before = path.read_text().count(word)
    wait_until(lambda: path.read_text().count(word) > before, PATIENCE_S)


def full(traffic: Traffic) -> None:
    """Wait until for a while nothing is accepted."""
    end_s, accepted = time.monotonic() + 60, -1
    while traffic.accepted != accepted:
        assert time.monotonic() < end_s, "the store never filled up"
        accepted, answered = traffic.accepted, traffic.answered
        wait_until(lambda answered=answered: traffic.answered > answered + 40, PATIENCE_S)
