"""One real Spark session for all tests: ``from tests.spark import spark  # noqa: F401`` brings the fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lambent.settings import Settings
from spark_jobs.session import spark_session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

USER_KEY = "5a" * 32
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The session that all jobs of the run find and use."""
    settings = Settings(root=tmp_path_factory.mktemp("spark"), spark_master="local[2]")
    with spark_session(settings, "lambent tests", {"spark.sql.shuffle.partitions": "2"}) as session:
        yield session


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A shop of its own, with the demo's tile width of a second."""
    return Settings(root=tmp_path, tile_ms=1_000, partitions=4, user_key=USER_KEY)


def shared_file(name: str) -> Path:
    """A file of real events, which lies beside the checkout where there is one; the test is skipped where not."""
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not on this machine")
    return path


def overwrite(rows: DataFrame, path: str) -> None:
    """Make a Delta table of rows by Spark's own writer, in the place of what is there."""
    rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(path)
