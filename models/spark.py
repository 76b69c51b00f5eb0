"""The Spark session whose slots Horovod's ranks take. It runs no query, so it is told little."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lambent.settings import Settings

FACTS = Path(sys.prefix) / "lambent-setup.json"
"""Where ``make setup`` has written which Java and which jars to use."""


@contextlib.contextmanager
def slots(processes: int, settings: Settings) -> Iterator[None]:
    """The running session, or a new one with a slot for each of ``processes``, which ends with the block.

    What ``spark-submit`` was told wins over what is said here.
    """
    from pyspark.sql import SparkSession

    if SparkSession.getActiveSession() is not None:
        yield
        return
    spark = _start(processes, settings)
    try:
        yield
    finally:
        spark.stop()


def _start(processes: int, settings: Settings) -> Any:
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    facts = json.loads(FACTS.read_text()) if FACTS.exists() else {}
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if "java_home" in facts:
        os.environ.setdefault("JAVA_HOME", facts["java_home"])
    local = settings.spark_master.startswith("local")
    options = {
        "spark.master": f"local[{processes}]" if local else settings.spark_master,
        "spark.driver.memory": settings.spark_memory,
        "spark.log.level": "ERROR",
        "spark.task.maxFailures": "1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        **(_local_options(settings, facts.get("jars", [])) if local else {}),
    }
    submitted, builder = SparkConf(), SparkSession.builder.appName("lambent train")
    for name, value in options.items():
        if not submitted.contains(name):
            builder = builder.config(name, value)
    return builder.getOrCreate()


def _local_options(settings: Settings, jars: list[str]) -> dict[str, str]:
    """For a local session: a JVM that starts quickly, by the archive of classes that set-up has made.

    It is taken only where the class path begins with the jars that it was made from: Delta's, then Spark's own.
    """
    import pyspark

    own = Path(pyspark.__file__).with_name("jars") / "*"
    java = ["-Dlog4j2.level=error", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    archive = Path(jars[0]).with_name("classes.jsa") if jars else None
    if archive and archive.exists():
        java += [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", "-Xlog:disable", "-Xlog:all=off"]
    return {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(settings.root / "spark" / "scratch"),
        "spark.driver.extraClassPath": ":".join([*jars, str(own)]),
        "spark.driver.extraJavaOptions": " ".join(java),
    }
