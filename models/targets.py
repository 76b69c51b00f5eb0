"""What a step of training aims at: in part what happened, in part what the network itself says one event later.

The events of a session share one outcome, which is a single draw however many they are. One event later more is known, so that what is
said then is the same on average with less chance in it:

    target_t = (1 - b) · onehot(label_t) + b · said_{t+1}    where event t + 1 is there and decides nothing
    target_t = onehot(label_t)                               elsewhere

Sutton, "Learning to Predict by the Methods of Temporal Differences", Machine Learning 1988, for probabilities. What it is
worth: ADR 0032.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def targets(logits: Any, labels: Any, alive: Any, decides: Any, share: float) -> Any:
    """Distributions that a packed batch is trained towards; no gradient goes through what they are made of.

    Args:
        logits: [events, K] what the network says after each event.
        labels: [events] int32, the intent that follows.
        alive: [T] int32, sessions that have a step t, never rising.
        decides: [events] bool, whether the event decides a session.
        share: b, from 0 to 1.

    Returns:
        [events, K], each row of sum 1.
    """
    happened = tf.one_hot(labels, logits.shape[-1])  # [events, K]
    if not share:
        return happened
    events = tf.shape(labels)[0]
    # Sessions that go on are the first rows of a step, so that from the second step on an event lies behind the one
    # before it in its session by as many rows as that one's step has.
    later = tf.range(events - tf.reduce_sum(alive[1:]), events)  # [events of steps 1 … T - 1]
    before = later - tf.repeat(alive[:-1], alive[1:])
    open_still = tf.logical_not(tf.gather(decides, later))
    later, before = later[open_still], before[open_still]
    said = tf.gather(tf.nn.softmax(logits), later)
    mixed = (1.0 - share) * tf.gather(happened, before) + share * said
    return tf.stop_gradient(tf.tensor_scatter_nd_update(happened, before[:, None], mixed))
