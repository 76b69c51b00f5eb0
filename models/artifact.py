"""The artifact: one folder that holds all that is needed to serve a model (``lambent.manifest``), read without TensorFlow."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lambent.features import FeatureSet
from lambent.manifest import GRAPH, MANIFEST, Manifest, check_fit, read_manifest, read_part
from models.dataset import Array, Sessions

STEP_INPUTS = ("state", "ids", "floats")
TOGETHER = 2_048
"""Sessions that are scored together."""
STAGING = "staging"
"""Folder of the candidate that ``train`` has made and ``register`` has not yet numbered. Its version is 0."""


def write_artifact(folder: Path, parts: Mapping[str, bytes], description: Mapping[str, Any]) -> str:
    """Write an artifact so that a reader finds all of it or nothing; what was there is replaced.

    Args:
        folder: where to.
        parts: the bytes of each file but ``model.json``.
        description: ``model.json`` without ``parts``.

    Returns:
        sha256 of ``model.json``, in hex.
    """
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
    text = json.dumps({**description, "parts": hashes}, indent=2, sort_keys=True)
    draft, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name, data in {**parts, MANIFEST: text.encode()}.items():
        (draft / name).write_bytes(data)
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return hashlib.sha256(text.encode()).hexdigest()


def copy_artifact(source: Path, folder: Path, version: int) -> str:
    """Write an artifact again under a version; returns the sha256 of its ``model.json``.

    Raises:
        ModelError: the source is not whole.
    """
    description = read_description(source)
    parts = {name: read_part(source, name) for name in description["parts"]}
    return write_artifact(folder, parts, {**description, "version": version})


def digest(folder: Path) -> str:
    """sha256 of an artifact's ``model.json``, in hex: it names the artifact, since ``model.json`` names its parts."""
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def read_description(folder: Path) -> dict[str, Any]:
    """``model.json`` of an artifact whose parts are what it says.

    Raises:
        ModelError: the artifact is missing, incomplete or altered.
    """
    return _read(folder)[1]


def _read(folder: Path) -> tuple[Manifest, dict[str, Any]]:
    return read_manifest(folder), json.loads(read_part(folder, MANIFEST))


class Graph:
    """A graph as it is served, run by LiteRT on one thread.

    Args:
        data: the bytes of ``model.tflite``.
    """

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=data, num_threads=1)
        self._start = interpreter.get_signature_runner("start")
        self._step = interpreter.get_signature_runner("step")
        self.intents = int(self._step.get_output_details()["probabilities"]["shape"][-1])

    def blank(self, n: int) -> tuple[Array, Array, Array]:
        """n rows of nothing, for ``step``."""
        inputs = self._step.get_input_details()
        state, ids, floats = (np.zeros((n, inputs[name]["shape"][-1]), inputs[name]["dtype"]) for name in STEP_INPUTS)
        return state, ids, floats

    def start(self, profile: Array) -> Array:
        """[n, D] profiles → [n, H] states."""
        return self._start(profile=profile)["state"]

    def step(self, state: Array, ids: Array, floats: Array) -> tuple[Array, Array]:
        """[n, H], [n, I], [n, F] → [n, H] states and [n, K] calibrated probabilities."""
        out = self._step(state=state, ids=ids, floats=floats)
        return out["state"], out["probabilities"]

    def sessions(self, sessions: Sessions) -> Array:
        """[steps, K] probabilities over whole sessions, step by step as live, in the order of their steps."""
        result = np.zeros((len(sessions.labels), self.intents), np.float32)
        longest_first = np.argsort(-sessions.length, kind="stable")
        for rows in np.split(longest_first, range(TOGETHER, len(longest_first), TOGETHER)):
            first, length = sessions.first[rows], sessions.length[rows]
            state = self.start(sessions.profile[rows])
            for t in range(int(length.max(initial=0))):
                alive = int(np.searchsorted(-length, -t))  # those with more than t steps come first
                at = first[:alive] + t
                state, result[at] = self.step(state[:alive], sessions.ids[at], sessions.floats[at])
        return result


class Artifact(Graph):
    """The graph of an artifact, and what its ``description`` says.

    Args:
        folder: the artifact.
        features: the feature set that its inputs come from.

    Raises:
        ModelError: it is broken, or made for another taxonomy or other features.
    """

    def __init__(self, folder: Path, features: FeatureSet) -> None:
        manifest, self.description = _read(folder)
        check_fit(folder, manifest, features)
        super().__init__(read_part(folder, GRAPH))
