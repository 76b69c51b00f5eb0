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


def targets(logits: Any, labels: Any, follows: Any, share: float) -> Any:
    """Distributions that the events of a batch are trained towards; no gradient goes through what they are made of.

    Args:
        logits: [events, K] what the network says after each event.
        labels: [events] int32, the intent that follows.
        follows: [events] int32, see ``dataset.Batch``.
        share: b, from 0 to 1.

    Returns:
        [events, K], each row of sum 1.
    """
    happened = tf.one_hot(labels, logits.shape[-1])  # [events, K]
    said = tf.gather(tf.nn.softmax(logits), tf.maximum(follows, 0))  # [events, K]
    mixed = (1.0 - share) * happened + share * said
    return tf.stop_gradient(tf.where((follows >= 0)[:, None], mixed, happened))
