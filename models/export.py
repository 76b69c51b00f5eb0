"""The trained network as a LiteRT graph of two signatures, the calibration inside.

    start: profile [n, D]                          → state [n, H]
    step:  state [n, H], ids [n, I], floats [n, F] → state [n, H], probabilities [n, K]

All float32 but ``ids``, int32; n is free. Only LiteRT's own operations are used, so the reader needs nothing else.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf

from lambent.calibration import Calibration
from lambent.errors import ModelError
from lambent.features import FeatureSet
from lambent.manifest import CALIBRATION, GRAPH, TAXONOMY, read_calibration
from lambent.records import STATE_WIDTH
from models.artifact import read_description, write_artifact
from models.calibrate import fit_calibration
from models.dataset import TrainingTable
from models.forms import FLOAT32, FORMS, INT8
from models.metrics import log_loss
from models.network import IntentNetwork, Shape, input_signature
from models.trainer import SCORED_SESSIONS

WEIGHTS = ".weights.npz"
"""Ends the name of the file that holds an artifact's weights, beside its folder."""


class Served(tf.Module):
    """What is exported: the network's start and step, the latter calibrated."""

    def __init__(self, network: IntentNetwork, calibration: Calibration) -> None:
        super().__init__()
        self._network = network
        # Keras tracks its weights its own way; a saved model has to be told.
        self._weights = [v.value for v in network.variables]
        self._scale = tf.constant(calibration.scale, tf.float32)
        self._bias = tf.constant(calibration.bias, tf.float32)

    def start(self, profile: Any) -> dict[str, Any]:
        """See the module."""
        return {"state": self._network.start(profile)}

    def step(self, state: Any, ids: Any, floats: Any) -> dict[str, Any]:
        """See the module."""
        state, logits = self._network.step(state, ids, floats)
        calibrated = self._scale * tf.nn.log_softmax(logits) + self._bias  # [n, K]
        return {"state": state, "probabilities": tf.nn.softmax(calibrated)}


def signatures(served: Served, shape: Shape) -> dict[str, Any]:
    """The two functions, traced for any n."""

    def spec(name: str, width: int, kind: Any = tf.float32) -> Any:
        return tf.TensorSpec((None, width), kind, name)

    start = [spec("profile", shape.profile)]
    step = [spec("state", STATE_WIDTH), spec("ids", shape.ids, tf.int32), spec("floats", shape.floats)]
    return {
        "start": tf.function(served.start, input_signature=start).get_concrete_function(),
        "step": tf.function(served.step, input_signature=step).get_concrete_function(),
    }


def to_litert(network: IntentNetwork, calibration: Calibration, form: str = FLOAT32) -> bytes:
    """The bytes of ``model.tflite`` in a form of ``models.forms``."""
    served = Served(network, calibration)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(served, folder, signatures=signatures(served, network.shape_of))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["start", "step"])
        if form == INT8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]  # without sample data: the dynamic range
        graph: bytes = converter.convert()
    return graph


def calibrated(network: IntentNetwork, table: TrainingTable) -> tuple[Calibration, dict[str, Any]]:
    """The calibration, and what it gained on the split that it was fitted on, validation. All forms share it."""
    logits, labels, session = outputs(network, table, "validation")
    calibration = fit_calibration(logits, labels, session)
    before = log_loss(Calibration.identity(logits.shape[1]).apply(logits), labels)
    after = log_loss(calibration.apply(logits), labels)
    return calibration, {"log_loss_before_calibration": before, "log_loss_calibrated": after}


def outputs(network: IntentNetwork, table: TrainingTable, split: str) -> tuple[Any, Any, Any]:
    """[events, K] logits and [events] labels of a split, and whose session each is."""
    logits, labels = [np.zeros((0, network.shape_of.intents), np.float32)], [np.zeros(0, np.int32)]
    session, sessions = [np.zeros(0, np.int64)], 0
    predict = tf.function(network.call, input_signature=input_signature(network.shape_of))
    for batch in table.batches(split, SCORED_SESSIONS):
        logits.append(predict(*batch.inputs).numpy())
        labels.append(batch.labels)
        session.append(sessions + batch.session)
        sessions += len(batch.profile)
    return np.concatenate(logits), np.concatenate(labels), np.concatenate(session)


def other_forms(staged: Path, features: FeatureSet) -> dict[str, bytes]:
    """The graphs that the staged artifact's network has in the forms that it is not staged in, calibrated as it is.

    Raises:
        ModelError: what lies beside the artifact are not its weights.
    """
    description = read_description(staged)
    network = IntentNetwork(Shape.of(features))
    network.set_weights(read_weights(staged, description["weights"]))
    calibration = read_calibration(staged)
    return {form: to_litert(network, calibration, form) for form in FORMS if form != description["form"]}


def write_weights(folder: Path, weights: Sequence[Any]) -> str:
    """Keep an artifact's weights beside it, so that it has other forms without a training anew; returns their sha256."""
    held = io.BytesIO()
    np.savez(held, *weights)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.with_suffix(WEIGHTS).write_bytes(held.getvalue())
    return hashlib.sha256(held.getvalue()).hexdigest()


def read_weights(folder: Path, sha256: str) -> list[Any]:
    """The weights beside an artifact that names them by ``sha256``.

    Raises:
        ModelError: they are missing, or another's.
    """
    path = folder.with_suffix(WEIGHTS)
    data = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(f"{path}: not the weights of what is staged.", "Train it again: lambent train.")
    with np.load(io.BytesIO(data)) as arrays:
        return [arrays[name] for name in arrays.files]


def export(
    folder: Path,
    network: IntentNetwork,
    calibration: Calibration,
    features: FeatureSet,
    table: TrainingTable,
    train: Mapping[str, Any],
    form: str = FLOAT32,
) -> str:
    """Write the artifact of a model that has no version yet; returns the sha256 of its ``model.json``.

    Args:
        folder: where to.
        network: what is exported, and calibration: of what it says in this form.
        features, table: what it was trained for and on.
        train: how: options and outcome, as plain values.
        form: one of ``models.forms``.
    """
    shape, weights = network.shape_of, write_weights(folder, network.get_weights())
    parts = {
        GRAPH: to_litert(network, calibration, form),
        CALIBRATION: msgspec.json.encode(calibration),
        TAXONOMY: msgspec.json.encode(features.taxonomy),
    }
    description = {
        "version": 0,
        "form": form,
        "weights": weights,
        "features": features.hash,
        "intents": list(features.taxonomy.intents),
        "state_width": STATE_WIDTH,
        "profile_width": shape.profile,
        "ids_width": shape.ids,
        "floats_width": shape.floats,
        "created_ms": time.time_ns() // 1_000_000,
        "data": {**table.snapshot, "training_sessions_version": table.version},
        "train": dict(train),
    }
    return write_artifact(folder, parts, description)
