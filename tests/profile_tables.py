"""A table ``profiles`` written without Spark, build by build, and what the store has to hold of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa

from lambent import keys
from lambent.features import FeatureSet
from lambent.profile import Profiles
from lambent.records import encode_profiles
from lambent.settings import Settings
from lambent.tables import PROFILES
from spark_jobs.builds import Built
from spark_jobs.commits import Metadata, open_table
from spark_jobs.profile_rows import to_arrow
from spark_jobs.profiles import target_of
from spark_jobs.snapshot import Snapshot
from spark_jobs.written import Made, add_action, commit_files, make_folder, write_files

Row = tuple[int, Snapshot]
"""What a user did, as one number, and the snapshot at which that last changed."""


class Table:
    """Builds of users who each have a number.

    Attributes:
        settings: name the table.
        versions: of each version its snapshot and its rows by user.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.settings = Settings(root=folder, tile_ms=1_000, partitions=4, store_url=url, user_key="5a" * 32)
        self.features = FeatureSet(self.settings.load_taxonomy())
        self.versions: list[tuple[Snapshot, dict[str, Row]]] = []

    @property
    def newest(self) -> int:
        """The newest version."""
        return len(self.versions) - 1

    def build(self, snapshot: Snapshot, touched: Iterable[str], *, full: bool = False) -> None:
        """Go on from the newest build with something new of these users; or make only these anew."""
        changed = dict.fromkeys(sorted(touched), (self.newest + 2, snapshot))
        built = None if full else Built.find(open_table(self.settings.table(PROFILES)))
        before = self.versions[-1][1] if built else {}
        said = snapshot.metadata(self.features.hash)
        if built:
            said |= built.goes_on(built.superseded + len(changed.keys() & before.keys()))
        self._write(changed, said, "append" if built else "overwrite")
        self.versions.append((snapshot, before | changed))

    def compact(self) -> None:
        """One row a user again, as it was."""
        snapshot, rows = self.versions[-1]
        self._write(rows, snapshot.metadata(self.features.hash) | {"base": self.newest}, "overwrite")
        self.versions.append((snapshot, rows))

    def _write(self, rows: Mapping[str, Row], said: Metadata, mode: Literal["append", "overwrite"]) -> None:
        target = target_of(self.settings.table(PROFILES), self.features)
        make_folder(target.path)
        made = Made([pa.concat_batches([self._batch(user, row) for user, row in rows.items()])] if rows else [])
        files = [add_action(row) for told in write_files([made], target) for row in told.to_pylist() if row["path"]]
        commit_files(open_table(target.path), target, files, said, mode)

    def _profile(self, number: int) -> Profiles:
        profile = self.features.profile.identity(1)
        profile["clock_ms"] = number
        profile["count"][:, 0] = number
        return profile

    def _batch(self, user: str, row: Row) -> pa.RecordBatch:
        number, stamp = row
        return to_arrow(self.features, pa.array([user]), self._profile(number), [0], stamp)

    def value(self, row: Row) -> bytes:
        """What the store holds of a row."""
        number, stamp = row
        return encode_profiles(self.features, self._profile(number), stamp.cutoff_ms)[0]

    def stored(self, version: int) -> dict[bytes, bytes]:
        """What the store holds when a version is published."""
        return {self.key(user): self.value(row) for user, row in self.versions[version][1].items()}

    def key(self, user: str) -> bytes:
        """The user's profile key."""
        return keys.profile(keys.partition(user, self.settings.partitions), user).encode()
