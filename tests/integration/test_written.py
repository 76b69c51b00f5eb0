"""Tables that Spark's tasks write themselves: read alike by Spark, deltalake and pyarrow, and whole or not at all."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pyarrow as pa
import pytest

from lambent.errors import UnwritableError
from lambent.settings import Settings
from spark_jobs.commits import ddl, load_table, open_table
from spark_jobs.session import spark_session
from spark_jobs.written import Made, Target, write_by_tasks
from tests.integration.test_full_disk import no_room
from tests.spark import overwrite

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.spark]

ROW = {
    "id": 7, "name": "ü", "raw": b"\x00", "yes": True, "small": -8, "middle": 1 << 20, "share": 0.1,
    "floats": [0.5, -1.0], "doubles": [0.1], "longs": [1 << 40], "ints": [], "codes": [1, 2],
}  # fmt: skip
COLUMNS = {
    "id": "int64", "name": "string", "raw": "binary", "yes": "bool", "small": "int8", "middle": "int32", "share": "double",
    "floats": "list<float>", "doubles": "list<double>", "longs": "list<int64>", "ints": "list<int32>",
    "codes": "list<int8>",
}  # fmt: skip
IDS = {"id": "int64"}


def same_ids(batches: Iterable[pa.RecordBatch]) -> Iterator[Made]:
    for batch in batches:
        yield Made([batch], {"batches": 1})


def ids(table: str) -> list[int]:
    found = open_table(table)
    return sorted(found.to_pyarrow_dataset().to_table().column("id").to_pylist()) if found else []


def dying(marks: Path, above: int) -> Callable[[Iterable[pa.RecordBatch]], Iterator[Made]]:
    """A task with such an id writes its files, and then dies, the first time."""

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[Made]:
        for made in same_ids(batches):
            yield made
            for row in made.groups[0].column("id").to_pylist():
                if row > above and not (mark := marks / str(row)).exists():
                    mark.touch()
                    raise RuntimeError("this task dies")

    return make


def test_spark_reads_what_tasks_have_written_as_it_reads_what_it_wrote_itself(
    spark: SparkSession, tmp_path: Path
) -> None:
    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[Made]:
        schema = Target("", COLUMNS).schema
        for batch in batches:
            rows = [ROW | {"id": id} if id % 2 else {"id": id} for id in batch.column("id").to_pylist()]
            yield Made([pa.RecordBatch.from_pylist(rows, schema)], {"odd": sum(row["id"] % 2 for row in rows)})

    own, sparks = str(tmp_path / "own"), str(tmp_path / "sparks")
    counts = write_by_tasks(spark.range(0, 6, 1, 3), make, Target(own, COLUMNS, ("id", "name")), {"n": 1})
    assert counts == {"odd": 3}
    expected = [ROW | {"id": id} if id % 2 else dict.fromkeys(COLUMNS) | {"id": id} for id in range(6)]
    overwrite(spark.createDataFrame(expected, ddl(COLUMNS)), sparks)
    (rows, schema), (other_rows, other_schema) = (
        (frame.orderBy("id").collect(), frame.schema)
        for frame in (load_table(spark, path, 0) for path in (own, sparks))
    )
    assert (rows, schema) == (other_rows, other_schema)
    assert load_table(spark, own, 0).where("id > 4 AND name = 'ü'").count() == 1
    tables = [open_table(path).to_pyarrow_dataset().to_table().sort_by("id") for path in (own, sparks)]  # type: ignore[union-attr]
    assert tables[0].equals(tables[1])
    assert tables[0].to_pylist() == expected
    overwrite(spark.range(2).toDF("id"), own)  # and Spark goes on with the table
    assert ids(own) == [0, 1]


def test_a_job_whose_task_dies_leaves_the_table_as_it_was_and_can_be_run_again(
    spark: SparkSession, tmp_path: Path
) -> None:
    target, marks = Target(str(tmp_path / "table"), IDS), tmp_path / "marks"
    marks.mkdir()
    for before in ([], [0, 1]):
        with pytest.raises(Exception, match="this task dies"):
            write_by_tasks(spark.range(0, 8, 1, 2), dying(marks, 6), target, {})
        assert ids(target.path) == before
        write_by_tasks(spark.range(0, 2, 1, 2), same_ids, target, {})
        marks.joinpath("7").unlink()


def test_without_room_on_the_executors_the_table_is_named_and_stays_as_it_was(
    spark: SparkSession, tmp_path: Path
) -> None:
    def random(batches: Iterable[pa.RecordBatch]) -> Iterator[Made]:
        import numpy as np

        for batch in batches:
            rows = np.random.default_rng(1).integers(0, 1 << 60, 10_000 * batch.num_rows)
            yield Made([pa.RecordBatch.from_pydict({"id": rows})])

    target = Target(str(tmp_path / "table"), IDS)
    write_by_tasks(spark.range(2), same_ids, target, {})
    with contextlib.ExitStack() as stack:
        for process in psutil.Process(spark.sparkContext._gateway.proc.pid).children(recursive=True):
            stack.enter_context(no_room(process.pid))
        with pytest.raises(UnwritableError, match=r"The table .*table cannot be written \(File too large\)"):
            write_by_tasks(spark.range(2), random, target, {})
    assert ids(target.path) == [0, 1]


@pytest.mark.long
def test_a_task_that_is_tried_again_adds_its_rows_once(tmp_path: Path) -> None:
    """In a session of its own, since only another master tries again."""
    subprocess.run([sys.executable, "-m", __name__, str(tmp_path)], check=True)
    assert ids(str(tmp_path / "table")) == list(range(8))
    table = open_table(str(tmp_path / "table"))
    assert table and len(table.vacuum(0, dry_run=True, full=True, enforce_retention_duration=False)) == 1
    assert json.loads(table.history(1)[0]["userMetadata"]) == {"batches": 2}


if __name__ == "__main__":
    root = Path(sys.argv[1])
    with spark_session(Settings(root=root, spark_master="local[2,2]"), "tried again") as session:
        write_by_tasks(session.range(0, 8, 1, 2), dying(root, 6), Target(str(root / "table"), IDS), {"batches": 2})
