"""Files that tasks write themselves: what a commit names counts, and nothing else."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lambent.errors import DataError, UnwritableError
from spark_jobs import written
from spark_jobs.commits import last_metadata, need_table, open_table, writing
from spark_jobs.written import Made, Target, add_action, commit_files, make_folder, write_files

COLUMNS = {"user": "string", "n": "int64", "values": "list<float>"}


def target_of(path: Path, columns: dict[str, str] = COLUMNS) -> Target:
    make_folder(str(path))
    return Target(str(path), columns, ("user", "n"))


def group(target: Target, *numbers: int | None) -> pa.RecordBatch:
    rows = [{"user": f"u{n}", "n": n, "values": [0.5, float(n or 0)]} for n in numbers]
    return pa.RecordBatch.from_pylist(rows, target.schema)


def told(target: Target, *groups: Iterable[int | None]) -> list[dict[str, Any]]:
    """What a task that makes these rows tells the driver."""
    made = (Made([group(target, *numbers)], {"rows": 1}) for numbers in groups)
    return [row for batch in write_files(made, target) for row in batch.to_pylist()]


def commit(target: Target, rows: list[dict[str, Any]], mode: str = "overwrite", said: int = 0) -> None:
    files = [add_action(row) for row in rows if row["path"]]
    commit_files(open_table(target.path), target, files, {"said": said}, mode)


def numbers(target: Target, version: int | None = None) -> list[int]:
    return need_table(target.path, "", version).to_pyarrow_dataset().to_table().column("n").to_pylist()


def test_an_overwrite_replaces_rows_and_columns_and_older_versions_stay_readable(tmp_path: Path) -> None:
    target = target_of(tmp_path / "new" / "table")
    commit(target, told(target, [1, 2], [3]), said=1)
    assert (numbers(target), last_metadata(open_table(target.path))) == ([1, 2, 3], {"said": 1})
    wider = target_of(tmp_path / "new" / "table", COLUMNS | {"share": "double"})
    commit(wider, told(wider, [4]), said=2)
    table = need_table(target.path, "")
    assert (numbers(wider), last_metadata(table)) == ([4], {"said": 2})
    assert table.to_pyarrow_dataset().schema == wider.schema
    assert (numbers(target, 0), table.version()) == ([1, 2, 3], 1)


def test_appended_rows_lie_beside_the_others_and_other_columns_are_refused(tmp_path: Path) -> None:
    target = target_of(tmp_path)
    for n in (1, 2):
        commit(target, told(target, [n]), "append", said=n)
    assert (sorted(numbers(target)), last_metadata(open_table(target.path))) == ([1, 2], {"said": 2})
    other = target_of(tmp_path, COLUMNS | {"n": "int32"})
    with pytest.raises(DataError, match="has other columns than the rows that are added"):
        commit(other, told(other, [3]), "append")


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    target = target_of(tmp_path)
    rows = told(target, [])
    assert [row["path"] for row in rows] == [None]
    for version in (0, 1):
        commit(target, rows)
        table = need_table(target.path, "")
        assert (table.version(), table.to_pyarrow_dataset().schema, numbers(target)) == (version, target.schema, [])


def test_the_log_tells_of_each_file_its_rows_and_the_least_and_largest_of_the_declared_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "FILE_BYTES", 1)
    target = target_of(tmp_path)
    commit(target, told(target, [5, 1, None], [None]))
    found = pa.table(need_table(target.path, "").get_add_actions(flatten=True)).sort_by("num_records").to_pylist()
    wanted = [
        {"num_records": 1, "min.n": None, "max.n": None, "null_count.n": 1, "min.user": "uNone", "max.user": "uNone"},
        {"num_records": 3, "min.n": 1, "max.n": 5, "null_count.n": 1, "min.user": "u1", "max.user": "uNone"},
    ]
    assert [{name: one.get(name) for name in wanted[0]} for one in found] == wanted
    assert [one["size_bytes"] for one in found] == [(tmp_path / one["path"]).stat().st_size for one in found]


def test_a_file_has_the_row_groups_that_were_made_and_ends_when_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = target_of(tmp_path)
    one = told(target, [1, 2, 3], [], [4], [5, 6])
    (path,) = (row["path"] for row in one if row["path"])
    meta = pq.ParquetFile(tmp_path / path).metadata
    assert [meta.row_group(n).num_rows for n in range(meta.num_row_groups)] == [3, 1, 2]
    monkeypatch.setattr(written, "FILE_BYTES", 600)
    assert 2 < len([row for row in told(target, *([n] for n in range(12))) if row["path"]]) < 12


def test_what_nobody_commits_is_not_in_the_table_and_a_vacuum_deletes_it(tmp_path: Path) -> None:
    target = target_of(tmp_path)
    died = told(target, [1])  # with the job, before there was a table
    assert open_table(target.path) is None
    lost = told(target, [2])  # an attempt that Spark did not take …
    commit(target, told(target, [2]))  # … and the one that it did
    assert numbers(target) == [2]
    unused = need_table(target.path, "").vacuum(0, dry_run=False, full=True, enforce_retention_duration=False)
    assert sorted(unused) == sorted(row["path"] for row in died + lost if row["path"])
    assert numbers(target) == [2]


@pytest.mark.parametrize("mode", ["overwrite", "append"])
@pytest.mark.parametrize("there", [False, True])
def test_a_job_that_another_one_has_overtaken_says_so_and_changes_nothing(
    tmp_path: Path, there: bool, mode: str
) -> None:
    target = target_of(tmp_path)
    if there:
        commit(target, told(target, [0]))
    before = open_table(target.path)
    files = [add_action(row) for row in told(target, [1]) if row["path"]]
    commit(target, told(target, [2]), "append")
    with pytest.raises(DataError, match=r"Another job has written to .* in the meantime; this one wrote nothing"):
        commit_files(before, target, files, {}, mode)
    assert sorted(numbers(target)) == ([0, 2] if there else [2])


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_for_a_file_or_for_the_commit_the_table_is_named_and_stays_as_it_was(tmp_path: Path) -> None:
    target = target_of(tmp_path)
    commit(target, told(target, [1]))
    with no_room(), pytest.raises(UnwritableError, match="cannot be written"), writing(target.path):
        told(target, [2])
    rows = told(target, [2])
    with no_room(), pytest.raises(UnwritableError, match="cannot be written"):
        commit(target, rows)
    assert numbers(target) == [1]
    commit(target, rows)
    assert numbers(target) == [2]
