"""Builds of ``profiles`` as the table's commits tell them: what each is made from, and which one it went on from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lambent.features import FeatureSet
from spark_jobs.commits import Metadata, commits, last_metadata
from spark_jobs.snapshot import Snapshot

if TYPE_CHECKING:
    from deltalake import DeltaTable

SAME_ROWS = (
    "OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES", "UNSET TBLPROPERTIES", "CLUSTER BY", "UPGRADE PROTOCOL",
)  # fmt: skip
"""Operations after which a table has the rows that it had before. ``maintenance`` has them say again what they found."""


@dataclasses.dataclass(frozen=True)
class Built:
    """One build.

    Attributes:
        version: of the table ``profiles``.
        snapshot: (V, T) that it is made from.
        features: hash of the feature set.
        base: the version that it went on from, so that rows of users of whom nothing is new are as they were there;
            None: all rows were made anew.
    """

    version: int
    snapshot: Snapshot
    features: str
    base: int | None = None

    @classmethod
    def found(cls, version: int, said: Metadata) -> Built:
        """The build of a version whose commit has said this of itself."""
        return cls(version, Snapshot(said["events_version"], said["cutoff_ms"]), said["features"], said.get("base"))

    @classmethod
    def find(cls, table: DeltaTable | None) -> Built | None:
        """The build that a version of the table holds; None where there is none."""
        said = last_metadata(table)
        return cls.found(table.version(), said) if table and said else None

    def leads_to(self, snapshot: Snapshot, features: FeatureSet) -> bool:
        """Whether a build can go on from this one, as far as its names say."""
        return (
            self.features == features.hash
            and self.snapshot.events_version <= snapshot.events_version
            and self.snapshot.cutoff_ms <= snapshot.cutoff_ms
        )


def all_builds(table: DeltaTable) -> Iterator[Built]:
    """Every build up to the version that is open, newest first, as far back as the table's log goes."""
    for commit in commits(table):
        if commit.get("userMetadata") and commit["operation"] not in SAME_ROWS:
            yield Built.found(commit["version"], json.loads(commit["userMetadata"]))


def lineage(table: DeltaTable) -> Iterator[Built]:
    """The build that the open version holds, the one that it went on from, and so on; none where something else wrote."""
    wanted: int | None = table.version()
    for commit in commits(table):
        version = int(commit["version"])
        if version != wanted:
            continue
        if commit["operation"] in SAME_ROWS:
            wanted = version - 1
        elif commit.get("userMetadata"):
            built = Built.found(version, json.loads(commit["userMetadata"]))
            yield built
            wanted = built.base
        else:
            wanted = None
