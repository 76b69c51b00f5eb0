"""The exported model (``lambent.manifest``), run by LiteRT on one thread.

start          profile [n, D] float32            → state [n, 64] float32
step           state, ids [n, 5] int32, floats   → state, probabilities [n, intents], calibrated
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lambent.errors import ModelError
from lambent.features import FeatureSet
from lambent.manifest import GRAPH, check_fit, read_manifest, read_part

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SIZES = (1, 4, 16, 64, 256)
"""Batch sizes that are kept ready: a resize costs far more than the rows that pad a batch."""


class Model(Protocol):
    """What the worker needs of a model."""

    @property
    def version(self) -> int:
        """The registry's version, 1 or more."""

    def start(self, profile: Floats) -> Floats:
        """[n, 64] first states from [n, profile features]."""

    def step(self, state: Floats, ids: Ints, floats: Floats) -> tuple[Floats, Floats]:
        """[n, 64] next states and [n, intents] probabilities from states, ids and floats of n events."""


class LiteRtModel:
    """A loaded artifact.

    Args:
        folder: the artifact.
        features: what the worker computes.
        sha256: of ``model.json``, where it is known.

    Raises:
        ModelError: a part is missing or changed; or the model was made for another taxonomy, other features or other widths;
            or it has no version; or LiteRT cannot run it.
    """

    def __init__(self, folder: Path, features: FeatureSet, sha256: str = "") -> None:
        manifest = read_manifest(folder, sha256)
        check_fit(folder, manifest, features)
        if manifest.version < 1:
            raise ModelError(f"{folder} has no version.", "Register it: lambent model register.")
        self.version, data = manifest.version, read_part(folder, GRAPH)
        try:
            self._start = Signature(data, "start", ("profile",))
            self._step = Signature(data, "step", ("state", "ids", "floats"))
        except (ValueError, RuntimeError, KeyError) as error:
            raise ModelError(f"{folder / GRAPH} cannot be run ({error}).", "Export the model again.") from error

    def start(self, profile: Floats) -> Floats:
        """See ``Model``."""
        return self._start.run(profile)["state"]

    def step(self, state: Floats, ids: Ints, floats: Floats) -> tuple[Floats, Floats]:
        """See ``Model``."""
        out = self._step.run(state, ids, floats)
        return out["state"], out["probabilities"]


class Signature:
    """One signature at a few fixed batch sizes, one interpreter each; inputs are padded to the next size.

    Args:
        data: the flatbuffer.
        name: the signature.
        inputs: names of its inputs, in the order of ``run``.
    """

    def __init__(self, data: bytes, name: str, inputs: tuple[str, ...]) -> None:
        self._data, self._name, self._inputs = data, name, inputs
        self._runners = {size: self._prepare(size) for size in SIZES}

    def _prepare(self, size: int) -> Any:
        """A runner whose inputs have ``size`` rows, allocated by a first run."""
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=self._data, num_threads=1)
        runner = interpreter.get_signature_runner(self._name)
        details = runner.get_input_details()
        blank = {n: np.zeros((size, *details[n]["shape"][1:]), details[n]["dtype"]) for n in self._inputs}
        runner(**blank)
        return runner

    def run(self, *arrays: NDArray[Any]) -> dict[str, Floats]:
        """The signature's outputs for n rows each of its inputs."""
        most = SIZES[-1]
        pieces = [
            self._run(*(array[at : at + most] for array in arrays)) for at in range(0, max(len(arrays[0]), 1), most)
        ]
        if len(pieces) == 1:
            return pieces[0]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def _run(self, *arrays: NDArray[Any]) -> dict[str, Floats]:
        n = len(arrays[0])
        size = next(size for size in SIZES if size >= n)
        padded = {
            name: np.ascontiguousarray(array) if n == size else np.concatenate([array, _blank(array, size - n)])
            for name, array in zip(self._inputs, arrays, strict=True)
        }
        outputs = self._runners[size](**padded)
        return {name: value[:n] for name, value in outputs.items()}


def _blank(array: NDArray[Any], rows: int) -> NDArray[Any]:
    return np.zeros((rows, *array.shape[1:]), array.dtype)
