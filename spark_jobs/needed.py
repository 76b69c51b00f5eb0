"""Which older versions of the tables somebody may still ask for, so that their files have to stay."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lambent.settings import Settings
from lambent.tables import EVENTS, PROFILES, TRAINING_SESSIONS, USERS
from spark_jobs.builds import Built, all_builds
from spark_jobs.commits import last_metadata, open_table
from spark_jobs.snapshot import NO_USERS
from spark_jobs.store import ROLLBACKS

if TYPE_CHECKING:
    from deltalake import DeltaTable


def needed_versions(settings: Settings) -> dict[str, set[int]]:
    """Versions by table.

    A rollback needs the newest ``ROLLBACKS`` builds of ``profiles`` and the events and users that they are made from; the newest of
    them is what an incremental build goes on from. A model needs the rows that it was trained on.
    """
    builds = rollback_builds(open_table(settings.table(PROFILES)))
    sessions = open_table(settings.table(TRAINING_SESSIONS))
    trained_on = {version for _, version in models(settings)}
    found = {
        EVENTS: {built.snapshot.events_version for built in builds},
        USERS: {built.snapshot.users_version for built in builds} - {NO_USERS},
    }
    for name, key in ((EVENTS, "events_version"), (USERS, "users_version")):
        if made_from := last_metadata(sessions).get(key):
            found[name].add(int(made_from))
    return {**found, PROFILES: {built.version for built in builds}, TRAINING_SESSIONS: trained_on}


def rollback_builds(profiles: DeltaTable | None) -> list[Built]:
    """The newest build of each of the newest ``ROLLBACKS`` snapshots, newest first."""
    if profiles is None:
        return []
    by_snapshot = itertools.groupby(all_builds(profiles), key=lambda built: built.snapshot)
    return [next(builds) for _, builds in itertools.islice(by_snapshot, ROLLBACKS)]


def models(settings: Settings) -> Iterator[tuple[int, int]]:
    """(version, version of ``training_sessions`` that it was trained on) of every model whose artifact is there.

    The staged candidate is version 0. What is half written is passed over: its training has the table open.
    """
    for path in settings.artifacts_root.glob("[!.]*/model.json"):
        try:
            said = json.loads(path.read_text())
            yield int(said["version"]), int(said["data"]["training_sessions_version"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
