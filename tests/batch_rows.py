"""Logs as the batch layer meets them, for tests: rows of ingest, and profiles by the oracle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
import pyarrow as pa

from lambent import oracle
from lambent.events import Event
from lambent.features import FeatureSet
from lambent.profile import Profiles
from lambent.tables import SOURCE_FILE, SOURCE_LIVE, profile_columns
from spark_jobs.builds import Built
from spark_jobs.commits import need_table
from spark_jobs.newest import NewestRows
from spark_jobs.profile_rows import from_arrow
from spark_jobs.rows import RowBuilder

Log = list[tuple[Event, int]]
"""(event, ingest_ms), in the log's order."""


def renamed(log: Log, number: int) -> Log:
    """The same history by users of its own, so that many histories can lie in one table."""
    rename = msgspec.structs.replace
    return [(rename(e, user=f"{number}-{e.user}", id=f"{number}-{e.id}"), ms) for e, ms in log]


def as_files(log: Log) -> Log:
    """The log as a file would hold it: known when it happened, in the order of time."""
    return sorted(((event, event.event_ms) for event, _ in log), key=lambda one: (one[1], one[0].id))


def rows_of(files: Iterable[tuple[Event, int]], live: Iterable[tuple[Event, int]]) -> pa.Table:
    """Rows as ingest reads them."""
    builders = {SOURCE_FILE: RowBuilder(SOURCE_FILE), SOURCE_LIVE: RowBuilder(SOURCE_LIVE)}
    for event, ms in files:
        builders[SOURCE_FILE].add_event(event, "file", 1, ms, 0)
    for seq, (event, ms) in enumerate(live):
        builders[SOURCE_LIVE].add_event(event, "log/0", ms, ms, seq)
    return pa.Table.from_batches([builder.batch() for builder in builders.values()])


def oracle_profiles(
    features: FeatureSet, log: Log, told: Mapping[str, oracle.Told] | None = None
) -> dict[str, Profiles]:
    """The profile by the definition of each user who has events, or of whom something is told."""
    told = told or {}
    of_user: dict[str, Log] = {user: [] for user in told}
    for event, ms in oracle.distinct(log):
        of_user.setdefault(event.user, []).append((event, ms))
    return {
        user: oracle.profile(features, oracle.mark(features, seen), told.get(user)) for user, seen in of_user.items()
    }


def built_profiles(features: FeatureSet, path: str) -> tuple[list[str], Profiles]:
    """The profiles of the newest build, by user."""
    table = need_table(path, "")
    built, columns = Built.find(table), list(profile_columns(features.profile))
    assert built
    batches = list(NewestRows.of(table, built).batches(columns, 1_000))
    users = [user for batch in batches for user in batch.column("user").to_pylist()]
    profiles = np.concatenate([features.profile.identity(0), *(from_arrow(features, batch) for batch in batches)])
    order = sorted(range(len(users)), key=users.__getitem__)
    return [users[n] for n in order], profiles[order]


def stacked(features: FeatureSet, profiles: dict[str, Profiles], users: Sequence[str]) -> Profiles:
    """The profiles of these users, in this order."""
    return np.concatenate([features.profile.identity(0), *(profiles[user] for user in users)])
