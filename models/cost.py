"""What an artifact costs to serve: microseconds a step, and bytes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from models.artifact import Artifact
from models.gate import Cost

RUNS = 200
"""Steps that are timed. The fastest counts: whatever else the machine does only makes one slower."""
TOGETHER = 64


def cost(artifact: Artifact, folder: Path) -> Cost:
    """Time an artifact on this machine, one thread; ``folder`` is where it lies."""
    size_bytes = sum(path.stat().st_size for path in folder.iterdir())
    return Cost(_step_us(artifact, 1), _step_us(artifact, TOGETHER), size_bytes)


def _step_us(artifact: Artifact, rows: int) -> float:
    """Microseconds for each of so many events that are stepped together."""
    widths = {name: int(artifact.description[f"{name}_width"]) for name in ("state", "ids", "floats")}
    state, floats = (np.zeros((rows, widths[name]), np.float32) for name in ("state", "floats"))
    ids = np.zeros((rows, widths["ids"]), np.int32)
    best_ns = min(_step_ns(artifact, state, ids, floats) for _ in range(RUNS))
    return best_ns / 1000 / rows


def _step_ns(artifact: Artifact, *inputs: np.ndarray) -> int:
    started_ns = time.perf_counter_ns()
    artifact.step(*inputs)
    return time.perf_counter_ns() - started_ns
