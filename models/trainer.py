"""The training step, on all ranks at once, and the weights' running mean."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.dataset import Batch, TrainingTable, as_tensors
from models.horovod_runner import World
from models.network import IntentNetwork, batch_signature, loss_sum
from models.pruning import prune, share_at
from models.targets import targets

SCORED_SESSIONS = 1_024
"""Sessions of a global batch that is only scored."""
FEWEST_STEPS = 20
"""An epoch of fewer decays as one of so many: half of a weight at a step is no decay."""
STEPS_A_CALL = 64
"""Steps that one call of TensorFlow takes: a call costs as much as a tenth of a step."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How to train.

    Attributes:
        batch: sessions of a rank's batch; a global batch has ``ranks`` times as many.
        epochs: passes over the training split, at most.
        patience: epochs without a better validation log loss before it stops, from the half of them on.
        learning_rate: of one rank; see ``scaled_rate``.
        decay_an_epoch: of AdamW, on all but biases: how often an epoch at the highest rate takes a weight's own size off it. So tables of
            any size forget in as many epochs (Wang and Aitchison, "How to set AdamW's weight decay as you scale model and dataset
            size", 2024).
        clip: largest global norm of a gradient.
        bootstrap: share of an event's target that is what the network says one event later; see ``targets``.
        average_decay: of the weights' running mean, once the training is long enough for it.
        seed: of first weights and of the order of batches.
        prune: share of each matrix's weights that end as 0; see ``pruning``.
    """

    batch: int = 256
    epochs: int = 6
    patience: int = 2
    learning_rate: float = 6e-3
    decay_an_epoch: float = 0.85
    clip: float = 1.0
    bootstrap: float = 0.9
    average_decay: float = 0.99
    seed: int = 1
    prune: float = 0.0


def scaled_rate(options: Options, ranks: int) -> float:
    """The learning rate for ``ranks`` times the batch: times √ranks, the rule for Adam.

    Malladi et al., "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms", NeurIPS 2022.
    """
    return options.learning_rate * math.sqrt(ranks)


class Vector:
    """Some variables as one vector: one message between ranks, one step of the optimizer, one running mean.

    Args:
        variables: in the vector's order.
    """

    def __init__(self, variables: Sequence[Any]) -> None:
        self.variables = list(variables)
        self.sizes = [math.prod(v.shape) for v in self.variables]

    def join(self, tensors: Sequence[Any]) -> Any:
        """One tensor a variable → [sum of sizes]."""
        return tf.concat([tf.reshape(t, (-1,)) for t in tensors], 0)

    def assign(self, vector: Any) -> None:
        """Give the variables a vector's values."""
        for variable, part in zip(self.variables, tf.split(vector, self.sizes), strict=True):
            variable.assign(tf.reshape(part, variable.shape))


@dataclasses.dataclass(frozen=True)
class Took:
    """What some steps said: how many there were, their summed loss in nats, and of how many events."""

    steps: int
    loss: float
    events: float


class Trainer:
    """The training step and the weights' running mean.

    The mean of the weights over the last steps validates better than the weights (Polyak and Juditsky, "Acceleration
    of stochastic approximation by averaging", 1992) and is what is kept.

    Args:
        world: the other ranks; all get rank 0's weights.
        network: what is trained.
        options: how.
        steps: global batches of an epoch.
    """

    def __init__(self, world: World, network: IntentNetwork, options: Options, steps: int) -> None:
        self.world, self.network, self.options = world, network, options
        world.broadcast([v.value for v in network.variables])
        self.average = IntentNetwork(network.shape_of, options.seed)
        self.average.set_weights(network.get_weights())
        self.vector, self._average = (Vector(_weights_then_biases(n)) for n in (network, self.average))
        joined = self.vector.join([v.value for v in self.vector.variables])
        biases = sum(math.prod(v.shape) for v in self.vector.variables if _is_bias(v))
        self._matrices = sum(not _is_bias(v) for v in self.vector.variables)
        self._parts = [len(joined) - biases, biases]
        weights, bias = tf.split(joined, self._parts)
        self.weights, self.bias = keras.Variable(weights, name="weights"), keras.Variable(bias, name="bias")
        self.mean = tf.Variable(joined, trainable=False)
        self._steps = steps
        self.optimizer = self._optimizer(steps)
        self.optimizer.build([self.weights, self.bias])
        signature = batch_signature(network.shape_of)
        following = tf.data.IteratorSpec(tuple(signature))
        self._train = tf.function(lambda batches: _repeat(self._train_step, batches), input_signature=[following])
        self._score = tf.function(lambda batches: _repeat(self._score_step, batches), input_signature=[following])

    def _optimizer(self, steps: int) -> Any:
        """AdamW (Loshchilov and Hutter, ICLR 2019) with warm-up over a twentieth of all steps and a cosine to zero."""
        total, rate = steps * self.options.epochs, scaled_rate(self.options, self.world.size)
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, total, warmup_target=rate, warmup_steps=max(total // 20, 1)
        )
        # Keras multiplies it by the rate at each step.
        decay = self.options.decay_an_epoch / (rate * max(steps, FEWEST_STEPS))
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=decay)
        optimizer.exclude_from_weight_decay(var_list=[self.bias])
        return optimizer

    def gradients(self, *batch: Any) -> tuple[Any, Any, Any]:
        """Gradient, as a vector, of the mean cross-entropy per event of the *global* batch, towards its ``targets``; the summed
        cross-entropy of what happened; its events.
        """
        *inputs, follows, labels = batch
        with tf.GradientTape() as tape:
            logits = self.network.call(*inputs)
            aims = targets(logits, labels, follows, self.options.bootstrap)
            missed = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(aims, logits))
        own = tape.gradient(missed, [v.value for v in self.vector.variables])
        loss = loss_sum(logits, labels)
        events = tf.cast(tf.shape(labels)[0], tf.float32)
        summed = self.world.sum_tensor(self.vector.join([*map(tf.convert_to_tensor, own), loss, events]))
        loss, events = summed[-2], summed[-1]
        return summed[:-2] / tf.maximum(events, 1.0), loss, events

    def _train_step(self, *batch: Any) -> tuple[Any, Any]:
        gradient, loss, events = self.gradients(*batch)
        before = tf.identity(self.weights.value)
        self.optimizer.apply(tf.split(tf.clip_by_norm(gradient, self.options.clip), self._parts))
        if self.options.prune:  # what is pruned stays so
            self.weights.assign(_zero_where_zero(before, self.weights.value))
        now = tf.concat([self.weights.value, self.bias.value], 0)
        self.vector.assign(now)
        step = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(self.options.average_decay, (1.0 + step) / (10.0 + step))
        self.mean.assign(now + decay * (self.mean - now))
        return loss, events

    def _prune(self) -> None:
        """Set to 0 what has to be by now, of the weights and of their mean."""
        share = share_at(int(self.optimizer.iterations), self._steps, self.options.prune)
        weights = prune(self.weights.numpy(), self.vector.sizes[: self._matrices], share)
        self.weights.assign(weights)
        now = tf.concat([self.weights.value, self.bias.value], 0)
        self.vector.assign(now)
        self.mean.assign(_zero_where_zero(now, self.mean))

    def _score_step(self, *batch: Any) -> tuple[Any, Any]:
        *inputs, _, labels = batch
        loss = loss_sum(self.average.call(*inputs), labels)
        return loss, tf.cast(tf.shape(labels)[0], tf.float32)

    def train(self, table: TrainingTable, epoch: int, skip: int = 0) -> Iterator[Took]:
        """One pass over the training split, from its batch ``skip`` on; says, some steps at a time, how it learnt."""
        size, seed = self.options.batch * self.world.size, self.options.seed * 1_000 + epoch
        # The step itself sums over the ranks.
        for took in _pass(
            self._train, lambda: table.batches("train", size, seed=seed, skip=skip, **self._share()), self.network
        ):
            if self.options.prune:
                self._prune()
            yield took

    def validate(self, table: TrainingTable) -> float:
        """Log loss of the averaged weights on the validation split, over all ranks."""
        self.show(self.mean)
        took = list(
            _pass(self._score, lambda: table.batches("validation", SCORED_SESSIONS, **self._share()), self.network)
        )
        own = np.array([sum(t.loss for t in took), sum(t.events for t in took)])
        loss, events = self.world.sum_array(own)
        return float(loss / max(events, 1))

    def _share(self) -> dict[str, int]:
        return {"rank": self.world.rank, "ranks": self.world.size}

    def show(self, vector: Any) -> None:
        """Make ``average`` the network of these weights [sum of sizes]."""
        self._average.assign(vector)

    def state(self) -> list[NDArray[Any]]:
        """All that the next step depends on besides its batch."""
        return [np.asarray(variable) for variable in self._variables()]

    def restore(self, state: Sequence[NDArray[Any]]) -> None:
        """Go on from a ``state``."""
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)
        self.vector.assign(tf.concat([self.weights.value, self.bias.value], 0))

    def _variables(self) -> list[Any]:
        return [v.value for v in (self.weights, self.bias, *self.optimizer.variables)] + [self.mean]


def _is_bias(variable: Any) -> bool:
    return str(variable.name) == "bias"


def _weights_then_biases(network: IntentNetwork) -> list[Any]:
    return sorted(network.trainable_variables, key=_is_bias)


def _zero_where_zero(where: Any, values: Any) -> Any:
    """[n] ``values``, but 0 wherever ``where`` [n] is."""
    return tf.where(tf.equal(where, 0.0), 0.0, values)


def _repeat(step: Any, batches: Any) -> tuple[Any, Any, Any]:
    """Take steps until there is no batch, or enough for one call; returns how many, and their loss and events, double.

    TensorFlow turns it into a graph, its loop included.
    """
    taken, loss, events = 0, tf.constant(0.0, tf.float64), tf.constant(0.0, tf.float64)
    for _ in tf.range(STEPS_A_CALL):
        following = batches.get_next_as_optional()
        if not following.has_value():
            break
        more_loss, more_events = step(*following.get_value())
        loss, events = loss + tf.cast(more_loss, tf.float64), events + tf.cast(more_events, tf.float64)
        taken += 1
    return taken, loss, events


def _pass(call: Any, batches: Callable[[], Iterator[Batch]], network: IntentNetwork) -> Iterator[Took]:
    """All batches, some steps at a time."""
    following = iter(as_tensors(batches, batch_signature(network.shape_of)))
    steps = STEPS_A_CALL
    while steps == STEPS_A_CALL:
        steps, loss, events = (value.numpy().item() for value in call(following))
        yield Took(steps, loss, events)
