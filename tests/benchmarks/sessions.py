"""The table ``training_sessions`` at any size, without Spark: sessions of a simulated shop, drawn again and again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import CommitProperties, write_deltalake

from lambent.settings import Settings
from lambent.tables import TRAINING_SESSIONS
from models.dataset import MAX_STEPS
from tests.model_tables import FEATURES, simulated_events, training_table

PIECE_SESSIONS = 16_384
VALIDATION_SHARE = 0.01


def write_sessions(settings: Settings, sessions: int, seed: int = 1) -> int:
    """Write a training split of ``sessions`` and a small validation split; returns the training split's events.

    The rows are those of a simulated shop: as long, as empty and as compressible as real ones. None is longer than what is
    trained on, so that all who read them count the same events.
    """
    rows = training_table(simulated_events(users=3_000, days=8, seed=3))
    rows = rows.filter(pa.compute.less_equal(rows["length"], MAX_STEPS))
    rng, length, events = np.random.default_rng(seed), rows["length"].to_numpy(), 0

    def pieces() -> Iterator[pa.RecordBatch]:
        nonlocal events
        for split, total in (("train", sessions), ("validation", max(int(sessions * VALIDATION_SHARE), 64))):
            for start in range(0, total, PIECE_SESSIONS):
                drawn = rng.integers(0, len(rows), min(PIECE_SESSIONS, total - start))
                events += int(length[drawn].sum()) if split == "train" else 0
                piece = rows.take(drawn).set_column(
                    rows.column_names.index("split"), "split", pa.repeat(split, len(drawn))
                )
                yield from piece.combine_chunks().to_batches()

    metadata = {"events_version": 3, "cutoff_ms": 1_736_000_000_000, "features": FEATURES.hash}
    path = settings.table(TRAINING_SESSIONS)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    commit = CommitProperties(custom_metadata={"userMetadata": json.dumps(metadata)})
    reader = pa.RecordBatchReader.from_batches(rows.schema, pieces())
    write_deltalake(path, reader, mode="overwrite", commit_properties=commit)
    return events
