"""The one Spark session: Delta from local jars, quick on small data, nothing written outside the settings' root.

What ``spark-submit`` was told wins over all that is said here. ``python -m spark_jobs.session`` prints it as a properties
file, for ``spark-submit --properties-file``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent import errors
from lambent.errors import DataError, UsageError
from lambent.settings import Settings, load_settings
from lambent.tables import EVENTS
from spark_jobs.commits import open_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FACTS = Path(sys.prefix) / "lambent-setup.json"
"""Where ``make setup`` has written which Java and which jars to use."""

DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # A version can be read as long as its files are there; ``needed`` says which have to be, however old.
    "spark.databricks.delta.vacuum.enforceTimeTravelWithinDeletedFileRetentionDuration": "false",
}
# Delta's own bookkeeping queries use 50 partitions by default, which costs seconds a step on small tables.
QUICK = {
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
SMALL_BYTES = 64 << 20
"""About two million events."""
LOOPBACK = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}


def load_facts() -> dict[str, Any]:
    """``java_home`` and ``jars`` as set-up found them; empty where Lambent was installed in another way."""
    return json.loads(FACTS.read_text()) if FACTS.exists() else {}


def class_archive() -> Path | None:
    """Where the JVM's archive of loaded classes lies; it makes a session start in a third of the time."""
    jars = load_facts().get("jars")
    return Path(jars[0]).with_name("classes.jsa") if jars else None


def is_small(settings: Settings) -> bool:
    """Whether a local job on the events is over before the JVM's second compiler has paid for itself."""
    table = open_table(settings.table(EVENTS)) if settings.spark_master.startswith("local") else None
    return table is None or sum(table.get_add_actions(flatten=True)["size_bytes"].to_pylist()) < SMALL_BYTES


def java_options(local: bool, small: bool) -> str:
    """Options of the driver's JVM."""
    options = [f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties').as_uri()}"]
    archive = class_archive()
    if local and small:
        options += ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    if local and archive and archive.exists():
        options += [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", "-Xlog:disable", "-Xlog:all=off"]
    return " ".join(options)


def _jars(local: bool) -> dict[str, str]:
    """Delta's jars: on the class path of a local session, so that their classes can come from the archive; else shipped.

    Spark's own jars follow them: its launcher puts its configuration folder between the two, and a JVM takes nothing
    from an archive that does not begin with the same jars.
    """
    jars = load_facts().get("jars")
    if not jars:
        return {"spark.jars.packages": f"io.delta:delta-spark_4.2_2.13:{version('delta-spark')}"}
    spark = importlib.util.find_spec("pyspark")
    if local and spark and spark.origin:
        return {"spark.driver.extraClassPath": ":".join([*jars, str(Path(spark.origin).with_name("jars") / "*")])}
    return {"spark.jars": ",".join(jars)}


def session_conf(settings: Settings) -> dict[str, str]:
    """All that a session is told, by Spark's names."""
    local = settings.spark_master.startswith("local")
    scratch = settings.root / "spark"
    small = {"spark.sql.shuffle.partitions": "4", **LOOPBACK} if local else {}
    return {
        "spark.master": settings.spark_master,
        "spark.driver.memory": settings.spark_memory,
        "spark.driver.extraJavaOptions": java_options(local, is_small(settings)),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch / "scratch"),
        **DELTA,
        **QUICK,
        **small,
        **_jars(local),
    }


@contextlib.contextmanager
def spark_session(settings: Settings, app: str, conf: Mapping[str, str] | None = None) -> Iterator[SparkSession]:
    """The running session, or a new one that ends with the block.

    Args:
        settings: gives the master, the memory and the root.
        app: the application's name, as the cluster shows it.
        conf: more to tell it, by Spark's names.

    Raises:
        UsageError: Delta's jars are not where Spark looks for them.
    """
    from pyspark.sql import SparkSession

    running = SparkSession.getActiveSession()
    if running is not None:
        yield running
        return
    spark = _start(app, {**session_conf(settings), **(conf or {})})
    try:
        yield spark
    finally:
        spark.stop()


def _start(app: str, conf: Mapping[str, str]) -> SparkSession:
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    if home := load_facts().get("java_home"):
        os.environ.setdefault("JAVA_HOME", home)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    submitted = SparkConf()
    builder = SparkSession.builder.appName(app)
    for key, value in conf.items():
        if not submitted.contains(key):
            builder = builder.config(key, value)
    spark = builder.getOrCreate()
    _need_delta(spark)
    return spark


def _need_delta(spark: SparkSession) -> None:
    """Spark goes on without an extension that it cannot find; each table would then fail in other words."""
    try:
        spark._jvm.java.lang.Class.forName(DELTA["spark.sql.extensions"])
    except Exception as error:
        spark.stop()
        raise UsageError(
            "Spark does not find Delta's jars.",
            "Give them to spark-submit: python -m spark_jobs.session > spark.properties, then --properties-file.",
        ) from error


@contextlib.contextmanager
def told_plainly() -> Iterator[None]:
    """An error that Lambent raised on an executor, without the trace that Spark wraps it in.

    Raises:
        LambentError: of the kind that was raised there.
    """
    from pyspark.errors import PythonException

    try:
        yield
    except PythonException as error:
        found = re.search(r"lambent\.errors\.(\w+): (.*)", str(error))
        kind = getattr(errors, found[1], None) if found else None
        if found is None or kind is None:
            raise
        raise (DataError if kind is errors.MappingError else kind)(found[2].strip()) from error


if __name__ == "__main__":
    for name, value in session_conf(load_settings()).items():
        print(f"{name} {value}")
