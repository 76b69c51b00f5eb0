"""The exported model: a folder with ``model.json`` and ``model.tflite``, run by LiteRT on one thread.

model.json     {"version", "features", "intents", "state_width", "profile_width", "ids_width", "floats_width",
                "parts": {"model.tflite": sha256}}
start          profile [n, D] float32            → state [n, 64] float32
step           state, ids [n, 5] int32, floats   → state, probabilities [n, intents], calibrated
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from lambent.errors import ModelError
from lambent.features import FeatureSet
from lambent.records import STATE_WIDTH

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SIZES = (1, 8, 64, 256)
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


class Manifest(msgspec.Struct, frozen=True):
    """``model.json``; fields that this version does not know are left alone."""

    version: int
    features: str
    intents: tuple[str, ...]
    state_width: int
    profile_width: int
    ids_width: int
    floats_width: int
    parts: dict[str, str]


def read_manifest(folder: Path, features: FeatureSet, sha256: str = "") -> Manifest:
    """Read ``model.json`` and check it, and every part, before anything is loaded.

    Args:
        folder: the artifact.
        features: what the caller computes.
        sha256: what ``model.json`` has to hash to; empty: anything.

    Raises:
        ModelError: a file is missing or changed, or the model was made for other features, intents or widths.
    """
    data = _read(folder / "model.json")
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(f"{folder}/model.json is not the one that was published.", "Publish the model again.")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ModelError(f"{folder}/model.json is not a manifest ({error}).", "Export the model again.") from error
    for part, digest in manifest.parts.items():
        if hashlib.sha256(_read(folder / part)).hexdigest() != digest:
            raise ModelError(f"{folder}/{part} is not the file that was exported.", "Export the model again.")
    _check_fit(folder, manifest, features)
    return manifest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).", "Give every worker the artifact.") from error


def _check_fit(folder: Path, manifest: Manifest, features: FeatureSet) -> None:
    """The manifest against what the caller computes."""
    wanted = {
        "features": features.hash,
        "intents": features.taxonomy.intents,
        "state_width": STATE_WIDTH,
        "profile_width": len(features.profile.feature_names),
        "ids_width": len(features.step_ids),
        "floats_width": len(features.step_floats),
    }
    for name, value in wanted.items():
        if getattr(manifest, name) != value:
            cause = f"{folder}: the model was made for {name} {getattr(manifest, name)}; here they are {value}."
            raise ModelError(cause, "Train and export a model for this feature set.")
    if "model.tflite" not in manifest.parts or manifest.version < 1:
        raise ModelError(f"{folder}/model.json names no model.tflite or no version.", "Export the model again.")


class LiteRtModel:
    """A loaded artifact.

    Args:
        folder: the artifact.
        features: what the worker computes.
        sha256: of ``model.json``, where it is known.

    Raises:
        ModelError: see ``read_manifest``; or LiteRT cannot run the file.
    """

    def __init__(self, folder: Path, features: FeatureSet, sha256: str = "") -> None:
        self.manifest = read_manifest(folder, features, sha256)
        data = _read(folder / "model.tflite")
        try:
            self._start = Signature(data, "start", ("profile",))
            self._step = Signature(data, "step", ("state", "ids", "floats"))
        except (ValueError, RuntimeError, KeyError) as error:
            raise ModelError(f"{folder}/model.tflite cannot be run ({error}).", "Export the model again.") from error

    @property
    def version(self) -> int:
        """The registry's version."""
        return self.manifest.version

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
