"""What a rank sees to before it trains; the ranks themselves are in ``integration/test_models_training.py``."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack

from models.horovod_runner import LOWEST_PRIORITY, _threads, _yield_to_others


def niceness(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def test_of_the_threads_that_are_started_the_first_keeps_its_turn_and_the_others_run_last() -> None:
    before, own, over = _threads(), niceness(0), threading.Event()
    with ExitStack() as stack:
        stack.callback(over.set)
        threads = [threading.Thread(target=over.wait) for _ in range(3)]
        for one in threads:
            one.start()
        started = _threads() - before
        first, *others = sorted(started)
        _yield_to_others(started)
        assert {first, *others} >= {one.native_id for one in threads}
        assert niceness(first) == niceness(os.getpid()) == own
        assert [niceness(one) for one in others] == [LOWEST_PRIORITY] * len(others)
