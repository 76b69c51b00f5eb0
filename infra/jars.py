"""Fetch Delta's jars once, through Spark's own resolver, so that sessions start from local files.

Usage: python infra/jars.py FOLDER
"""

import os
import re
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import pyspark
from pyspark.java_gateway import launch_gateway

# A Delta release has one jar for each Spark release that it supports; 2.13 is Spark 4's Scala.
SPARK_RELEASE = ".".join(version("pyspark").split(".")[:2])
COORDINATE = f"io.delta:delta-spark_{SPARK_RELEASE}_2.13:{version('delta-spark')}"
# Spark ships Hadoop's client; a second one beside it would be another 50 MB that conflicts.
EXCLUDED = "org.apache.hadoop:hadoop-client-api,org.apache.hadoop:hadoop-client-runtime"


def resolve(coordinate: str, excluded: str = "") -> list[Path]:
    """Let spark-submit resolve the coordinate, and ask its JVM where the jars are. No session starts."""
    without = f"--exclude-packages {excluded} " if excluded else ""
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--packages {coordinate} {without}pyspark-shell"
    gateway = launch_gateway()
    try:
        jars = gateway.jvm.java.lang.System.getProperty("spark.jars")
    finally:
        gateway.shutdown()
    return [Path(jar.removeprefix("file://").removeprefix("file:")) for jar in jars.split(",") if jar]


def artifact(file_name: str) -> str:
    """`jackson-core` for `jackson-core-2.13.5.jar`."""
    return re.sub(r"-\d.*", "", file_name)


def main() -> None:
    folder = Path(sys.argv[1])
    # Spark's own copy wins over one of ours by the same name: half of the resolved jars would never be read.
    shipped = {artifact(jar.name) for jar in (Path(pyspark.__file__).parent / "jars").glob("*.jar")}
    # Ivy puts the organisation and "_" before the name.
    found = [jar for jar in resolve(COORDINATE, EXCLUDED) if artifact(jar.name.split("_", 1)[1]) not in shipped]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for jar in found:
        shutil.copy2(jar, folder / jar.name)


if __name__ == "__main__":
    main()
