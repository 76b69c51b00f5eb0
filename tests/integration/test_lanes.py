"""A worker's two lanes on one store: they share partitions, and what each leaves is what one would leave."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from lambent.errors import StoreError
from realtime.batch import Batch
from realtime.lanes import run_lanes
from realtime.process import Outcome
from realtime.store import Store
from realtime.worker import Worker
from tests.chaos.rig import FEATURES, Rig, events_of, in_background, make_rig, wait_until
from tests.valkey import Valkey, server, valkey  # noqa: F401

pytestmark = pytest.mark.integration


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path, partitions=5)


def lanes_of(rig: Rig, **options: Any) -> list[Worker]:
    leader = rig.worker(Store(rig.url), **options)
    return [leader, Worker(Store(rig.url), rig.meta, FEATURES, beside=leader)]


def test_two_lanes_do_what_one_worker_does_and_the_second_helps_while_there_is_a_backlog(rig: Rig) -> None:
    lanes = lanes_of(rig, lease_ms=2_000, batch_entries=16)
    helped: list[int] = []
    answer = lanes[1]._answer

    def answer_and_tell(batch: Batch) -> Outcome:
        helped.extend(batch.slices)
        return answer(batch)

    lanes[1]._answer = answer_and_tell  # type: ignore[method-assign]
    for start in range(0, 2_000, 20):
        rig.feed_now(events_of(17, 20, start))
    end = in_background(lambda stop: run_lanes(lanes, stop))
    wait_until(lambda: rig.store.positions(rig.last) == list(rig.last.values()))
    wait_until(lambda: lanes[0].metrics.tally["events"] == 2_000)
    assert set(helped) == {1, 3}
    wait_until(lambda: [sorted(lane._held()) for lane in lanes] == [[0, 1, 2, 3, 4], []])
    helped.clear()
    rig.feed_now(events_of(17, 2, 2_000))
    wait_until(lambda: lanes[0].metrics.tally["events"] == 2_002)
    assert not helped
    end()
    rig.check()
    assert rig.store.holders(range(5)) == [None] * 5


def test_two_pairs_of_lanes_that_both_believe_in_their_lease_double_nothing(rig: Rig) -> None:
    pairs = [lanes_of(rig, batch_entries=16) for _ in range(2)]
    ends = [in_background(lambda stop, lanes=lanes: run_lanes(lanes, stop)) for lanes in pairs]  # type: ignore[misc]
    for start in range(0, 400, 20):
        rig.feed_now(events_of(9, 20, start))
    wait_until(lambda: rig.store.positions(rig.last) == list(rig.last.values()))
    for end in ends:
        end()
    rig.check()


def test_a_lane_that_fails_stops_the_other_and_says_why(rig: Rig) -> None:
    lanes, stop = lanes_of(rig), threading.Event()

    def fail(block_ms: int = 0) -> int:
        raise StoreError("The second lane's record is of another version.")

    lanes[1].turn = fail  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="second lane"):
        run_lanes(lanes, stop)
    assert stop.is_set()
