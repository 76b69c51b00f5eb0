"""The artifact: one folder that holds all that is needed to serve a model, and its reader without TensorFlow.

model.tflite   the graph: signatures ``start`` and ``step``, float32, calibration inside
model.json     version, hash of the feature set, widths, calibration, what it was trained on, hashes of the parts
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lambent.errors import ModelError
from lambent.features import FeatureSet
from models.dataset import Array, Sessions

GRAPH = "model.tflite"
DESCRIPTION = "model.json"
TOGETHER = 2_048
"""Sessions that are scored together."""
STAGING = "staging"
"""Folder of the candidate that ``train`` has made and ``register`` has not yet numbered. Its version is 0."""


def write_artifact(folder: Path, graph: bytes, description: Mapping[str, Any]) -> str:
    """Write an artifact so that a reader finds all of it or nothing; what was there is replaced.

    Args:
        folder: where to.
        graph: the bytes of ``model.tflite``.
        description: ``model.json`` without ``parts``.

    Returns:
        sha256 of ``model.json``, in hex.
    """
    text = json.dumps({**description, "parts": {GRAPH: hashlib.sha256(graph).hexdigest()}}, indent=2, sort_keys=True)
    draft, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    (draft / GRAPH).write_bytes(graph)
    (draft / DESCRIPTION).write_text(text)
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return hashlib.sha256(text.encode()).hexdigest()


def digest(folder: Path) -> str:
    """sha256 of an artifact's ``model.json``, in hex: it names the artifact, since ``model.json`` names its parts."""
    return hashlib.sha256((folder / DESCRIPTION).read_bytes()).hexdigest()


def read_description(folder: Path) -> dict[str, Any]:
    """``model.json`` of an artifact whose parts are what it says.

    Raises:
        ModelError: the artifact is missing, incomplete or altered.
    """
    try:
        description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())
        for name, sha256 in description["parts"].items():
            if hashlib.sha256((folder / name).read_bytes()).hexdigest() != sha256:
                raise ModelError(f"{folder / name}: not the bytes that model.json names.", "Export the model again.")
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder}: not a whole artifact ({error}).", "Make one: lambent train.") from error
    return description


class Artifact:
    """A model as it is served, read by LiteRT.

    Args:
        folder: the artifact.
        features: the feature set that its inputs come from.

    Raises:
        ModelError: it is broken, or made for other features.
    """

    def __init__(self, folder: Path, features: FeatureSet) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.description = read_description(folder)
        if self.description["features"] != features.hash:
            cause = f"{folder}: made for features {self.description['features']}; these are {features.hash}."
            raise ModelError(cause, "Train a model for these.")
        interpreter = Interpreter(str(folder / GRAPH), num_threads=1)
        self._start = interpreter.get_signature_runner("start")
        self._step = interpreter.get_signature_runner("step")

    def start(self, profile: Array) -> Array:
        """[n, D] profiles → [n, H] states."""
        return self._start(profile=profile)["state"]

    def step(self, state: Array, ids: Array, floats: Array) -> tuple[Array, Array]:
        """[n, H], [n, I], [n, F] → [n, H] states and [n, K] calibrated probabilities."""
        out = self._step(state=state, ids=ids, floats=floats)
        return out["state"], out["probabilities"]

    def sessions(self, sessions: Sessions) -> Array:
        """[steps, K] probabilities over whole sessions, step by step as live, in the order of their steps."""
        result = np.zeros((len(sessions.labels), len(self.description["intents"])), np.float32)
        longest_first = np.argsort(-sessions.length, kind="stable")
        for rows in np.split(longest_first, range(TOGETHER, len(longest_first), TOGETHER)):
            first, length = sessions.first[rows], sessions.length[rows]
            state = self.start(sessions.profile[rows])
            for t in range(int(length.max(initial=0))):
                alive = int(np.searchsorted(-length, -t))  # those with more than t steps come first
                at = first[:alive] + t
                state, result[at] = self.step(state[:alive], sessions.ids[at], sessions.floats[at])
        return result
