"""Training on real Horovod ranks that Spark starts: any number of processes does the same mathematics."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lambent.settings import Settings, load_settings
from models.dataset import TrainingTable
from models.horovod_runner import RANK_ENVIRONMENT, SingleProcess, run_on_spark, run_single
from models.spark import slots
from models.telling import Quiet
from tests.model_tables import FEATURES, simulated_events, training_table, write_training_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.spark, pytest.mark.slow]

GLOBAL_BATCH = 64


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A table whose training split leaves one session over: the last batch has a row for one rank only."""
    settings = load_settings(root=tmp_path_factory.mktemp("root"))
    rows = training_table(simulated_events(users=700, days=5, seed=3))
    train = np.flatnonzero(rows["split"].to_numpy() == "train")
    surplus = (len(train) - 1) % GLOBAL_BATCH
    write_training_table(settings, rows.take(np.delete(np.arange(len(rows)), train[:surplus])))
    return settings


class Killed(Quiet):
    """Kills rank 1 in the midst of the second epoch, once."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def steps(self, epoch: int, events: int) -> None:
        if epoch == 2 and os.environ.get("HOROVOD_RANK") == "1" and not self._marker.exists():
            self._marker.touch()
            time.sleep(1.0)  # rank 0 writes the checkpoint of these steps before it misses this rank
            os.kill(os.getpid(), signal.SIGKILL)


def rank_work(table: TrainingTable, folder: Path, killed: bool = False) -> dict[str, Any]:
    """On each rank: the gradients of one global batch, then two epochs; everything in plain numpy."""
    import tensorflow as tf

    from models import checkpoint, trainer
    from models.fit import fit
    from models.horovod_runner import join_world
    from models.moments import moments, prepare
    from models.network import Shape
    from models.rank import set_up

    trainer.STEPS_A_CALL, checkpoint.EVERY_S = 5, 0.0
    world = join_world()
    options = trainer.Options(batch=GLOBAL_BATCH // world.size, epochs=2, learning_rate=3e-3 / world.size**0.5, seed=4)
    set_up(options.seed)
    found = moments(table, 4, GLOBAL_BATCH, world)
    network = prepare(Shape.of(FEATURES), found, options.seed)
    if world.rank != 0:
        network.set_weights([w + 1.0 for w in network.get_weights()])  # the broadcast has to mend this
    own = trainer.Trainer(world, network, options, found.steps)
    batch = next(table.batches("train", GLOBAL_BATCH, seed=9, rank=world.rank, ranks=world.size))
    gradient, loss, events = tf.function(own.gradients)(*map(tf.constant, batch.arrays))
    told = Killed(folder / "killed") if killed else Quiet()
    kept = checkpoint.Checkpoint(folder / "checkpoint.npz", "test")
    return {
        "rank": world.rank,
        "size": world.size,
        "went_on": kept.path.exists(),
        "gradient": gradient.numpy(),
        "loss": float(loss),
        "events": float(events),
        "figures": fit(own, table, told, kept),
        "weights": own.average.get_weights(),
        "raw": network.get_weights(),
    }


def on_two_ranks(settings: Settings, folder: Path, killed: bool) -> list[dict[str, Any]]:
    table = TrainingTable.open(settings, FEATURES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # the ranks import this file
        return run_on_spark(rank_work, (table, folder, killed), 2, settings, folder / "checkpoint.npz")


@pytest.fixture(scope="module")
def two(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return on_two_ranks(settings, tmp_path_factory.mktemp("two"), killed=False)


@pytest.fixture(scope="module")
def one(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in RANK_ENVIRONMENT.items():
            patch.setenv(name, value)
        return run_single(rank_work, (TrainingTable.open(settings, FEATURES), tmp_path_factory.mktemp("one")))[0]


def test_one_global_batch_gives_the_same_gradients_with_one_and_two_processes(
    one: dict[str, Any], two: list[dict[str, Any]]
) -> None:
    assert [result["rank"] for result in two] == [0, 1] and two[0]["size"] == 2 and one["size"] == 1
    assert two[0]["events"] == one["events"]
    assert two[0]["loss"] == pytest.approx(one["loss"], rel=1e-5)
    np.testing.assert_allclose(two[0]["gradient"], one["gradient"], atol=1e-5)
    assert np.abs(one["gradient"]).max() > 1e-3


def test_ranks_end_with_equal_weights(two: list[dict[str, Any]]) -> None:
    for name in ("weights", "raw"):
        for left, right in zip(two[0][name], two[1][name], strict=True):
            np.testing.assert_array_equal(left, right)


def test_an_uneven_last_batch_neither_hangs_nor_changes_what_is_learnt(
    one: dict[str, Any], two: list[dict[str, Any]]
) -> None:
    assert two[0]["figures"] == two[1]["figures"]
    assert two[0]["figures"]["validation_log_loss"] == pytest.approx(one["figures"]["validation_log_loss"], rel=1e-3)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)  # Horovod's own, of the cancelled job
def test_a_rank_that_is_killed_changes_nothing(
    settings: Settings, two: list[dict[str, Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    again = on_two_ranks(settings, tmp_path, killed=True)
    said = capfd.readouterr().err
    assert "Training in 2 processes failed" in said and "It goes on from" in said
    assert (tmp_path / "killed").exists() and again[0]["went_on"] and not two[0]["went_on"]
    assert again[0]["figures"] == two[0]["figures"]
    for name in ("weights", "raw"):
        for left, right in zip(again[1][name], two[1][name], strict=True):
            np.testing.assert_array_equal(left, right)


def test_a_world_of_one_has_the_interface_of_horovods() -> None:
    from models.horovod_runner import HorovodWorld

    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(HorovodWorld) | {"rank", "size"} == public(SingleProcess)
    world = SingleProcess()
    world.broadcast([])
    assert world.sum_tensor("a") == world.share("a") == "a"
    assert world.sum_array(np.array([1.0, 2.0])).tolist() == [1.0, 2.0]


def test_a_session_that_was_there_before_a_training_is_there_after_it(spark: SparkSession, settings: Settings) -> None:
    with slots(2, settings):
        pass
    assert spark.range(3).count() == 3
