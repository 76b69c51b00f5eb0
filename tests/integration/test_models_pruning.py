"""A network that is pruned while it trains: so much of each matrix is 0, also after it went on from a checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lambent.settings import load_settings
from models.dataset import TrainingTable
from tests.model_tables import FEATURES, simulated_events, training_table, write_training_table

pytestmark = pytest.mark.integration

SHARE = 0.6


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> TrainingTable:
    settings = load_settings(root=tmp_path_factory.mktemp("root"))
    write_training_table(settings, training_table(simulated_events(users=300, days=6, seed=3)))
    return TrainingTable.open(settings, FEATURES)


def trainer(table: TrainingTable, monkeypatch: pytest.MonkeyPatch) -> Any:
    from models import trainer
    from models.horovod_runner import RANK_ENVIRONMENT, SingleProcess
    from models.moments import moments, prepare
    from models.network import Shape

    for name, value in RANK_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(trainer, "STEPS_A_CALL", 4)
    options = trainer.Options(batch=32, epochs=2, prune=SHARE)
    found = moments(table, 4, options.batch, SingleProcess())
    return trainer.Trainer(SingleProcess(), prepare(Shape.of(FEATURES), found, 1), options, found.steps)


def matrices(network: Any) -> list[Any]:
    return [v.numpy() for v in network.trainable_variables if len(v.shape) == 2]


def test_a_share_of_each_matrix_is_0_from_the_first_epochs_end_on_and_the_same_after_a_restart(
    table: TrainingTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, again = trainer(table, monkeypatch), trainer(table, monkeypatch)
    calls = one.train(table, epoch=1)
    steps, state = next(calls).steps, [value.copy() for value in one.state()]
    assert len(list(calls)) > 2
    one.show(one.mean)
    pruned = [matrix == 0 for matrix in matrices(one.average)]
    for zeros in pruned:
        assert zeros.mean() == pytest.approx(SHARE, abs=0.01)
    again.restore(state)
    list(again.train(table, epoch=1, skip=steps))
    for each in (one, again):
        list(each.train(table, epoch=2))
        each.show(each.mean)
    for before, left, right in zip(pruned, matrices(one.average), matrices(again.average), strict=True):
        np.testing.assert_array_equal(left, right)
        assert (left == 0).mean() == pytest.approx(SHARE, abs=0.01) and not left[before].any()
