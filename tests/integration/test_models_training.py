"""Training on real Horovod ranks that Spark starts: any number of processes does the same mathematics."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from lambent.settings import Settings, load_settings
from models.dataset import TrainingTable
from models.horovod_runner import LOWEST_PRIORITY, RANK_ENVIRONMENT, SingleProcess, run_on_spark, run_single
from models.spark import slots
from models.telling import Quiet
from tests.model_tables import FEATURES, simulated_events, training_table, write_training_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from models.trainer import Trainer

pytestmark = [
    pytest.mark.integration, pytest.mark.spark, pytest.mark.slow, pytest.mark.xdist_group("training"),
    # Horovod's own, of the cancelled job
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]  # fmt: skip

GLOBAL_BATCH = 32
GROUP_SESSIONS = 60
"""Of a row group, which is a chunk here."""
CUT = "cut.npz"
"""Name of the checkpoint of the training in which a rank is killed."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A table whose last chunk has one session to train on: a batch without rows for all ranks but one."""
    settings = load_settings(root=tmp_path_factory.mktemp("root"))
    rows = training_table(simulated_events(users=300, days=5, seed=3))
    is_train = pa.compute.equal(rows["split"], "train")
    train, rest = rows.filter(is_train), rows.filter(pa.compute.invert(is_train))
    kept = train.slice((len(train) - 1) % GROUP_SESSIONS)
    write_training_table(settings, pa.concat_tables([kept, rest]), GROUP_SESSIONS)
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


def rank_work(table: TrainingTable, folder: Path) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """On each rank: the gradients of one global batch and two epochs; then, where there are more ranks, the same epochs
    with a rank that is killed in between. Everything in plain numpy."""
    from models import checkpoint, dataset, trainer
    from models.horovod_runner import join_world
    from models.moments import moments, prepare
    from models.network import Shape
    from models.rank import set_up

    trainer.STEPS_A_CALL, checkpoint.EVERY_S, dataset.CHUNK_BYTES = 5, 0.0, 1
    world = join_world()
    options = trainer.Options(batch=GLOBAL_BATCH // world.size, epochs=2, learning_rate=1e-3 / world.size**0.5, seed=4)
    set_up(options.seed)
    found = moments(table, 4, GLOBAL_BATCH, world)
    network = prepare(Shape.of(FEATURES), found, options.seed)
    if world.rank != 0:
        network.set_weights([w + 1.0 for w in network.get_weights()])  # the broadcast has to mend this
    own = trainer.Trainer(world, network, options, found.steps)
    kept = folder / f"whole-{world.rank}.pickle"
    if not kept.exists():
        start = own.state()
        kept.write_bytes(
            pickle.dumps({**first_batch(own, table), **outcome(own, table, folder / "whole.npz", Quiet())})
        )
        own.restore(start)
    whole = pickle.loads(kept.read_bytes())
    if world.size == 1:
        return whole, None
    return whole, outcome(own, table, folder / CUT, Killed(folder / "killed"))


def first_batch(own: Trainer, table: TrainingTable) -> dict[str, Any]:
    """The gradient of one global batch, and how few sessions a batch has for this rank."""
    import tensorflow as tf

    share = {"rank": own.world.rank, "ranks": own.world.size}
    batch = next(table.batches("train", GLOBAL_BATCH, seed=9, **share))
    gradient, loss, events = tf.function(own.gradients)(*map(tf.constant, batch.arrays))
    fewest = min(len(batch.profile) for batch in table.batches("train", GLOBAL_BATCH, seed=9, **share))
    niceness = [os.getpriority(os.PRIO_PROCESS, int(each.name)) for each in Path("/proc/self/task").iterdir()]
    values = {"gradient": gradient.numpy(), "loss": float(loss), "events": float(events), "niceness": niceness}
    return {**share, **values, "fewest": fewest}


def outcome(own: Trainer, table: TrainingTable, path: Path, told: Quiet) -> dict[str, Any]:
    """Train; what came of it, and whether it went on from a checkpoint."""
    from models.checkpoint import Checkpoint
    from models.fit import fit

    went_on = path.exists()
    figures = fit(own, table, told, Checkpoint(path, "test"))
    weights = {"weights": own.average.get_weights(), "raw": own.network.get_weights()}
    return {"went_on": went_on, "figures": figures, **weights}


@pytest.fixture(scope="module")
def ranks(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
    """What two ranks say of the training that nothing stopped, of that in which one was killed, and to stderr."""
    folder = tmp_path_factory.mktemp("two")
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))  # the ranks import this file
        work = (TrainingTable.open(settings, FEATURES), folder)
        whole, cut = zip(*run_on_spark(rank_work, work, 2, settings, folder / CUT), strict=True)
    assert (folder / "killed").exists()
    return list(whole), list(cut), said.getvalue()


@pytest.fixture(scope="module")
def two(ranks: tuple[list[dict[str, Any]], ...]) -> list[dict[str, Any]]:
    return ranks[0]


@pytest.fixture(scope="module")
def one(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in RANK_ENVIRONMENT.items():
            patch.setenv(name, value)
        for name in ("trainer.STEPS_A_CALL", "checkpoint.EVERY_S", "dataset.CHUNK_BYTES"):
            patch.setattr(f"models.{name}", 0)  # what a rank sets comes back to what it was
        work = (TrainingTable.open(settings, FEATURES), tmp_path_factory.mktemp("one"))
        return run_single(rank_work, work)[0][0]


def test_one_global_batch_gives_the_same_gradients_with_one_and_two_processes(
    one: dict[str, Any], two: list[dict[str, Any]]
) -> None:
    assert [result["rank"] for result in two] == [0, 1] and two[0]["ranks"] == 2 and one["ranks"] == 1
    assert two[0]["events"] == one["events"]
    assert two[0]["loss"] == pytest.approx(one["loss"], rel=1e-5)
    np.testing.assert_allclose(two[0]["gradient"], one["gradient"], atol=1e-5)
    assert np.abs(one["gradient"]).max() > 1e-3


def test_some_of_a_ranks_threads_run_last_and_not_all(two: list[dict[str, Any]]) -> None:
    for rank in two:
        last = [each for each in rank["niceness"] if each == LOWEST_PRIORITY]
        assert 1 <= len(last) < len(rank["niceness"]) - 1


def test_ranks_end_with_equal_weights(two: list[dict[str, Any]]) -> None:
    for name in ("weights", "raw"):
        for left, right in zip(two[0][name], two[1][name], strict=True):
            np.testing.assert_array_equal(left, right)


def test_an_uneven_last_batch_neither_hangs_nor_changes_what_is_learnt(
    one: dict[str, Any], two: list[dict[str, Any]]
) -> None:
    assert [two[0]["fewest"], two[1]["fewest"], one["fewest"]] == [0, 1, 1]
    assert two[0]["figures"] == two[1]["figures"]
    assert two[0]["figures"]["validation_log_loss"] == pytest.approx(one["figures"]["validation_log_loss"], rel=1e-3)


def test_a_rank_that_is_killed_changes_nothing(ranks: tuple[Any, Any, str]) -> None:
    whole, cut, said = ranks
    assert "Training in 2 processes failed" in said and "It goes on from" in said
    assert cut[0]["went_on"] and not whole[0]["went_on"]
    assert cut[0]["figures"] == whole[0]["figures"]
    for name in ("weights", "raw"):
        for left, right in zip(cut[1][name], whole[1][name], strict=True):
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


def test_a_session_that_was_there_before_a_training_is_there_after_it(spark: SparkSession) -> None:
    with slots(2, load_settings()):
        pass
    assert spark.range(3).count() == 3
