"""The network: a profile becomes a state, and each event moves the state and says the intent.

    h_0      = tanh(V · normal(profile))
    x_t      = [onehot(type_t), E_category[…], E_brand[…], E_device[…], normal(floats_t)]
    h_t      = GRU(x_t, h_{t-1})
    logits_t = U · relu(W · [h_t, x_t])

GRU: Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014. The event enters the head
beside the state, so that what is plain from the event alone need not pass the gates.

Shapes: n sessions, T steps, D profile features, I ids, F floats, K intents, H the state's width.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lambent.features import EMBEDDED, FeatureSet
from lambent.records import STATE_WIDTH

EMBEDDING_WIDTHS = {"category": 4, "brand": 2, "device": 2}
"""Floats an id becomes. Measured on simulated shops, wider tables (8, 6) validate no better, and a table of products
(4) no better either, at three times the size: what a product means for this visitor is in the floats already
(repeated, affinity, price)."""

HEAD_WIDTH = 48
NORMAL_LIMIT = 6.0
"""Normalised values are cut off here, in standard deviations: an outlier must not drive the state."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """The widths that a feature set gives the network."""

    profile: int
    ids: int
    floats: int
    types: int
    intents: int

    @classmethod
    def of(cls, features: FeatureSet) -> Shape:
        """The widths of a feature set."""
        taxonomy = features.taxonomy
        widths = len(features.profile.feature_names), len(features.step_ids), len(features.step_floats)
        return cls(*widths, len(taxonomy.types), len(taxonomy.intents))


class Normal(keras.layers.Layer):
    """``clip((x - mean) / std, ±6)``, mean and std being weights that are set once from the training split."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.mean = self.add_weight(name="mean", shape=shape[-1:], initializer="zeros", trainable=False)
        self.std = self.add_weight(name="std", shape=shape[-1:], initializer="ones", trainable=False)

    def call(self, x: Any) -> Any:
        return keras.ops.clip((x - self.mean) / self.std, -NORMAL_LIMIT, NORMAL_LIMIT)


class Recurrence(keras.layers.Layer):
    """A gated recurrent unit whose inputs enter for all steps at once, so that a loop over time holds little.

    [z, r, c] = x · K + b,   [z', r', c'] = h · R + b'
    h'        = σ(z + z') · h + (1 - σ(z + z')) · tanh(c + σ(r + r') · c')
    """

    def __init__(self, seed: int) -> None:
        super().__init__(name="recurrence")
        glorot = keras.initializers.GlorotUniform(seed)
        self.inputs = keras.layers.Dense(3 * STATE_WIDTH, kernel_initializer=glorot, name="inputs")
        orthogonal = keras.initializers.Orthogonal(seed=seed)
        self.recurrent = keras.layers.Dense(3 * STATE_WIDTH, kernel_initializer=orthogonal, name="recurrent")

    def advance(self, state: Any, gates: Any) -> Any:
        """[n, H] states and [n, 3H] gated inputs → [n, H] states."""
        z, r, c = keras.ops.split(gates, 3, axis=-1)  # [n, 3H] → 3 × [n, H]
        z_h, r_h, c_h = keras.ops.split(self.recurrent(state), 3, axis=-1)  # [n, H] → 3 × [n, H]
        update = keras.ops.sigmoid(z + z_h)  # [n, H]
        candidate = keras.ops.tanh(c + keras.ops.sigmoid(r + r_h) * c_h)  # [n, H]
        return update * state + (1.0 - update) * candidate

    def over(self, state: Any, x: Any) -> Any:
        """[n, H] first states and [n, T, X] inputs → [n, T, H] states after each."""
        gates = tf.transpose(self.inputs(x), (1, 0, 2))  # [n, T, X] → [T, n, 3H]
        return tf.transpose(tf.scan(self.advance, gates, state), (1, 0, 2))  # [T, n, H] → [n, T, H]


class IntentNetwork(keras.Model):
    """``start`` and ``step`` as they are served, and ``call``, which is both over whole sessions at once.

    Args:
        shape: the widths.
        seed: of the first weights.
    """

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__()
        glorot = [keras.initializers.GlorotUniform(seed + 10 + i) for i in range(3)]
        self.shape_of = shape
        self.profile_normal, self.float_normal = Normal(name="profile_normal"), Normal(name="float_normal")
        self.first = keras.layers.Dense(STATE_WIDTH, "tanh", kernel_initializer=glorot[0], name="start")
        self.embeddings = {
            name: keras.layers.Embedding(EMBEDDED[name], width, name=name, embeddings_initializer=_small(seed + i))
            for i, (name, width) in enumerate(EMBEDDING_WIDTHS.items())
        }
        self.recurrence = Recurrence(seed + 1)
        self.hidden = keras.layers.Dense(HEAD_WIDTH, "relu", kernel_initializer=glorot[1], name="hidden")
        self.head = keras.layers.Dense(shape.intents, kernel_initializer=glorot[2], name="head")
        self._build_all()

    def build(self, *shapes: Any) -> None:
        """Nothing: the layers build themselves when ``_build_all`` calls them."""

    def _build_all(self) -> None:
        """Make every weight now, in one order on all ranks."""
        s = self.shape_of
        self(np.zeros((1, s.profile), "f4"), np.zeros((1, 1, s.ids), "i4"), np.zeros((1, 1, s.floats), "f4"))

    def start(self, profile: Any) -> Any:
        """[n, D] profiles → [n, H] states before the first event."""
        return self.first(self.profile_normal(profile))  # [n, D] → [n, H]

    def step(self, state: Any, ids: Any, floats: Any) -> tuple[Any, Any]:
        """[n, H] states and one event each ([n, I], [n, F]) → [n, H] states and [n, K] logits."""
        x = self.event(ids, floats)  # [n, X]
        state = self.recurrence.advance(state, self.recurrence.inputs(x))  # [n, H], [n, X] → [n, H]
        return state, self.logits(state, x)  # [n, K]

    def call(self, profile: Any, ids: Any, floats: Any) -> Any:
        """Whole sessions: [n, D], [n, T, I], [n, T, F] → [n, T, K] logits. What follows the padding's start is void."""
        x = self.event(ids, floats)  # [n, T, X]
        states = self.recurrence.over(self.start(profile), x)  # [n, H], [n, T, X] → [n, T, H]
        return self.logits(states, x)  # [n, T, K]

    def event(self, ids: Any, floats: Any) -> Any:
        """[…, I], […, F] → […, X] one event as the cell sees it."""
        kind = keras.ops.one_hot(ids[..., 0], self.shape_of.types, dtype="float32")  # […, types]
        column = {name: 1 + i for i, name in enumerate(EMBEDDED)}
        embedded = [layer(ids[..., column[name]]) for name, layer in self.embeddings.items()]  # […, width] each
        return keras.ops.concatenate([kind, *embedded, self.float_normal(floats)], axis=-1)  # […, X]

    def logits(self, state: Any, x: Any) -> Any:
        """[…, H], […, X] → […, K]."""
        return self.head(self.hidden(keras.ops.concatenate([state, x], axis=-1)))  # […, H + X] → […, K]


def batch_signature(shape: Shape) -> list[Any]:
    """What a traced function takes of a batch: profile, ids, floats, labels, mask, for any n and T; one trace does."""
    return [
        tf.TensorSpec((None, shape.profile), tf.float32),
        tf.TensorSpec((None, None, shape.ids), tf.int32),
        tf.TensorSpec((None, None, shape.floats), tf.float32),
        tf.TensorSpec((None, None), tf.int32),
        tf.TensorSpec((None, None), tf.float32),
    ]


def loss_sum(logits: Any, labels: Any, mask: Any) -> Any:
    """Sum of the cross-entropy over the steps of a batch, natural logarithm.

    Args:
        logits: [n, T, K] float32.
        labels: [n, T] int32.
        mask: [n, T] float32; 0 for padding, which adds nothing.
    """
    return tf.reduce_sum(mask * tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def _small(seed: int) -> Any:
    return keras.initializers.RandomNormal(stddev=0.05, seed=seed)
