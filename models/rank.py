"""One rank of a training job, from start to staged artifact."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from models.checkpoint import Checkpoint
from models.export import calibrated, export
from models.fit import fit
from models.horovod_runner import World, join_world
from models.moments import Moments, moments, prepare
from models.network import Shape
from models.telling import of_rank
from models.trainer import Options, Trainer

if TYPE_CHECKING:
    from models.train import Job


def run(job: Job) -> dict[str, Any] | None:
    """Train with the other ranks; rank 0 calibrates, exports, and returns figures for the report."""
    world, options = join_world(), Options(**job.options)
    set_up(options.seed)
    started = time.monotonic()
    trainer, found = prepared(job, world, options)
    checkpoint = Checkpoint(job.checkpoint, [job.table, job.features.hash, options, world.size])
    figures = fit(trainer, job.table, of_rank(world.rank, job.log, found.events), checkpoint)
    if world.rank != 0:
        return None
    fitted = time.monotonic()
    calibration, gained = calibrated(trainer.average, job.table)
    train = {**dataclasses.asdict(options), "processes": world.size, **figures}
    sha256 = export(job.staging, trainer.average, calibration, job.features, job.table, train, job.form)
    checkpoint.remove()
    return {
        **figures,
        **gained,
        "events": found.events,
        "sessions": found.sessions,
        "artifact": str(job.staging),
        "sha256": sha256,
        "fit_seconds": round(fitted - started, 2),
        "export_seconds": round(time.monotonic() - fitted, 2),
        "events_version": job.table.snapshot["events_version"],
    }


def set_up(seed: int) -> None:
    """One thread a rank, and the same numbers for the same seed."""
    with contextlib.suppress(RuntimeError):  # a process that has used TensorFlow already keeps its threads
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    # Rewriting so small a graph takes longer than it saves.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    keras.utils.set_random_seed(seed)


def prepared(job: Job, world: World, options: Options) -> tuple[Trainer, Moments]:
    """A trainer that is ready to fit, and what the training split says."""
    shape = Shape.of(job.features)
    found = moments(job.table, shape.intents, options.batch * world.size, world)
    return Trainer(world, prepare(shape, found, options.seed), options, found.steps), found
