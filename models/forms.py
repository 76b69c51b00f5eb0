"""The forms in which a network can be served, and what each takes: bytes, and microseconds a step.

float32   as trained
int8      the large matrices and the embeddings as 8-bit integers, what a matrix is multiplied with rounded to 8 bits as it comes;
          the state that is carried stays float32, so that what one step rounds away the next does not add to
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.artifact import Graph
from models.cost import step_us
from models.evaluation import MODEL
from models.scored import Scored

FLOAT32, INT8 = FORMS = ("float32", "int8")
BATCHES = (1, 64, 256)
"""Events of a step that is timed."""


def compare_forms(graphs: Mapping[str, bytes], description: Mapping[str, Any], test: Scored) -> dict[str, Any]:
    """What each form costs, and how far what it says is from the model.

    Args:
        graphs: by contender, ``MODEL`` among them.
        description: of the model.
        test: what all contenders said.
    """
    own = test.said[MODEL].astype(np.float64)
    forms = {}
    for contender, graph in graphs.items():
        far = np.abs(test.said[contender] - own)
        called = name(description if contender == MODEL else {**description, "form": contender})
        moved = {"mean": float(far.mean()), "max": float(far.max())} if far.size else {"mean": None, "max": None}
        forms[contender] = {"form": called, **cost(graph), "probability_moved": moved}
    return forms


def name(description: Mapping[str, Any]) -> str:
    """What the form of an artifact is called."""
    pruned = description["train"].get("prune", 0)
    return description["form"] + (f", {100 * pruned:.0f} % pruned" if pruned else "")


def cost(graph: bytes) -> dict[str, Any]:
    """``bytes``, ``compressed_bytes`` (zlib), and ``step_us``: how long a step takes on one thread, by its number of events."""
    runner = Graph(graph)
    times = {str(n): step_us(runner, n) for n in BATCHES}
    return {"bytes": len(graph), "compressed_bytes": len(zlib.compress(graph, 9)), "step_us": times}
