"""The network: a profile becomes a state, and each event moves the state and says the intent.

    p        = P · normal(profile)
    h_0      = tanh(V · N · normal(profile))
    x_t      = [onehot(type_t), E_category[…], E_brand[…], E_device[…], E_query[…], normal(floats_t), hats(dwell_t)]
    h_t      = GRU(x_t, h_{t-1})
    logits_t = p + U · relu(W · [h_t, x_t])

The GRU is ``recurrence.Recurrence``. The event enters the head beside the state, so that what is plain from the event
alone need not pass the gates. What the profile says of the intent, whatever happens, is the prior p, as in a logistic
regression; what it has to do with events passes a neck of few units. A profile has hundreds of features and a session
one: given all of the state's floats, the network learns by heart (measured in ADR 0028). The state that is kept
is [h_t, p].

How long a visitor stayed says what it says by its size, not in proportion: it is spread over a spline, so that any function of it
is near a weighted sum (ADR 0035).

Shapes: n sessions, T steps, D profile features, I ids, F floats, K intents, H of the recurrence, S = H + K of the state.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lambent.features import EMBEDDED, FeatureSet
from lambent.records import STATE_WIDTH
from models.recurrence import Recurrence

EMBEDDING_WIDTHS = {"category": 4, "brand": 2, "device": 2, "query_first": 4, "query_last": 4}
"""Floats an id becomes. Measured on simulated shops, wider tables (8, 6) validate no better, and a table of products
(4) no better either, at three times the size: what a product means for this visitor is in the floats already
(repeated, remembered, price)."""

HEAD_WIDTH = 48
NECK_WIDTH = 8
HATS, HATS_AN_OCTAVE, HATS_HEIGHT = 18, 2, 3.0
"""Of the dwell's spline: up to six minutes; as high as to vary about as much as a normalised number does."""
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
    dwell: int
    """Which of the floats is log(1 + dwell in seconds)."""

    @classmethod
    def of(cls, features: FeatureSet) -> Shape:
        """The widths of a feature set."""
        taxonomy = features.taxonomy
        widths = len(features.profile.feature_names), len(features.step_ids), len(features.step_floats)
        dwell = features.step_floats.index("dwell_log_s")
        return cls(*widths, len(taxonomy.types), len(taxonomy.intents), dwell)


class Normal(keras.layers.Layer):
    """``clip((x - mean) / std, ±6)``, mean and std being weights that are set once from the training split."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.mean = self.add_weight(name="mean", shape=shape[-1:], initializer="zeros", trainable=False)
        self.std = self.add_weight(name="std", shape=shape[-1:], initializer="ones", trainable=False)

    def call(self, x: Any) -> Any:
        return keras.ops.clip((x - self.mean) / self.std, -NORMAL_LIMIT, NORMAL_LIMIT)


def hats(x: Any) -> Any:
    """[…, 1] logarithms → […, HATS] a linear spline: 1 at a hat's own knot, 0 at its neighbours', times their height.

    de Boor, "A Practical Guide to Splines", 1978, of order 2.
    """
    knots = np.arange(HATS, dtype=np.float32)
    at = tf.minimum(x * (HATS_AN_OCTAVE / math.log(2)), knots[-1])  # […, 1] in knots
    return HATS_HEIGHT * tf.nn.relu(1.0 - tf.abs(at - knots))  # […, HATS]


class IntentNetwork(keras.Model):
    """``start`` and ``step`` as they are served, and ``call``, which is both over whole sessions at once.

    Args:
        shape: the widths.
        seed: of the first weights.
    """

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__()
        glorot = [keras.initializers.GlorotUniform(seed + 10 + i) for i in range(4)]
        self._width = STATE_WIDTH - shape.intents
        self.shape_of = shape
        self.profile_normal, self.float_normal = Normal(name="profile_normal"), Normal(name="float_normal")
        self.prior = keras.layers.Dense(
            shape.intents, use_bias=False, kernel_initializer=_small(seed + 20, 1e-3), name="prior"
        )
        self.neck = keras.layers.Dense(NECK_WIDTH, use_bias=False, kernel_initializer=glorot[3], name="neck")
        self.first = keras.layers.Dense(self._width, "tanh", kernel_initializer=glorot[0], name="start")
        self.embeddings = {
            name: keras.layers.Embedding(EMBEDDED[name], width, name=name, embeddings_initializer=_small(seed + i))
            for i, (name, width) in enumerate(EMBEDDING_WIDTHS.items())
        }
        self.recurrence = Recurrence(self._width, seed + 1)
        self.hidden = keras.layers.Dense(HEAD_WIDTH, "relu", kernel_initializer=glorot[1], name="hidden")
        self.head = keras.layers.Dense(shape.intents, kernel_initializer=glorot[2], name="head")
        self._build_all()

    def build(self, *shapes: Any) -> None:
        """Nothing: the layers build themselves when ``_build_all`` calls them."""

    def _build_all(self) -> None:
        """Make every weight now, in one order on all ranks."""
        s = self.shape_of
        for layer in self.embeddings.values():
            layer.build()
        state = self.start(np.zeros((1, s.profile), "f4"))
        self.step(state, np.zeros((1, s.ids), "i4"), np.zeros((1, s.floats), "f4"))

    def start(self, profile: Any) -> Any:
        """[n, D] profiles → [n, S] states before the first event."""
        return keras.ops.concatenate(self._begin(profile), axis=-1)  # [n, H], [n, K] → [n, S]

    def step(self, state: Any, ids: Any, floats: Any) -> tuple[Any, Any]:
        """[n, S] states and one event each ([n, I], [n, F]) → [n, S] states and [n, K] logits."""
        x = self.event(ids, floats)  # [n, X]
        h, prior = keras.ops.split(state, [self._width], axis=-1)  # [n, S] → [n, H], [n, K]
        h = self.recurrence.advance(h, x)  # [n, H], [n, X] → [n, H]
        return keras.ops.concatenate([h, prior], axis=-1), self.logits(h, x, prior)  # [n, S], [n, K]

    def call(self, profile: Any, alive: Any, ids: Any, floats: Any) -> Any:
        """Packed sessions: [n, D], [T], [events, I], [events, F] → [events, K] logits."""
        x = self.event(ids, floats)  # [events, X]
        first, prior = self._begin(profile)  # [n, H], [n, K]
        h = self.recurrence.over(first, x, alive)  # [n, H], [events, X], [T] → [events, H]
        return self.logits(h, x, tf.gather(prior, tf.ragged.range(alive).values))  # [events, K]

    def _begin(self, profile: Any) -> tuple[Any, Any]:
        """[n, D] profiles → [n, H], [n, K]."""
        normal = self.profile_normal(profile)  # [n, D]
        return self.first(self.neck(normal)), self.prior(normal)

    def event(self, ids: Any, floats: Any) -> Any:
        """[…, I], […, F] → […, X] one event as the cell sees it."""
        kind, *columns = tf.unstack(ids, axis=-1)  # […] each
        known = tf.one_hot(kind, self.shape_of.types)  # […, types]
        column = dict(zip(EMBEDDED, columns, strict=True))
        # Not by calling the layers: they also take negative ids, which costs three operations of a step each.
        embedded = [tf.gather(one.embeddings, column[name]) for name, one in self.embeddings.items()]  # […, width] each
        dwell = self.shape_of.dwell
        spread = hats(floats[..., dwell : dwell + 1])  # […, HATS]
        return keras.ops.concatenate([known, *embedded, self.float_normal(floats), spread], axis=-1)  # […, X]

    def logits(self, h: Any, x: Any, prior: Any) -> Any:
        """[…, H], […, X], […, K] → […, K]."""
        return prior + self.head(self.hidden(keras.ops.concatenate([h, x], axis=-1)))  # […, H + X] → […, K]


def input_signature(shape: Shape) -> list[Any]:
    """What a traced ``call`` takes of a batch: profile, alive, ids, floats, of any size; one trace does."""
    return [
        tf.TensorSpec((None, shape.profile), tf.float32),
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((None, shape.ids), tf.int32),
        tf.TensorSpec((None, shape.floats), tf.float32),
    ]


def batch_signature(shape: Shape) -> list[Any]:
    """All of a batch: ``input_signature``, follows and labels."""
    return [*input_signature(shape), tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.int32)]


def loss_sum(logits: Any, labels: Any) -> Any:
    """Sum of the cross-entropy over events, natural logarithm; [events, K] float32, [events] int32."""
    return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def _small(seed: int, spread: float = 0.05) -> Any:
    return keras.initializers.RandomNormal(stddev=spread, seed=seed)
