"""One measurement of training, in a process of its own: ``python -m tests.benchmarks.train_runs WHAT`` over the table
that LAMBENT_ROOT has. Its last line is JSON."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.settings import load_settings
from models.dataset import TrainingTable
from models.horovod_runner import RANK_ENVIRONMENT, join_world, run_on_spark, run_single
from tests.model_tables import FEATURES

if TYPE_CHECKING:
    from models.trainer import Trainer

EPOCHS = 3
"""The first traces and compiles; the best of the others counts."""
SUMS = 500
"""Of a gradient, that are timed."""
WIDE = 1_024
"""Sessions of a rank's batch where a table is large: what ranks tell each other is as much for each batch."""


def prepared(table: TrainingTable, batch: int = 0) -> Trainer:
    """A trainer as a rank has it."""
    from models.moments import moments, prepare
    from models.network import Shape
    from models.rank import set_up
    from models.trainer import Options, Trainer

    set_up(seed=1)
    world, options, shape = join_world(), Options(batch=batch) if batch else Options(), Shape.of(FEATURES)
    found = moments(table, shape.intents, options.batch * world.size, world)
    return Trainer(world, prepare(shape, found, options.seed), options, found.steps)


def trained(
    table: TrainingTable, count: int = EPOCHS, pinned: bool = False, batch: int = 0
) -> tuple[list[float], float]:
    """Seconds of each epoch, and of summing one gradient over the ranks when there is nothing else to do.

    Args:
        table: what is trained on.
        count: how many epochs.
        pinned: whether each rank has one core, whatever it reads with included.
        batch: sessions of a rank's batch; 0: what is usual.
    """
    if pinned:  # threads that are started from now on have no other core either
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(os.environ.get("HOROVOD_RANK", "0")) % len(cores)]})
    trainer, seconds = prepared(table, batch), []
    for number in range(1, count + 1):
        started_s = time.monotonic()
        for _ in trainer.train(table, number):
            pass
        seconds.append(time.monotonic() - started_s)
    return seconds, summing_s(trainer)


def summing_s(trainer: Trainer) -> float:
    """Seconds that it takes to sum a gradient over the ranks."""
    import tensorflow as tf

    gradient = tf.zeros_like(trainer.mean)
    summed = tf.function(trainer.world.sum_tensor)
    summed(gradient)
    started_s = time.monotonic()
    for _ in range(SUMS):
        summed(gradient)
    return (time.monotonic() - started_s) / SUMS


def held(table: TrainingTable) -> dict[str, float]:
    """The same step, fed from one batch that is in memory: one with about as many steps and events as they all have."""
    import tensorflow as tf

    trainer = prepared(table)
    batches = list(itertools.islice(table.batches("train", trainer.options.batch, seed=1), 400))
    events = sum(len(batch.labels) for batch in batches) / len(batches)
    steps = sum(len(batch.alive) for batch in batches) / len(batches)
    one = min(batches, key=lambda b: abs(len(b.labels) / events - 1) + abs(len(b.alive) / steps - 1))
    following = iter(tf.data.Dataset.from_tensors(tuple(map(tf.constant, one.arrays))).repeat())
    fewest_s, calls = float("inf"), 5
    for _ in range(4):
        started_s = time.monotonic()
        for _ in range(calls):
            trainer._train(following)
        fewest_s = min(fewest_s, time.monotonic() - started_s)
    from models.trainer import STEPS_A_CALL

    return {"seconds": fewest_s, "events": calls * STEPS_A_CALL * len(one.labels)}


def scored(table: TrainingTable, folder: Path) -> dict[str, float]:
    """Every session through the exported graph, step by step as live."""
    from lambent.calibration import Calibration
    from models.artifact import Artifact
    from models.export import export

    network = prepared(table).average
    export(folder, network, Calibration.identity(4), FEATURES, table, {})
    artifact = Artifact(folder, FEATURES)
    started_s, events = time.monotonic(), 0
    for sessions in table.chunks("train"):
        events += len(artifact.sessions(sessions))
    return {"seconds": time.monotonic() - started_s, "events": events}


def run(what: str) -> dict[str, Any]:
    """See the module."""
    settings = load_settings()
    table = TrainingTable.open(settings, FEATURES)
    batch = WIDE if what.endswith("-wide") else 0
    if what.startswith("two"):
        ranks = run_on_spark(trained, (table, EPOCHS, True, batch), 2, settings, settings.root / "none")
        slower = [max(each) for each in zip(*(seconds for seconds, _ in ranks), strict=True)]
        return {"seconds": min(slower[1:]), "summing_s": ranks[0][1]}
    os.environ.update(RANK_ENVIRONMENT)
    if what.startswith("plain"):
        from models.network import Shape
        from models.rank import set_up
        from tests.benchmarks.plain_keras import fit

        set_up(seed=1)
        seconds = fit(table, Shape.of(FEATURES), what == "plain-xla", EPOCHS)
        return {"seconds": min(seconds[1:]), "first_s": seconds[0]}
    if what == "held":
        return held(table)
    if what == "score":
        return scored(table, settings.root / "scored")
    if what == "epoch":
        return {"seconds": run_single(trained, (table, 1))[0][0][0]}
    seconds, _ = run_single(trained, (table, EPOCHS, what.startswith("pinned"), batch))[0]
    return {"seconds": min(seconds[1:]), "first_s": seconds[0]}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1])))
