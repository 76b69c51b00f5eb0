"""The trained network as a LiteRT graph of two signatures, the calibration inside.

    start: profile [n, D]                          → state [n, H]
    step:  state [n, H], ids [n, I], floats [n, F] → state [n, H], probabilities [n, K]

All float32 but ``ids``, int32; n is free. Only LiteRT's own operations are used, so the reader needs nothing else.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from lambent.calibration import Calibration
from lambent.features import FeatureSet
from lambent.records import STATE_WIDTH
from models.artifact import write_artifact
from models.dataset import TrainingTable
from models.network import IntentNetwork, Shape


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


def to_litert(network: IntentNetwork, calibration: Calibration) -> bytes:
    """The bytes of ``model.tflite``."""
    served = Served(network, calibration)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(served, folder, signatures=signatures(served, network.shape_of))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["start", "step"])
        graph: bytes = converter.convert()
    return graph


def export(
    folder: Path,
    network: IntentNetwork,
    calibration: Calibration,
    features: FeatureSet,
    table: TrainingTable,
    train: Mapping[str, Any],
) -> str:
    """Write the artifact of a model that has no version yet; returns the sha256 of its ``model.json``.

    Args:
        folder: where to.
        network, calibration: what is exported.
        features, table: what it was trained for and on.
        train: how: options and outcome, as plain values.
    """
    shape = network.shape_of
    description = {
        "version": 0,
        "features": features.hash,
        "intents": list(features.taxonomy.intents),
        "state_width": STATE_WIDTH,
        "profile_width": shape.profile,
        "ids_width": shape.ids,
        "floats_width": shape.floats,
        "calibration": {"scale": list(calibration.scale), "bias": list(calibration.bias)},
        "created_ms": time.time_ns() // 1_000_000,
        "data": {**table.snapshot, "training_sessions_version": table.version},
        "train": dict(train),
    }
    return write_artifact(folder, to_litert(network, calibration), description)
