"""Checkpoints: what was kept comes back whole, and only to the job whose it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.checkpoint import Checkpoint, Place
from models.horovod_runner import SingleProcess


class Trained:
    """All that a checkpoint asks of a trainer."""

    def __init__(self, rank: int = 0) -> None:
        self.world: Any = SingleProcess()
        self.world.rank = rank
        self.mean = SimpleNamespace(numpy=lambda: np.zeros(3, np.float32))
        self.values = [np.float32([1, 2]), np.array(7)]

    def state(self) -> list[Any]:
        return self.values

    def restore(self, state: list[Any]) -> None:
        self.values = state


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "checkpoint.npz"
    place = Place(np.float32([4, 5, 6]), epoch=2, step=9, loss=1.5, events=30.0, best_loss=0.25, best_epoch=1)
    Checkpoint(path, ["rows", 3]).save(place, Trained())  # type: ignore[arg-type]
    return path


def load(path: Path, job: Any) -> tuple[Place, Trained]:
    trainer = Trained()
    trainer.values = []
    return Checkpoint(path, job).load(trainer), trainer  # type: ignore[arg-type]


def test_what_was_kept_comes_back_whole(kept: Path) -> None:
    place, trainer = load(kept, ["rows", 3])
    assert (place.epoch, place.step, place.loss, place.events) == (2, 9, 1.5, 30.0)
    assert (place.best_loss, place.best_epoch, place.best.tolist()) == (0.25, 1, [4, 5, 6])
    assert [value.tolist() for value in trainer.values] == [[1, 2], 7]
    assert [path.name for path in kept.parent.iterdir()] == ["checkpoint.npz"]


def test_another_job_begins_at_the_start(kept: Path) -> None:
    place, trainer = load(kept, ["rows", 4])
    assert (place.epoch, place.step, trainer.values) == (1, 0, [])


def test_a_file_that_is_no_checkpoint_is_passed_over(kept: Path) -> None:
    kept.write_bytes(kept.read_bytes()[:-40])
    place, trainer = load(kept, ["rows", 3])
    assert (place.epoch, trainer.values) == (1, [])


def test_only_rank_0_writes(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "checkpoint.npz").save(Place(np.zeros(3, np.float32)), Trained(rank=1))  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
