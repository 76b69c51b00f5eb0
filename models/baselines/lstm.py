"""The plain Keras LSTM over five features: clicks so far, dwell, purchases so far, category, and gender where it is told.

Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 1997. It begins each session knowing nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import EMBEDDED, FeatureSet
from models.batching import MAX_STEPS, plan
from models.dataset import Sessions
from models.picked import take
from models.scored import Predict

Array = NDArray[Any]

STEP = ("view_log", "dwell_log_s", "purchase_log")
WIDTH, CATEGORY_WIDTH = 32, 8
BATCH, EPOCHS, PATIENCE, RATE = 256, 12, 2, 2e-3


def fit(train: Sessions, validation: Sessions, features: FeatureSet) -> Predict:
    """Trained until the validation split's log loss stops to fall; the best epoch is kept."""
    import keras

    from models.rank import set_up

    set_up(seed=1)
    numbers = inputs(take(train, np.arange(min(len(train.length), 1))), features)[1].shape[-1]
    category, rest = keras.Input((None,), dtype="int32"), keras.Input((None, numbers))
    x = keras.layers.Concatenate()([keras.layers.Embedding(EMBEDDED["category"], CATEGORY_WIDTH)(category), rest])
    x = keras.layers.LSTM(WIDTH, return_sequences=True)(x)
    network = keras.Model([category, rest], keras.layers.Dense(len(features.taxonomy.intents), "softmax")(x))
    network.compile(keras.optimizers.Adam(RATE), loss="sparse_categorical_crossentropy", weighted_metrics=[])
    best, left, weights = np.inf, PATIENCE, network.get_weights()
    rng = np.random.default_rng(1)
    # Keras takes the mean over all that a batch holds, padding included; an event shall count the same in each.
    events = np.minimum(train.length, MAX_STEPS).sum() / len(plan(train.length, BATCH, None))  # of a batch, on average
    for _ in range(EPOCHS):
        for one, labels, mask in batches(train, features, rng):
            network.train_on_batch(one, labels, sample_weight=mask * (mask.size / events))
        loss = _loss(network, validation, features)
        best, left, weights = (loss, PATIENCE, network.get_weights()) if loss < best else (best, left - 1, weights)
        if not left:
            break
    network.set_weights(weights)
    return lambda sessions: _predict(network, sessions, features)


def inputs(sessions: Sessions, features: FeatureSet) -> tuple[Array, Array]:
    """[n] category and [n, numbers] counts, dwell and gender of each event."""
    own = [features.step_floats.index(name) for name in STEP if name in features.step_floats]
    gender = [at for at, name in enumerate(features.profile.feature_names) if name.startswith("gender_")]
    told = np.repeat(sessions.profile[:, gender], sessions.length, axis=0)
    return sessions.ids[:, features.step_ids.index("category")], np.concatenate([sessions.floats[:, own], told], axis=1)


def batches(
    sessions: Sessions, features: FeatureSet, rng: np.random.Generator | None
) -> Iterator[tuple[list[Array], Array, Array]]:
    """Padded sessions of like length: inputs, labels and mask."""
    category, numbers = inputs(sessions, features)
    for rows in plan(sessions.length, BATCH, rng):
        length = np.minimum(sessions.length[rows], MAX_STEPS)
        inside = np.arange(length.max()) < length[:, None]  # [n, T]
        at = np.where(inside, sessions.first[rows][:, None] + np.arange(length.max()), 0)  # [n, T]
        mask = inside.astype(np.float32)
        yield [category[at] * inside, numbers[at] * mask[..., None]], sessions.labels[at] * inside, mask


def _loss(network: Any, sessions: Sessions, features: FeatureSet) -> float:
    total = events = 0.0
    for one, labels, mask in batches(sessions, features, None):
        said = np.take_along_axis(network.predict_on_batch(one), labels[..., None], axis=-1)[..., 0]
        total -= float((mask * np.log(np.maximum(said, 1e-12))).sum())
        events += float(mask.sum())
    return total / max(events, 1.0)


def _predict(network: Any, sessions: Sessions, features: FeatureSet) -> Array:
    """[n, K] in the order of the steps; what lies behind the longest that is padded gets what was said last."""
    said = np.zeros((len(sessions.labels), len(features.taxonomy.intents)), np.float32)
    for rows, (one, _, _) in zip(plan(sessions.length, BATCH, None), batches(sessions, features, None), strict=True):
        found = network.predict_on_batch(one)
        for number, session in enumerate(rows):
            first, length = sessions.first[session], min(sessions.length[session], MAX_STEPS)
            said[first : first + length] = found[number, :length]
            said[first + length : first + sessions.length[session]] = found[number, length - 1]
    return said
