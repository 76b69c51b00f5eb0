"""The training loop, the same on every rank; rank 0 reports and keeps checkpoints."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from models.checkpoint import Checkpoint, Place
from models.dataset import TrainingTable
from models.telling import Quiet

if TYPE_CHECKING:
    from models.trainer import Options, Trainer


def fit(trainer: Trainer, table: TrainingTable, told: Quiet, checkpoint: Checkpoint) -> dict[str, Any]:
    """Train until the validation log loss stops to fall; the best averaged weights are in ``trainer.average``.

    Epochs of the first half are no candidates: what a high learning rate leaves is best by chance where validation is small
    (ADR 0033), and is still to be annealed.

    Args:
        trainer: holds network and options.
        table: where to read.
        told: who is told how it goes.
        checkpoint: where a run that was cut off goes on.

    Returns:
        ``epochs``, ``best_epoch`` and ``validation_log_loss`` of the best.
    """
    place, options = checkpoint.load(trainer), trainer.options
    checkpoint.save(place, trainer)
    while place.epoch <= options.epochs and place.epoch - 1 - max(place.best_epoch, _half(options)) < options.patience:
        started = time.monotonic()
        for took in trainer.train(table, place.epoch, place.step):
            place.add(took)
            told.steps(place.epoch, int(place.events))
            checkpoint.save_now_and_then(place, trainer)
        _end_epoch(trainer, table, place, told, started)
        checkpoint.save(place, trainer)
    trainer.show(place.best)
    return {"epochs": place.epoch - 1, "best_epoch": place.best_epoch, "validation_log_loss": place.best_loss}


def _half(options: Options) -> int:
    """Epochs that are no candidates."""
    return options.epochs // 2


def _end_epoch(trainer: Trainer, table: TrainingTable, place: Place, told: Quiet, started: float) -> None:
    """Validate, keep the weights if they are the best, and move on to the next epoch."""
    validation, epoch = trainer.validate(table), place.epoch
    if epoch > _half(trainer.options) and validation < place.best_loss:
        place.best_loss, place.best_epoch, place.best = validation, epoch, trainer.mean.numpy()
    told.epoch({
        "epoch": epoch, "train_log_loss": place.loss / max(place.events, 1), "validation_log_loss": validation,
        "best_epoch": place.best_epoch, "seconds": round(time.monotonic() - started, 2),
    })  # fmt: skip
    place.begin(epoch + 1)
