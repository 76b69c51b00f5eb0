"""What the commits of a Delta table say, read without a JVM."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from spark_jobs.commits import commits, last_metadata, need_table


def test_an_older_version_of_a_table_tells_its_own_commits_and_not_the_newest(tmp_path: Path) -> None:
    for version in range(12):
        said = CommitProperties(custom_metadata={"userMetadata": json.dumps({"said": version})})
        write_deltalake(tmp_path, pa.table({"n": [version]}), mode="overwrite", commit_properties=said)
    DeltaTable(tmp_path).optimize.compact()
    for version in (0, 1, 11):
        table = need_table(str(tmp_path), "", version)
        assert last_metadata(table) == {"said": version}
        told = [(one["version"], json.loads(one["userMetadata"])["said"]) for one in commits(table)]
        assert told == [(n, n) for n in range(version, -1, -1)]


def test_a_table_that_is_not_there_says_nothing() -> None:
    assert last_metadata(None) == {}
