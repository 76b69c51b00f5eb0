"""Builds of ``profiles`` as the table's commits tell them: what each is made from, and which one it went on from.

A build that goes on from another appends the rows of the users of whom something is new; those that it had of them before are
*superseded* (``newest`` says which). A build that is *whole* holds one row a user.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lambent.features import FeatureSet
from spark_jobs.commits import SUPERSEDED, Metadata, commits, last_metadata
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
        whole: the snapshot of the last build that was whole: rows of later ones were appended since.
        superseded: rows that do not count.
    """

    version: int
    snapshot: Snapshot
    features: str
    base: int | None
    whole: Snapshot
    superseded: int

    @classmethod
    def found(cls, version: int, said: Metadata) -> Built:
        """The build of a version whose commit has said this of itself."""
        snapshot = Snapshot.told(said)
        whole = Snapshot(*said.get("whole", dataclasses.astuple(snapshot)))
        return cls(version, snapshot, said["features"], said.get("base"), whole, said.get(SUPERSEDED, 0))

    @classmethod
    def find(cls, table: DeltaTable | None) -> Built | None:
        """The build that a version of the table holds; None where there is none."""
        said = last_metadata(table)
        return cls.found(table.version(), said) if table and said else None

    def goes_on(self, superseded: int) -> Metadata:
        """What a commit that appends to this build says besides, with how many rows then do not count."""
        return {"base": self.version, "whole": dataclasses.astuple(self.whole), SUPERSEDED: superseded}

    def leads_to(self, snapshot: Snapshot, features: FeatureSet) -> bool:
        """Whether a build can go on from this one, as far as its names say."""
        return (
            self.features == features.hash
            and self.snapshot.events_version <= snapshot.events_version
            and self.snapshot.cutoff_ms <= snapshot.cutoff_ms
            and self.snapshot.users_version <= snapshot.users_version
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
