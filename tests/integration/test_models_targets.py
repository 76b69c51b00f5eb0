"""What training aims at, held against the same for one session after another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.dataset import Sessions

pytestmark = pytest.mark.integration

INTENTS = 4
SHARE = 0.75

lengths = st.lists(st.integers(1, 6), min_size=0, max_size=7)


def one_by_one(said: NDArray[Any], labels: NDArray[Any], decides: NDArray[Any], share: float) -> NDArray[Any]:
    """The targets of one session's events."""
    found = np.eye(INTENTS)[labels]
    for t in range(len(labels) - 1):
        if not decides[t + 1]:
            found[t] = (1 - share) * found[t] + share * said[t + 1]
    return found


@settings(deadline=None)
@given(length=lengths, seed=st.integers(0, 2**32 - 1))
def test_targets_of_a_packed_batch_are_those_of_its_sessions(length: list[int], seed: int) -> None:
    from models.targets import targets

    rng, events = np.random.default_rng(seed), sum(length)
    logits = rng.normal(0, 2, (events, INTENTS)).astype(np.float32)
    said = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels, decides = rng.integers(0, INTENTS, events).astype(np.int32), rng.random(events) < 0.3
    number = np.arange(events)[:, None]  # of each event, to find it in the batch
    lengths, first = np.array(length, np.int64), np.cumsum([0, *length])[:-1].astype(np.int64)
    profile, floats = (np.zeros((n, 1), np.float32) for n in (len(length), events))
    batch = Sessions(profile, lengths, first, number, floats, labels, decides).pack(np.arange(len(length)))
    at = batch.ids[:, 0]
    found = targets(logits[at], batch.labels, batch.follows, SHARE).numpy()
    wanted = np.concatenate([
        np.zeros((0, INTENTS)),
        *(one_by_one(said[i : i + n], labels[i : i + n], decides[i : i + n], SHARE) for i, n in zip(first, length, strict=True)),
    ])  # fmt: skip
    np.testing.assert_allclose(found, wanted[at], atol=1e-6)
    np.testing.assert_array_equal(targets(logits[at], batch.labels, batch.follows, 0.0), np.eye(INTENTS)[labels[at]])


def test_nothing_is_learnt_through_a_target() -> None:
    import tensorflow as tf

    from models.targets import targets

    logits = tf.Variable(np.zeros((4, INTENTS), np.float32))
    with tf.GradientTape() as tape:
        aims = targets(logits, np.zeros(4, np.int32), np.array([2, 3, -1, -1], np.int32), SHARE)
        total = tf.reduce_sum(aims * tf.constant([1.0, 2.0, 3.0, 4.0]))
    assert tape.gradient(total, logits) is None
