"""The recurrent cell, one event at a time as it is served, and over the packed sessions of a batch as it is trained.

A packed batch holds the first events of all sessions, then the second events of those that have one, and so on, the
longest session first. Nothing is padding, what goes on is always the first rows, and all that does not depend on the
state before it is one product over all events. Only what does is a loop, forward and backward.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class Recurrence(keras.layers.Layer):
    """A gated recurrent unit whose inputs enter for all steps at once, so that a loop over time holds little.

    [z, r, c] = x · K + b,   [z', r', c'] = h · R + b'
    h'        = σ(z + z') · h + (1 - σ(z + z')) · tanh(c + σ(r + r') · c')

    Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", EMNLP 2014.

    Args:
        width: H, floats of a state.
        seed: of the first weights.
    """

    def __init__(self, width: int, seed: int) -> None:
        super().__init__(name="recurrence")
        self.width = width
        glorot = keras.initializers.GlorotUniform(seed)
        self.inputs = keras.layers.Dense(3 * width, kernel_initializer=glorot, name="inputs")
        orthogonal = keras.initializers.Orthogonal(seed=seed)
        self.recurrent = keras.layers.Dense(3 * width, kernel_initializer=orthogonal, name="recurrent")

    def advance(self, state: Any, x: Any) -> Any:
        """[n, H] states and one event each [n, X] → [n, H] states."""
        H = self.width
        gates, c = keras.ops.split(self.inputs(x), [2 * H], axis=-1)  # [n, 3H] → [n, 2H], [n, H]
        gates_h, c_h = keras.ops.split(self.recurrent(state), [2 * H], axis=-1)  # [n, 3H] → [n, 2H], [n, H]
        update, reset = keras.ops.split(keras.ops.sigmoid(gates + gates_h), 2, axis=-1)  # [n, 2H] → 2 × [n, H]
        candidate = keras.ops.tanh(c + reset * c_h)  # [n, H]
        return candidate + update * (state - candidate)

    def over(self, state: Any, x: Any, alive: Any) -> Any:
        """The states after each event of packed sessions.

        Args:
            state: [n, H] first states.
            x: [events, X] inputs.
            alive: [T] sessions that have a step t, never rising, ``alive[0]`` of n.

        Returns:
            [events, H].
        """
        return packed(state, self.inputs(x), self.recurrent.kernel.value, self.recurrent.bias.value, alive)


@tf.autograph.experimental.do_not_convert
def packed(state: Any, gates: Any, kernel: Any, bias: Any, alive: Any) -> Any:
    """[n, H], [events, 3H], [H, 3H], [3H], [T] → [events, H]: the loop of ``Recurrence.over``, and its gradient.

    The gradient is written out: what a step passes back is one product, and all else, that of the kernel included, one
    operation over all events, where automatic differentiation does each of them T times.
    """
    ends = tf.cumsum(alive)  # [T]
    H = kernel.shape[0]

    @tf.custom_gradient
    def run(state: Any, gates: Any, kernel: Any, bias: Any) -> Any:
        before, recurrent = _forward(state, gates, kernel, bias, alive, ends)  # [events, H], [events, 3H]
        z, r = _update_reset(gates, recurrent)
        c_h = recurrent[:, 2 * H :]
        c = tf.tanh(gates[:, 2 * H :] + r * c_h)

        def backward(d_after: Any) -> tuple[Any, Any, Any, Any]:
            to_c = (1.0 - z) * (1.0 - tf.square(c))
            slopes = tf.concat([(before - c) * z * (1.0 - z), to_c * c_h * r * (1.0 - r), to_c * r], 1)
            d, d_state = _backward(d_after, z, slopes, kernel, tf.shape(state)[0], alive, ends)
            d_recurrent = tf.tile(d, (1, 3)) * slopes  # [events, 3H]
            d_gates = tf.concat([d_recurrent[:, : 2 * H], d * to_c], 1)
            d_kernel = tf.matmul(before, d_recurrent, transpose_a=True)
            return d_state, d_gates, d_kernel, tf.reduce_sum(d_recurrent, 0)

        return c + z * (before - c), backward

    return run(state, gates, kernel, bias)


def _update_reset(gates: Any, recurrent: Any) -> tuple[Any, Any]:
    """[n, 3H], [n, 3H] → 2 × [n, H]: how much is kept, and how much of the state the candidate sees."""
    H = gates.shape[1] // 3
    both = tf.sigmoid(gates[:, : 2 * H] + recurrent[:, : 2 * H])
    return both[:, :H], both[:, H:]


def _forward(state: Any, gates: Any, kernel: Any, bias: Any, alive: Any, ends: Any) -> tuple[Any, Any]:
    """[events, H] states before each event, and what they add to its gates, [events, 3H]."""
    H = kernel.shape[0]

    def step(t: Any, state: Any, states: Any, added: Any) -> tuple[Any, ...]:
        state = state[: alive[t]]
        recurrent = tf.nn.bias_add(tf.matmul(state, kernel), bias)
        now = gates[ends[t] - alive[t] : ends[t]]
        z, r = _update_reset(now, recurrent)
        c = tf.tanh(now[:, 2 * H :] + r * recurrent[:, 2 * H :])
        return t + 1, c + z * (state - c), states.write(t, state), added.write(t, recurrent)

    steps = tf.shape(alive)[0]
    start = (0, state, _rows(steps, H), _rows(steps, 3 * H))
    _, _, states, added = tf.while_loop(lambda t, *_: t < steps, step, start, (*_loop_shapes(H), tf.TensorShape(None)))
    return states.concat(), added.concat()


def _backward(d_after: Any, z: Any, slopes: Any, kernel: Any, n: Any, alive: Any, ends: Any) -> tuple[Any, Any]:
    """[events, H] what each state after an event is to the loss in all, and [n, H] the first states."""
    H = kernel.shape[0]

    def step(t: Any, passed: Any, all_in_all: Any) -> tuple[Any, ...]:
        rows = slice(ends[t] - alive[t], ends[t])
        d = d_after[rows] + tf.pad(passed, [[0, alive[t] - tf.shape(passed)[0]], [0, 0]])
        through = tf.matmul(tf.tile(d, (1, 3)) * slopes[rows], kernel, transpose_b=True)
        return t - 1, d * z[rows] + through, all_in_all.write(t, d)

    steps = tf.shape(alive)[0]
    start = (steps - 1, tf.zeros((0, H)), _rows(steps, H))
    _, passed, d = tf.while_loop(lambda t, *_: t >= 0, step, start, _loop_shapes(H))
    return d.concat(), tf.pad(passed, [[0, n - tf.shape(passed)[0]], [0, 0]])


def _loop_shapes(width: int) -> tuple[Any, ...]:
    """Of what a loop over time hands on: the step, a state for each session that goes on, an array of a row a step."""
    return tf.TensorShape([]), tf.TensorShape([None, width]), tf.TensorShape(None)


def _rows(steps: Any, width: int) -> Any:
    return tf.TensorArray(tf.float32, steps, element_shape=(None, width), infer_shape=False)
