"""A sample of training sessions, in bounded memory however many there are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import FeatureSet

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

SESSIONS = 50_000
"""As many are kept: some tens of megabytes."""
READ_SESSIONS = 8_192
SEED = 7
"""The same rows give the same sample."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """Some sessions.

    Attributes:
        names: [f] of the profile's features as the model sees them, then ``length`` and the ``intent`` of the first event.
        values: [n, f] their values.
        sessions: how many there were to choose from.
        users: how many users there are among the chosen.
        newest_ms: when the newest of all began; 0 if there were none.
        not_finite: values that are no number, of all sessions.
    """

    names: tuple[str, ...]
    values: NDArray[np.float32]
    sessions: int
    users: int
    newest_ms: int
    not_finite: int


def read_sample(table: DeltaTable, features: FeatureSet, condition: Any = None) -> Sample:
    """Sessions of a version of ``training_sessions``, each as likely as any other.

    Args:
        table: open at that version.
        features: that it was made for.
        condition: of pyarrow: only those that meet it.
    """
    import pyarrow.compute as pc

    names = (*features.profile.feature_names, "length", "intent")
    columns = ["user", "start_ms", "length", "profile", "labels"]
    rng, kept, users = np.random.default_rng(SEED), np.zeros((0, 1 + len(names)), np.float64), np.zeros(0, object)
    sessions = newest_ms = not_finite = 0
    data = table.to_pyarrow_dataset()
    for batch in data.to_batches(columns=columns, filter=condition, batch_size=READ_SESSIONS, batch_readahead=2):
        if not batch.num_rows:
            continue
        values = _values(batch)
        sessions += batch.num_rows
        newest_ms = max(newest_ms, pc.max(batch.column("start_ms")).as_py())
        not_finite += int((~np.isfinite(values)).sum())
        kept = np.concatenate([kept, np.column_stack([rng.random(len(values)), values])])
        users = np.concatenate([users, batch.column("user").to_numpy(zero_copy_only=False)])
        if len(kept) > SESSIONS:  # those whose lot is lowest
            chosen = np.argpartition(kept[:, 0], SESSIONS)[:SESSIONS]
            kept, users = kept[chosen], users[chosen]
    return Sample(names, kept[:, 1:].astype(np.float32), sessions, len(set(users)), newest_ms, not_finite)


def _values(batch: pa.RecordBatch) -> NDArray[np.float64]:
    """[n, features] of sessions."""
    import pyarrow.compute as pc

    profile = batch.column("profile").flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1)
    first = pc.list_element(batch.column("labels"), 0)
    return np.column_stack([profile, batch.column("length").to_numpy(), first.to_numpy(zero_copy_only=False)])
