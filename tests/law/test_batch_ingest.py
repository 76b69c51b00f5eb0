"""Ingest over generated files: any split into runs, with a death at any commit, gives the same tables."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lambent.settings import Settings
from lambent.tables import EVENTS, QUARANTINE
from spark_jobs import ingest
from spark_jobs.commits import need_table, open_table
from tests.spark import USER_KEY

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.law, pytest.mark.spark, pytest.mark.long]

START_MS = 1_700_000_000_000
RUNS, FILES = 3, 20
"""Runs of a split, and files that are split at once, since a run costs as much for one."""

COMMITS = ("quarantine_new", "create_clustered", "append")
deaths = st.sampled_from([None, *((commit, after) for commit in COMMITS for after in (False, True))])
"""Before or after which commit a run dies, and is run again; None: it does not."""

REFUSED = -1
"""No price."""

_event = st.fixed_dictionaries(
    {"type": st.sampled_from(["view", "cart", "purchase"]), "event_ms": st.integers(START_MS, START_MS + 3)},
    optional={"id": st.sampled_from("abcdef"), "price": st.sampled_from([1.5, REFUSED])},
)
_line = st.tuples(_event, st.integers(0, RUNS - 1), st.integers(0, 3))
"""What a line says, the run that reads it, and a run that reads it again (of a number beyond the runs: none)."""


def text(file: int, fields: dict[str, Any]) -> str:
    """A line of a file whose events are its own. An id that comes back names the same event."""
    if "id" in fields:
        same = {"id": f"{file}-{fields['id']}", "type": "view", "event_ms": START_MS + ord(fields["id"])}
        fields = same | ({"price": REFUSED} if is_refused(fields) else {})
    return json.dumps({"user": f"u{file}"} | fields)


def is_refused(fields: dict[str, Any]) -> bool:
    return bool(fields.get("price") == REFUSED)


FIRST = json.dumps({"user": "first", "type": "view", "event_ms": START_MS, "id": "first"})
"""Line 1 of every file, since an empty file is told as a fault."""


class Died(BaseException):
    """A run was killed."""


@contextmanager
def dying(death: tuple[str, bool] | None) -> Iterator[None]:
    """Die before or after a commit."""
    if death is None:
        yield
        return
    commit, after = death
    real = getattr(ingest, commit)

    def die(*arguments: Any, **named: Any) -> None:
        if after:
            real(*arguments, **named)
        raise Died

    with mock.patch.object(ingest, commit, die):
        yield


def run(shop: Settings, path: Path, lines: list[str], death: tuple[str, bool] | None = None) -> None:
    path.write_text("\n".join([FIRST, *lines, ""]))
    try:
        with dying(death):
            ingest.ingest_files(shop, [path], "lambent")
    except Died:
        ingest.ingest_files(shop, [path], "lambent")


def content(shop: Settings) -> tuple[list[str], Counter[str]]:
    """The events, and how many rows were refused by reason."""
    events = need_table(shop.table(EVENTS), "").to_pyarrow_dataset().to_table().to_pylist()
    refused = open_table(shop.table(QUARANTINE))
    reasons = refused.to_pyarrow_dataset().to_table(["reason"]).column(0).to_pylist() if refused else []
    return sorted(map(str, events)), Counter(reasons)


@settings(
    max_examples=2, deadline=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink costs a Spark job a step
)  # fmt: skip
@given(
    files=st.lists(st.lists(_line, max_size=12), min_size=FILES, max_size=FILES),
    killed=st.lists(deaths, min_size=RUNS, max_size=RUNS),
)
def test_any_split_of_a_file_into_runs_with_a_death_at_any_commit_gives_the_same_tables(
    spark: SparkSession, files: list[list[tuple[dict[str, Any], int, int]]], killed: list[tuple[str, bool] | None]
) -> None:
    """In any order of the runs, and where two of them overlap: what has one id is one event. (Which of two *different*
    events under one id counts depends on the order: the first that is read, and of one run the first in the log's order.)
    """
    # A row that is refused is named by its place: in another run's file it would be another.
    lines = [
        (text(n, fields), {own} if is_refused(fields) else {own, again})
        for n, file in enumerate(files)
        for fields, own, again in file
    ]
    with tempfile.TemporaryDirectory() as folder:
        whole, split = (Settings(root=Path(folder) / name, user_key=USER_KEY) for name in ("whole", "split"))
        for shop in (whole, split):
            shop.root.mkdir()
        run(whole, whole.root / "all.jsonl", [line for line, _ in lines])
        for number in range(RUNS):
            read = [line for line, runs in lines if number in runs]
            run(split, split.root / f"{number}.jsonl", read, killed[number])
        assert content(split) == content(whole)
        assert len(set(content(whole)[0])) == len(content(whole)[0])
