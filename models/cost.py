"""What an artifact costs to serve: microseconds a step, and bytes."""

from __future__ import annotations

import time
from pathlib import Path

from models.artifact import Artifact, Graph
from models.dataset import Array
from models.gate import Cost

RUNS = 200
"""Steps that are timed. The fastest counts: whatever else the machine does only makes one slower."""
TOGETHER = 64


def cost(artifact: Artifact, folder: Path) -> Cost:
    """Time an artifact on this machine, one thread; ``folder`` is where it lies."""
    size_bytes = sum(path.stat().st_size for path in folder.iterdir())
    return Cost(step_us(artifact, 1), step_us(artifact, TOGETHER) / TOGETHER, size_bytes)


def step_us(graph: Graph, events: int) -> float:
    """Microseconds for a step of so many events."""
    inputs = graph.blank(events)
    return min(_step_ns(graph, inputs) for _ in range(RUNS)) / 1000


def _step_ns(graph: Graph, inputs: tuple[Array, Array, Array]) -> int:
    started_ns = time.perf_counter_ns()
    graph.step(*inputs)
    return time.perf_counter_ns() - started_ns
