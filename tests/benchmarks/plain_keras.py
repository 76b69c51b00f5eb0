"""The same network, written as anybody would with Keras's own layers, and fitted with ``keras.Model.fit`` over a bucketed
``tf.data`` pipeline of the same rows, which are all in memory."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lambent.records import STATE_WIDTH
from models.batching import MAX_STEPS
from models.dataset import TrainingTable
from models.network import EMBEDDED, EMBEDDING_WIDTHS, HEAD_WIDTH, NECK_WIDTH, Shape
from models.trainer import Options

BUCKETS = (2, 3, 4, 5, 6, 7, 9, 11, 14, 18, 24, 32, 64, 128, MAX_STEPS + 1)


def network(shape: Shape) -> Any:
    """``models.network`` in Keras's own layers."""
    layers = keras.layers
    profile = keras.Input((shape.profile,))
    ids, floats = keras.Input((None, shape.ids), dtype="int32"), keras.Input((None, shape.floats))
    normal = [layers.Normalization(mean=np.zeros(n), variance=np.ones(n)) for n in (shape.profile, shape.floats)]
    width, known = STATE_WIDTH - shape.intents, normal[0](profile)
    first = layers.Dense(width, "tanh")(layers.Dense(NECK_WIDTH, use_bias=False)(known))
    prior = layers.Reshape((1, shape.intents))(layers.Dense(shape.intents, use_bias=False)(known))
    kind = layers.Lambda(lambda t: keras.ops.one_hot(t[..., 0], shape.types, dtype="float32"))(ids)
    column = {name: 1 + i for i, name in enumerate(EMBEDDED)}
    embedded = [layers.Embedding(EMBEDDED[n], width)(ids[..., column[n]]) for n, width in EMBEDDING_WIDTHS.items()]
    x = layers.Concatenate()([kind, *embedded, normal[1](floats)])
    state = layers.GRU(width, return_sequences=True)(x, initial_state=first)
    hidden = layers.Dense(HEAD_WIDTH, "relu")(layers.Concatenate()([state, x]))
    logits = layers.Add()([prior, layers.Dense(shape.intents)(hidden)])
    return keras.Model([profile, ids, floats], logits)


def pipeline(table: TrainingTable, batch: int) -> Any:
    """Padded batches of sessions of like length."""
    parts = list(table.chunks("train"))
    length = np.concatenate([part.length for part in parts])

    def ragged(name: str) -> Any:
        return tf.RaggedTensor.from_row_lengths(np.concatenate([getattr(part, name) for part in parts]), length)

    profile = np.concatenate([part.profile for part in parts])
    rows = tf.data.Dataset.from_tensor_slices((profile, ragged("ids"), ragged("floats"), ragged("labels")))

    def padded(profile: Any, ids: Any, floats: Any, labels: Any) -> tuple[Any, ...]:
        wide, numbers = (t.to_tensor() if isinstance(t, tf.RaggedTensor) else t for t in (ids, floats))
        return profile, wide, numbers, tf.cast(labels, tf.int32), tf.ones_like(labels, tf.float32)

    return (
        rows.shuffle(10_000, seed=1)
        .map(padded)
        .bucket_by_sequence_length(
            lambda profile, ids, floats, labels, mask: tf.shape(labels)[0],
            list(BUCKETS),
            [batch] * (len(BUCKETS) + 1),
            pad_to_bucket_boundary=True,
        )
        .map(lambda profile, ids, floats, labels, mask: ((profile, ids, floats), labels, mask))
        .prefetch(4)
    )


def fit(table: TrainingTable, shape: Shape, xla: bool, epochs: int) -> list[float]:
    """Seconds of each epoch."""
    options = Options()
    model = network(shape)
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 100_000, warmup_target=3e-3, warmup_steps=5_000)
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=0.3, global_clipnorm=options.clip, use_ema=True,
        ema_momentum=options.average_decay,
    )  # fmt: skip
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=xla)
    batches, seconds = pipeline(table, options.batch), []
    for _ in range(epochs):
        started_s = time.monotonic()
        model.fit(batches, epochs=1, verbose=0)
        seconds.append(time.monotonic() - started_s)
    return seconds
