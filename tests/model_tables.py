"""A training table of simulated shoppers, made without Spark: what the batch layer writes, small."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from deltalake import CommitProperties, WriterProperties, write_deltalake

from lambent.encoding import encode_events
from lambent.events import Event, admit
from lambent.features import shop_features
from lambent.keys import pseudonym
from lambent.settings import Settings
from lambent.simulate import simulate
from lambent.tables import TRAINING_SESSIONS
from lambent.training import SessionRows, is_held_out, session_rows

FEATURES = shop_features()
_LISTS = {"profile": pa.float32(), "ids": pa.int32(), "floats": pa.float32(), "labels": pa.int8()}


def simulated_events(users: int, days: int, seed: int) -> list[Event]:
    """What the door lets in of a simulated shop, its users pseudonyms."""
    events = []
    for line in simulate(users, days, seed):
        try:
            raw = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        event = admit(msgspec.json.encode(raw | {"user": pseudonym(str(raw["user"]), b"tests")}), FEATURES.taxonomy)
        if isinstance(event, Event):
            events.append(event)
    return list({event.id: event for event in events}.values())


def training_table(events: list[Event]) -> pa.Table:
    """Rows of the table ``training_sessions``: three quarters of the time to train, then validation, then test."""
    events = sorted(events, key=lambda event: (event.event_ms, event.id))
    users, code = np.unique([event.user for event in events], return_inverse=True)
    encoded = encode_events(events, [event.event_ms for event in events], FEATURES.taxonomy)
    rows = session_rows(FEATURES, code.astype(np.int64), encoded)
    names = users[rows.user]
    held_out = np.array([is_held_out(name) for name in names])
    edges = np.quantile(rows.start_ms, [0.7, 0.85])
    split = np.array(["train", "validation", "test"])[np.searchsorted(edges, rows.start_ms)]
    columns = {
        "user": pa.array(names),
        "start_ms": pa.array(rows.start_ms),
        "length": pa.array(rows.length.astype(np.int32)),
        **_lists(rows),
        "split": pa.array(np.where(held_out, "test", split)),
        "held_out": pa.array(held_out),
    }
    return pa.table(columns)


def _lists(rows: SessionRows) -> dict[str, pa.ListArray]:
    steps = np.r_[rows.first, len(rows.labels)].astype(np.int32)
    offsets = {"profile": np.arange(len(rows.first) + 1, dtype=np.int32) * rows.profile.shape[1], "labels": steps}
    offsets |= {"ids": steps * rows.ids.shape[1], "floats": steps * rows.floats.shape[1]}
    return {
        name: pa.ListArray.from_arrays(pa.array(offsets[name]), pa.array(getattr(rows, name).ravel(), kind))
        for name, kind in _LISTS.items()
    }


def write_training_table(settings: Settings, table: pa.Table, group_sessions: int = 1 << 20) -> None:
    """Write the table as the batch layer does, the snapshot in the commit's metadata; so many sessions a row group."""
    metadata = {"events_version": 3, "cutoff_ms": 1_736_000_000_000, "features": FEATURES.hash}
    path = settings.table(TRAINING_SESSIONS)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    commit = CommitProperties(custom_metadata={"userMetadata": json.dumps(metadata)})
    groups = WriterProperties(max_row_group_size=group_sessions)
    write_deltalake(path, table, mode="overwrite", commit_properties=commit, writer_properties=groups)
