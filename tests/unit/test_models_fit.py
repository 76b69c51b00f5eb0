"""The training loop: when it stops, and which weights it keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.checkpoint import Checkpoint
from models.fit import fit
from models.horovod_runner import SingleProcess
from models.telling import Quiet


class Scripted:
    """A trainer whose validation losses are known beforehand; its weights are the number of the epoch."""

    def __init__(self, losses: Sequence[float], epochs: int = 10, patience: int = 2) -> None:
        self.world = SingleProcess()
        self.options = SimpleNamespace(epochs=epochs, patience=patience)
        self.losses, self.trained, self.shown = losses, 0, -1.0
        self.mean = SimpleNamespace(numpy=lambda: np.float32([self.trained]))

    def train(self, table: Any, epoch: int, skip: int) -> Iterator[Any]:
        self.trained = epoch
        yield SimpleNamespace(steps=3, loss=8.0, events=4.0)

    def validate(self, table: Any) -> float:
        return self.losses[self.trained - 1]

    def show(self, vector: Any) -> None:
        self.shown = float(vector[0])


class Told(Quiet):
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def epoch(self, figures: dict[str, Any]) -> None:
        self.lines.append(figures)


@pytest.mark.parametrize(
    ("losses", "epochs", "best"),
    [
        ([0.5, 0.3, 0.4, 0.41, 0.35, 0.36, 0.37, 0.1], 7, 5),  # patience is over before it gets better again
        ([0.1, 0.3, 0.2], 3, 3),  # the first half is no candidate
        ([0.5, 0.4, 0.41, 0.3, 0.31, 0.32], 6, 4),
        ([0.5, 0.4, 0.3], 3, 3),  # the epochs are over
        ([float("nan"), 0.5, 0.4], 3, 3),
    ],
)
def test_it_stops_when_the_validation_loss_stops_to_fall_and_keeps_the_best_weights(
    losses: list[float], epochs: int, best: int
) -> None:
    trainer, told = Scripted(losses, epochs=len(losses)), Told()
    found = fit(trainer, None, told, Checkpoint(None))  # type: ignore[arg-type]
    assert found == {"epochs": epochs, "best_epoch": best, "validation_log_loss": losses[best - 1]}
    assert trainer.trained == epochs and trainer.shown == best
    assert [line["best_epoch"] for line in told.lines][-1] == best
    assert {line["train_log_loss"] for line in told.lines} == {2.0}


def test_a_training_that_is_done_is_not_gone_on_with(tmp_path: Path) -> None:
    first, second = Scripted([0.5, 0.4], epochs=2), Scripted([0.5, 0.4], epochs=2)
    for one in (first, second):
        one.state, one.restore = list, lambda state: None  # type: ignore[attr-defined]
    kept = tmp_path / "checkpoint.npz"
    done, again = (fit(one, None, Quiet(), Checkpoint(kept)) for one in (first, second))  # type: ignore[arg-type]
    assert done == again and second.trained == 0 and second.shown == 2
