"""The forms in which a network can be served, and what each takes: bytes, and microseconds a step.

float32   as trained
int8      the large matrices and the embeddings as 8-bit integers, what a matrix is multiplied with rounded to 8 bits as it comes;
          the state that is carried stays float32, so that what one step rounds away the next does not add to
"""

from __future__ import annotations

import zlib
from typing import Any

from models.artifact import Graph
from models.cost import step_us

FLOAT32, INT8 = FORMS = ("float32", "int8")
BATCHES = (1, 64, 256)
"""Events of a step that is timed."""


def cost(graph: bytes) -> dict[str, Any]:
    """``bytes``, ``compressed_bytes`` (zlib), and ``step_us``: how long a step takes on one thread, by its number of events."""
    runner = Graph(graph)
    times = {str(n): step_us(runner, n) for n in BATCHES}
    return {"bytes": len(graph), "compressed_bytes": len(zlib.compress(graph, 9)), "step_us": times}
