"""The table ``training_sessions`` at any size, without Spark: sessions of a simulated shop, drawn again and again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lambent.settings import Settings
from lambent.tables import TRAINING_COLUMNS, TRAINING_SESSIONS
from models.batching import MAX_STEPS
from spark_jobs.training_sessions import TOLD
from spark_jobs.written import Made, Target, add_action, commit_files, make_folder, write_files
from tests.model_tables import FEATURES, simulated_events, training_table

GROUP_SESSIONS = 16_384
"""Of a row group: about as many as a task of the batch layer folds at a time."""
FILE_SESSIONS = 50_000
"""Of a file that is drawn. A larger table has copies of it: who reads it cannot tell, and it is soon written."""
VALIDATION_SHARE = 0.01


def write_sessions(settings: Settings, sessions: int, seed: int = 1) -> tuple[int, int]:
    """Write a training split of ``sessions``, beyond ``FILE_SESSIONS`` a multiple of it, and a small validation split.

    The rows are those of a simulated shop: as long, as empty and as compressible as real ones, in files as the batch layer
    writes them. None is longer than what is trained on, so that all who read them count the same events.

    Returns:
        Sessions and events of the training split.
    """
    target = Target(settings.table(TRAINING_SESSIONS), TRAINING_COLUMNS, TOLD)
    make_folder(target.path)
    copies, drawn = max(sessions // FILE_SESSIONS, 1), Drawn(seed)
    train, events = drawn.file(target, "train", min(sessions, FILE_SESSIONS))
    validation, _ = drawn.file(target, "validation", max(int(sessions * VALIDATION_SHARE), 64))
    told = [validation, train, *(copied(target, train, number) for number in range(1, copies))]
    metadata = {"events_version": 3, "cutoff_ms": 1_736_000_000_000, "features": FEATURES.hash}
    commit_files(None, target, [add_action(row) for row in told], metadata, "overwrite")
    return copies * min(sessions, FILE_SESSIONS), copies * events


class Drawn:
    """Sessions of a simulated shop, drawn again and again."""

    def __init__(self, seed: int) -> None:
        rows = training_table(simulated_events(users=3_000, days=8, seed=3))
        self._rows = rows.filter(pa.compute.less_equal(rows["length"], MAX_STEPS))
        self._rng = np.random.default_rng(seed)

    def file(self, target: Target, split: str, sessions: int) -> tuple[dict[str, Any], int]:
        """Write a file of so many; what to tell the log of it, and how many events it has."""
        drawn = self._rng.integers(0, len(self._rows), sessions)
        place = self._rows.column_names.index("split")

        def made() -> Iterator[Made]:
            for start in range(0, sessions, GROUP_SESSIONS):
                rows = self._rows.take(drawn[start : start + GROUP_SESSIONS])
                named = rows.set_column(place, "split", pa.repeat(split, len(rows)))
                yield Made(named.combine_chunks().to_batches())

        (told,) = (row for batch in write_files(made(), target) for row in batch.to_pylist() if row["path"])
        return told, int(self._rows["length"].to_numpy()[drawn].sum())


def copied(target: Target, told: dict[str, Any], number: int) -> dict[str, Any]:
    """Copy a file; what to tell the log of the copy."""
    name = f"copy-{number:05d}-{told['path']}"
    shutil.copyfile(Path(target.path) / told["path"], Path(target.path) / name)
    return {**told, "path": name}
