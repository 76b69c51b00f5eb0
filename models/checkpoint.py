"""Where a training was cut off, in one file that is always whole: a run that is started again ends as if it had not been.

The file holds all that the next step depends on besides its batch, and which batch that is; the order of batches follows
from the seed alone.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.trainer import Took, Trainer

EVERY_S = 20.0
"""Seconds between checkpoints inside an epoch: writing one takes a hundredth of a second."""


@dataclasses.dataclass
class Place:
    """How far a training is.

    Attributes:
        epoch: that is under way, from 1.
        step: global batches of it that are done.
        loss, events: their summed loss in nats, and their events.
        best_loss: least validation log loss so far, of ``best_epoch``.
        best: [weights] the averaged weights of then.
    """

    best: NDArray[np.float32]
    epoch: int = 1
    step: int = 0
    loss: float = 0.0
    events: float = 0.0
    best_loss: float = math.inf
    best_epoch: int = 0

    def add(self, took: Took) -> None:
        """Count steps."""
        self.step, self.loss, self.events = self.step + took.steps, self.loss + took.loss, self.events + took.events

    def begin(self, epoch: int) -> None:
        """Go on to an epoch."""
        self.epoch, self.step, self.loss, self.events = epoch, 0, 0.0, 0.0


class Checkpoint:
    """The checkpoint of one job.

    Args:
        path: the file, which every rank 0 of the job finds; None: keep none.
        job: whatever the outcome depends on, as plain values: a checkpoint of another job is not gone on from.
    """

    def __init__(self, path: Path | None, job: Any = None) -> None:
        self.path = path
        self._job = hashlib.sha256(json.dumps(job, sort_keys=True, default=str).encode()).hexdigest()
        self._saved_s = time.monotonic()

    def load(self, trainer: Trainer) -> Place:
        """Where to go on, on every rank, the trainer brought there; the start where there is no checkpoint of this job."""
        found = trainer.world.share(self._read() if trainer.world.rank == 0 else None)
        if found is None:
            return Place(trainer.mean.numpy())
        place, best, state = found
        trainer.restore(state)
        return Place(best, **place)

    def _read(self) -> tuple[dict[str, Any], NDArray[Any], list[NDArray[Any]]] | None:
        if self.path is None or not self.path.exists():
            return None
        try:
            with np.load(self.path) as file:
                said = json.loads(file["said"].item())
                if said["job"] != self._job:
                    return None
                state = [file[f"state_{i}"] for i in range(said["states"])]
                return said["place"], file["best"], state
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None  # what cannot be read is made anew

    def save(self, place: Place, trainer: Trainer) -> None:
        """Replace the checkpoint; rank 0's alone."""
        if self.path is None or trainer.world.rank != 0:
            return
        state = trainer.state()
        values = dataclasses.asdict(place)
        best = values.pop("best")
        said = json.dumps({"job": self._job, "states": len(state), "place": values})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with draft.open("wb") as file:
            np.savez(file, said=np.array(said), best=best, **{f"state_{i}": value for i, value in enumerate(state)})
        draft.replace(self.path)
        self._saved_s = time.monotonic()

    def save_now_and_then(self, place: Place, trainer: Trainer) -> None:
        """Replace it if it is old."""
        if time.monotonic() - self._saved_s >= EVERY_S:
            self.save(place, trainer)

    def remove(self) -> None:
        """The job is done."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
