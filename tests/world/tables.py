"""Delta tables in memory: as much of ``deltalake`` as the archiver and those who read its tables ask."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import deltalake
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake.exceptions import CommitFailedError, TableNotFoundError

from tests.world.clock import Killed, World

FAULTS = ("killed-before", "killed-after", "disk-full", "lost-after")


@dataclasses.dataclass
class Table:
    """One table: its commits (rows, the version of each application's transaction), and what it is called."""

    schema: pa.Schema
    description: str
    commits: list[tuple[pa.Table, Mapping[str, int]]] = dataclasses.field(default_factory=list)


class Tables:
    """All tables of a world.

    Args:
        world: decides what happens to a commit.
        risk: of a commit to meet a fault.
    """

    def __init__(self, world: World, risk: float) -> None:
        self._world, self._risk = world, risk
        self.tables: dict[str, Table] = {}

    @contextlib.contextmanager
    def instead(self) -> Iterator[None]:
        """These tables instead of deltalake's."""
        tables = self

        class DeltaTable(Opened):
            def __init__(self, path: str, version: int | None = None) -> None:
                super().__init__(tables, path)

            @classmethod
            def create(cls, path: str, schema: pa.Schema, description: str, **_: Any) -> None:
                tables.tables.setdefault(path, Table(schema, description))

        with mock.patch.multiple(deltalake, DeltaTable=DeltaTable, write_deltalake=self.write):
            yield

    def write(
        self, opened: Opened, rows: pa.Table, mode: str, schema_mode: str, commit_properties: deltalake.CommitProperties
    ) -> None:
        """Append rows; one of two that mark the same transaction at once is refused."""
        world = self._world
        world.sleep(world.rng.random() * 0.05)
        fault = world.rng.choice(FAULTS) if not world.calm and world.rng.random() < self._risk else ""
        marks = {one.app_id: one.version for one in commit_properties.app_transactions}
        world.note(f"commit {rows.num_rows} rows to {opened.path} {fault}".rstrip())
        if fault == "killed-before":
            raise Killed
        if fault == "disk-full":
            raise OSError(28, "No space left on device")
        table = self.tables[opened.path]
        if any(marks.keys() & theirs.keys() for _, theirs in table.commits[opened.at :]):
            raise CommitFailedError("a concurrent transaction")
        table.commits.append((rows, marks))
        opened.at = len(table.commits)
        if fault == "killed-after":
            raise Killed
        if fault == "lost-after":
            raise OSError(5, "Input/output error")


class Opened:
    """A table as of the version at which it was opened."""

    def __init__(self, tables: Tables, path: str) -> None:
        if path not in tables.tables:
            raise TableNotFoundError(path)
        self.path, self._table = path, tables.tables[path]
        self.at = len(self._table.commits)

    def version(self) -> int:
        """The version."""
        return self.at

    def metadata(self) -> Table:
        """Has the description."""
        return self._table

    def transaction_version(self, application: str) -> int | None:
        """The newest version of an application's transaction."""
        found = [marks[application] for _, marks in self._table.commits[: self.at] if application in marks]
        return found[-1] if found else None

    def to_pyarrow_dataset(self) -> ds.Dataset:
        """All rows."""
        rows = [rows for rows, _ in self._table.commits[: self.at]]
        return ds.dataset(pa.concat_tables([self._table.schema.empty_table(), *rows]))
