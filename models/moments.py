"""What a training split is like, found by one pass over it: how much there is, means, and how frequent each label is."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from models.dataset import TrainingTable
from models.horovod_runner import World
from models.network import IntentNetwork, Shape

Floats = NDArray[np.float64]

LEAST_STD = 0.1
"""What is rarely other than 0 varies less. Divided by that it would be as large as nothing else where it comes up, with weights that
few events have taught, and in a log that goes on longer than the one learnt from it comes up more (ADR 0035)."""
CONSTANT_STD = 1e-4
"""A column that varies less never changes, but for rounding."""


@dataclasses.dataclass(frozen=True)
class Moments:
    """What one pass over the training split says.

    Attributes:
        steps: global batches of an epoch.
        profile, floats: [2, width] mean and standard deviation, the latter ``LEAST_STD`` at least; 1 where a column never changes.
        base_rates: [K] share of each label.
        sessions, events: how many the split has.
    """

    steps: int
    profile: Floats
    floats: Floats
    base_rates: Floats
    sessions: int
    events: int


def moments(table: TrainingTable, intents: int, batch: int, world: World) -> Moments:
    """Each rank reads its rows; their sums are added up."""
    steps = count = 0
    profile, floats = np.zeros((3, table.profile_width)), np.zeros((3, table.floats_width))
    labels = np.zeros(intents)
    for chunk in table.share("train", rank=world.rank, ranks=world.size):
        count += chunk.count
        steps += chunk.steps(batch)
        profile += _powers(chunk.sessions.profile)
        floats += _powers(chunk.sessions.floats)
        labels += np.bincount(chunk.sessions.labels, minlength=intents)
    total = world.sum_array(np.concatenate([profile.ravel(), floats.ravel(), labels]))
    parts = np.split(total, [profile.size, profile.size + floats.size])
    events = max(int(parts[2].sum()), 1)
    return Moments(steps, _mean_std(parts[0]), _mean_std(parts[1]), parts[2] / events, count, events)


def _powers(x: NDArray[np.float32]) -> Floats:
    """[3, width] count, sum and sum of squares of ``x`` [n, width]."""
    return np.stack([np.full(x.shape[1], len(x)), x.sum(0, dtype="f8"), np.square(x, dtype="f8").sum(0)])


def _mean_std(powers: Floats) -> Floats:
    count, total, squares = powers.reshape(3, -1)
    count = np.maximum(count, 1)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    return np.stack([mean, np.where(std < CONSTANT_STD, 1.0, np.maximum(std, LEAST_STD))])


def prepare(features_shape: Shape, found: Moments, seed: int) -> IntentNetwork:
    """A network that knows the split's means and starts at its base rates."""
    network = IntentNetwork(features_shape, seed)
    for layer, values in ((network.profile_normal, found.profile), (network.float_normal, found.floats)):
        layer.set_weights(list(values.astype(np.float32)))
    network.head.bias.assign(np.log(np.maximum(found.base_rates, 1e-6)))
    return network
