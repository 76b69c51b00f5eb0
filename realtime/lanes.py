"""A worker's lanes: two loops in one process, each with a connection and a model of its own. While there is a backlog each works
on every other partition, else the first one on all (``worker.Worker``).

While one waits for the store the other computes, so that store and worker are busy at once. A user is in one partition and so
in one lane: what has to be in sequence stays so, and the position fences each partition as ever.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from realtime.worker import Worker

SWITCH_S = 0.0005
"""How long a lane computes in Python before another one whose reply has come may go on; compiled code lets it at once."""
YOUNG = 20_000
"""How many new objects Python looks through for garbage at once; a batch makes thousands, and next to no garbage in circles."""


def run_lanes(lanes: Sequence[Worker], stop: threading.Event) -> None:
    """Work until ``stop`` is set. A lane that fails stops all.

    Args:
        lanes: the worker that leads, and the one beside it.
        stop: ends them.

    Raises:
        StoreError: see ``Worker.run``; what the first lane that failed raised.
    """
    failed: list[BaseException] = []

    def run(lane: Worker) -> None:
        try:
            lane.run(stop)
        except BaseException as error:
            failed.append(error)
            stop.set()

    threads = [threading.Thread(target=run, args=(lane,), name=f"lane-{lane.lane}") for lane in lanes]
    with undisturbed():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
    lanes[0].leave()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let Python give way to the other lane soon, and look for garbage seldom, while the block runs."""
    before_s, before_young = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(SWITCH_S)
    gc.set_threshold(YOUNG, *before_young[1:])
    gc.freeze()  # what was imported is never garbage: to look through it takes many milliseconds, in which no lane works
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)
        gc.set_threshold(*before_young)
        gc.unfreeze()
