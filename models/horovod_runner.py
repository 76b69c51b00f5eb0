"""All of Horovod, behind one small class, and its twin for a single process.

``World`` is what the training loop knows of other processes. On Keras 3 Horovod's own optimizer and tape fail
(``Variable`` has no ``ref``), so gradients are summed here and applied by the loop.

Sergeev and Del Balso, "Horovod: fast and easy distributed deep learning in TensorFlow", 2018.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lambent.errors import ModelError
from lambent.settings import Settings
from models.spark import slots
from models.telling import RanksOutput

START_TIMEOUT_S = 120
LOWEST_PRIORITY = 19
"""Of Linux's niceness."""
STARTS = 4
"""Starts of the ranks of one job, at most."""
RANK_ENVIRONMENT = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "HOROVOD_CYCLE_TIME": "1",  # milliseconds between looks for work; each is talked over with all ranks, and takes from the steps
    "HOROVOD_STALL_CHECK_TIME_SECONDS": "30",
    "KERAS_BACKEND": "tensorflow",
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # its sums depend on the processor
}


class World(Protocol):
    """The processes that train together."""

    rank: int
    size: int

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give every rank the values that rank 0's TensorFlow variables have."""

    def share(self, thing: Any) -> Any:
        """Rank 0's ``thing``, on every rank; it is pickled."""

    def sum_tensor(self, tensor: Any) -> Any:
        """Sum a tensor over the ranks; works inside ``tf.function``."""

    def sum_array(self, array: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum an array over the ranks."""


class SingleProcess:
    """A world of one."""

    rank = 0
    size = 1

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Nobody else is there."""

    def share(self, thing: Any) -> Any:
        """The thing."""
        return thing

    def sum_tensor(self, tensor: Any) -> Any:
        """The tensor."""
        return tensor

    def sum_array(self, array: NDArray[np.float64]) -> NDArray[np.float64]:
        """The array."""
        return array


class HorovodWorld:
    """This rank among those that Horovod started. Make it once a process."""

    def __init__(self) -> None:
        import horovod.tensorflow as hvd

        before = _threads()
        hvd.init()
        _yield_to_others(_threads() - before)
        self._hvd = hvd
        self.rank: int = hvd.rank()
        self.size: int = hvd.size()

    def broadcast(self, variables: Sequence[Any]) -> None:
        """See ``World``."""
        self._hvd.broadcast_variables(list(variables), root_rank=0)

    def share(self, thing: Any) -> Any:
        """See ``World``."""
        return self._hvd.broadcast_object(thing, root_rank=0)

    def sum_tensor(self, tensor: Any) -> Any:
        """See ``World``."""
        return self._hvd.allreduce(tensor, op=self._hvd.Sum)

    def sum_array(self, array: NDArray[np.float64]) -> NDArray[np.float64]:
        """See ``World``."""
        return np.asarray(self._hvd.allreduce(array, op=self._hvd.Sum, name="sum_array"))


def _threads() -> set[int]:
    """This process's threads; none where there is no ``/proc``."""
    return {int(path.name) for path in Path("/proc/self/task").glob("*")}


def _yield_to_others(started: set[int]) -> None:
    """Let Gloo's threads run only when no other has work: of those that Horovod started all but the first, which is its own.

    Each waits for its sockets, and is woken again and again while a message lies there that Horovod's thread has not asked for
    yet. Where both share a core, that thread gets its turn a few milliseconds later for it, at every message (ADR 0006).
    """
    for thread in sorted(started)[1:]:
        os.setpriority(os.PRIO_PROCESS, thread, LOWEST_PRIORITY)


def join_world() -> World:
    """The world of this process: Horovod's where it was started by Horovod, else a world of one."""
    return HorovodWorld() if "HOROVOD_RANK" in os.environ else SingleProcess()


def run_single(function: Callable[..., Any], arguments: tuple[Any, ...]) -> list[Any]:
    """Run ``function(*arguments)`` here, in an environment like a rank's; returns its one result."""
    os.environ.update(RANK_ENVIRONMENT)
    return [function(*arguments)]


def run_on_spark(
    function: Callable[..., Any], arguments: tuple[Any, ...], processes: int, settings: Settings, checkpoint: Path
) -> list[Any]:
    """Run ``function(*arguments)`` on as many Spark slots, as ranks of one Horovod job; returns each rank's result.

    A rank that dies ends the others: none can go on without it. Then all are started again, a few times, and go on from
    their checkpoint.

    Args:
        function: what each rank runs.
        arguments: its arguments.
        processes: how many ranks.
        settings: say where Spark is.
        checkpoint: the file that the ranks write as soon as they train. Those that never come so far are not started
            again: it would end as the first time.

    Raises:
        ModelError: the ranks did not start, or failed again and again.
    """
    with slots(processes, settings):
        for left in reversed(range(STARTS)):
            before = _changed_ns(checkpoint)
            try:
                return _run(function, arguments, processes)
            except Exception as error:
                cause = f"Training in {processes} processes failed: {error}"
                if not left or _changed_ns(checkpoint) == before:
                    raise ModelError(cause, "The ranks' traces are above.") from error
                print(f"lambent: {cause}\nIt goes on from {checkpoint}.", file=sys.stderr)
    raise AssertionError("unreachable")


def _changed_ns(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _run(function: Callable[..., Any], arguments: tuple[Any, ...], processes: int) -> list[Any]:
    """One start of all ranks."""
    import horovod.spark
    from horovod.runner import launch

    # Horovod would import TensorFlow in one more process to ask it for Gloo: seconds. A rank without Gloo says so too.
    launch.gloo_built = lambda verbose=False: True
    results: Sequence[Any] = horovod.spark.run(
        function, args=arguments, num_proc=processes, use_gloo=True, env={**os.environ, **RANK_ENVIRONMENT},
        start_timeout=START_TIMEOUT_S, verbose=0, stdout=RanksOutput(), stderr=sys.stderr,
    )  # fmt: skip
    return list(results)
