"""What is known of users before a replay begins: their profiles, and the newest event ids, from the
tables ``events`` and ``users``.

A replay that begins at a cut-off of its own needs the profiles of that cut-off, which no one may have published, or built
with these features: they are folded here, by the fold that batch folds them with.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lambent import tables
from lambent.encoding import encode_events
from lambent.features import FeatureSet
from lambent.fold import fold_profiles
from lambent.records import RECENT_IDS, LiveRecords, encode_live, encode_profiles
from lambent.sessions import IN_LOG_ORDER
from lambent.settings import Settings
from lambent.tiles import Ragged
from realtime.history import FILE_COLUMNS, event_of, open_table
from realtime.told import read_told

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_USERS = 1_000

Own = tuple[str, list[dict[str, Any]]]
"""A user, and rows of the user's events."""
Base = tuple[str, bytes, bytes]
"""A user, and the bytes of its profile and of a live record in which there is nothing but ids of live events."""


def read_bases(settings: Settings, features: FeatureSet, users: Collection[str], before_ms: int) -> Iterator[Base]:
    """What is known of those users of whom something is known.

    Args:
        settings: say where the tables are.
        features: the feature set.
        users: whom to look for.
        before_ms: the cut-off: live events that the log took at it or later are left out.
    """
    told = read_told(settings, features, users, before_ms)
    named = _named(_rows(settings, users, before_ms), told)
    while chunk := list(itertools.islice(named, CHUNK_USERS)):
        yield from _fold(features, chunk, told, before_ms)


def _named(rows: Iterator[dict[str, Any]], told: Collection[str]) -> Iterator[Own]:
    """Users with events, then those of whom something is told without any."""
    left = set(told)
    for user, own in itertools.groupby(rows, key=lambda row: row.pop("user")):
        left.discard(user)
        yield user, list(own)
    yield from ((user, []) for user in sorted(left))


def _rows(settings: Settings, users: Collection[str], before_ms: int) -> Iterator[dict[str, Any]]:
    """The users' events before the cut-off, user by user, each in the log's order."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    table = open_table(settings, tables.EVENTS)
    if table is None or not users:
        return
    seen = (ds.field("source") == tables.SOURCE_FILE) | (ds.field("ingest_ms") < before_ms)
    wanted = ds.field("user").isin(pa.array(sorted(users), pa.string()))
    columns = list(dict.fromkeys([*FILE_COLUMNS, *IN_LOG_ORDER]))
    rows: pa.Table = table.to_pyarrow_dataset().to_table(columns=columns, filter=seen & wanted)
    for batch in rows.sort_by([(name, "ascending") for name in IN_LOG_ORDER]).to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _fold(features: FeatureSet, chunk: list[Own], told: Mapping[str, list[int]], cutoff_ms: int) -> Iterator[Base]:
    ingest_ms = [row["ingest_ms"] for _, own in chunk for row in own]
    user = np.repeat(np.arange(len(chunk)), [len(own) for _, own in chunk])
    events = [event_of({**row, "user": name}) for name, own in chunk for row in own]
    encoded = encode_events(events, ingest_ms, features.taxonomy)
    profiles = fold_profiles(features, features.profile.identity(len(chunk)), user, encoded)
    for row, (name, _) in enumerate(chunk):
        profiles["fact"][row] = told.get(name, 0)
    live = np.array([row["source"] == tables.SOURCE_LIVE for _, own in chunk for row in own], bool)
    recent = [encoded["id"][live & (user == row)][-RECENT_IDS:] for row in range(len(chunk))]
    empty = LiveRecords.empty(features, len(chunk))
    empty.recent = Ragged(np.concatenate(recent), np.array([len(own) for own in recent]))
    records = encode_live(features, empty)
    values = encode_profiles(features, profiles, cutoff_ms)
    yield from zip((name for name, _ in chunk), values, records, strict=True)
