"""What one rank of a training does. All ranks run the same loop; rank 0 reports and brings the result home."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.dataset import Batch, TrainingTable, as_tensors
from models.horovod_runner import World
from models.network import IntentNetwork, Shape, batch_signature, loss_sum

Floats = NDArray[np.float64]

SCORED_SESSIONS = 1_024
"""Sessions of a global batch that is only scored."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How to train.

    Attributes:
        batch: sessions of a rank's batch; a global batch has ``ranks`` times as many.
        epochs: passes over the training split, at most.
        patience: epochs without a better validation log loss before it stops.
        learning_rate: of one rank; see ``scaled_rate``.
        weight_decay: of AdamW, on all but biases.
        clip: largest global norm of a gradient.
        average_decay: of the weights' running mean, once the training is long enough for it.
        seed: of first weights and of the order of batches.
    """

    batch: int = 128
    epochs: int = 4
    patience: int = 2
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    clip: float = 1.0
    average_decay: float = 0.99
    seed: int = 1


@dataclasses.dataclass(frozen=True)
class Moments:
    """What one pass over the training split says.

    Attributes:
        steps: global batches of an epoch.
        profile, floats: [2, width] mean and standard deviation; 1 where a column never changes.
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
    for sessions in table.chunks("train"):
        count += len(sessions.length)
        steps += math.ceil(len(sessions.length) / batch)
        mine = np.arange(len(sessions.length)) % world.size == world.rank
        own_steps = np.repeat(mine, sessions.length)
        profile += _powers(sessions.profile[mine])
        floats += _powers(sessions.floats[own_steps])
        labels += np.bincount(sessions.labels[own_steps], minlength=intents)
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
    return np.stack([mean, np.where(std < 1e-4, 1.0, std)])


def scaled_rate(options: Options, ranks: int) -> float:
    """The learning rate for ``ranks`` times the batch: times √ranks, the rule for Adam.

    Malladi et al., "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms", NeurIPS 2022.
    """
    return options.learning_rate * math.sqrt(ranks)


def prepare(features_shape: Shape, found: Moments, options: Options) -> IntentNetwork:
    """A network that knows the split's means and starts at its base rates."""
    network = IntentNetwork(features_shape, options.seed)
    for layer, values in ((network.profile_normal, found.profile), (network.float_normal, found.floats)):
        layer.set_weights(list(values.astype(np.float32)))
    network.head.bias.assign(np.log(np.maximum(found.base_rates, 1e-6)))
    return network


class Trainer:
    """The training step and the weights' running mean.

    The mean of the weights over the last steps validates better than the weights (Polyak and Juditsky, "Acceleration
    of stochastic approximation by averaging", 1992) and is what is kept.
    """

    def __init__(self, world: World, network: IntentNetwork, options: Options, steps: int) -> None:
        self.world, self.network, self.options = world, network, options
        self.average = IntentNetwork(network.shape_of, options.seed)
        self.optimizer = self._optimizer(steps)
        self.optimizer.build(network.trainable_variables)
        world.broadcast([v.value for v in network.variables])
        self.average.set_weights(network.get_weights())
        signature = batch_signature(network.shape_of)
        self.train_step = tf.function(self._train_step, input_signature=signature)
        self.score_step = tf.function(self._score_step, input_signature=signature)

    def _optimizer(self, steps: int) -> Any:
        """AdamW (Loshchilov and Hutter, ICLR 2019) with warm-up over an epoch's tenth and a cosine to zero."""
        total = steps * self.options.epochs
        schedule = keras.optimizers.schedules.CosineDecay(
            0.0, total, warmup_target=scaled_rate(self.options, self.world.size), warmup_steps=max(total // 20, 1)
        )
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=self.options.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        return optimizer

    def gradients(self, profile: Any, ids: Any, floats: Any, labels: Any, mask: Any) -> tuple[list[Any], Any, Any]:
        """Gradients of the mean cross-entropy per event of the *global* batch, its summed loss, its events."""
        with tf.GradientTape() as tape:
            loss = loss_sum(self.network(profile, ids, floats), labels, mask)
        own = tape.gradient(loss, [v.value for v in self.network.trainable_variables])
        dense = [tf.convert_to_tensor(g) for g in own]
        *summed, loss, events = self.world.sum_tensors([*dense, loss, tf.reduce_sum(mask)])
        return [g / tf.maximum(events, 1.0) for g in summed], loss, events

    def _train_step(self, profile: Any, ids: Any, floats: Any, labels: Any, mask: Any) -> tuple[Any, Any]:
        gradients, loss, events = self.gradients(profile, ids, floats, labels, mask)
        clipped, _ = tf.clip_by_global_norm(gradients, self.options.clip)
        self.optimizer.apply(clipped)
        step = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(self.options.average_decay, (1.0 + step) / (10.0 + step))
        for mean, now in zip(self.average.trainable_variables, self.network.trainable_variables, strict=True):
            mean.assign(decay * mean + (1.0 - decay) * now)
        return loss, events

    def _score_step(self, profile: Any, ids: Any, floats: Any, labels: Any, mask: Any) -> tuple[Any, Any]:
        return loss_sum(self.average(profile, ids, floats), labels, mask), tf.reduce_sum(mask)

    def epoch(self, table: TrainingTable, number: int) -> float:
        """One pass over the training split; returns its mean cross-entropy per event while it learnt."""
        size, seed = self.options.batch * self.world.size, self.options.seed * 1_000 + number
        totals = self._run(self.train_step, lambda: table.batches("train", size, seed=seed, **self._share()))
        return _mean(totals)  # the step itself has summed over the ranks

    def validate(self, table: TrainingTable) -> float:
        """Log loss of the averaged weights on the validation split, over all ranks."""
        totals = self._run(self.score_step, lambda: table.batches("validation", SCORED_SESSIONS, **self._share()))
        return _mean(self.world.sum_array(totals))

    def _share(self) -> dict[str, int]:
        return {"rank": self.world.rank, "ranks": self.world.size}

    def _run(self, step: Any, batches: Callable[[], Iterator[Batch]]) -> Floats:
        """[2] summed loss and events of a step over all batches."""
        totals = [step(*batch) for batch in as_tensors(batches, batch_signature(self.network.shape_of))]
        return np.sum([[float(loss), float(events)] for loss, events in totals], axis=0) if totals else np.zeros(2)


def _mean(totals: Floats) -> float:
    return float(totals[0] / max(totals[1], 1))


def fit(trainer: Trainer, table: TrainingTable, log: Path | None) -> dict[str, Any]:
    """Train until the validation log loss stops to fall; the best averaged weights are in ``trainer.average``.

    Args:
        trainer: holds network and options.
        table: where to read.
        log: JSON lines, one an epoch; None: keep quiet.

    Returns:
        ``epochs``, ``best_epoch`` and ``validation_log_loss`` of the best.
    """
    best, best_epoch, weights = math.inf, 0, trainer.average.get_weights()
    number = 0
    for number in range(1, trainer.options.epochs + 1):
        started = time.monotonic()
        loss = trainer.epoch(table, number)
        validation = trainer.validate(table)
        if validation < best:
            best, best_epoch, weights = validation, number, trainer.average.get_weights()
        _report(log, epoch=number, train_log_loss=loss, validation_log_loss=validation, best_epoch=best_epoch,
                seconds=round(time.monotonic() - started, 2))  # fmt: skip
        if number - best_epoch >= trainer.options.patience:
            break
    trainer.average.set_weights(weights)
    return {"epochs": number, "best_epoch": best_epoch, "validation_log_loss": best}


def _report(log: Path | None, **values: Any) -> None:
    if log is None:
        return
    line = json.dumps({"time_ms": time.time_ns() // 1_000_000, **values})
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        file.write(line + "\n")
    print(line, flush=True)
