"""Builds ``profiles`` in full from a snapshot: every aggregate by its own SQL, in one pass after one shuffle."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lambent.features import FeatureSet
from lambent.settings import Settings
from lambent.tables import PROFILES
from spark_jobs.commits import open_table, overwrite
from spark_jobs.report import Report, Stopwatch, keep, run_job
from spark_jobs.session import spark_session
from spark_jobs.snapshot import Snapshot, choose, encoded, events_of, marked

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

JOB = "profiles"


def profiles_of(events: DataFrame, features: FeatureSet) -> DataFrame:
    """One row a user: ``user``, ``clock_ms``, a column an aggregate.

    Args:
        events: distinct events of ``tables.EVENT_COLUMNS``, those of the snapshot.
        features: the declarations.
    """
    from pyspark.sql import functions as F

    taxonomy = features.taxonomy
    values = [F.expr(one.sql(taxonomy)).alias(one.name) for one in features.profile.aggregates]
    return marked(encoded(events, taxonomy)).groupBy("user", "clock_ms").agg(*values)


def build(settings: Settings, snapshot: Snapshot | None = None) -> Report:
    """Replace ``profiles`` by those of a snapshot, and keep the report.

    Args:
        settings: the settings.
        snapshot: (V, T); None: the newest that keeps the law.

    Raises:
        DataError: there are no events.
    """
    watch = Stopwatch()
    snapshot = snapshot or choose(settings)
    features = FeatureSet(settings.load_taxonomy())
    said = snapshot.metadata(features.hash)
    path = settings.table(PROFILES)
    with spark_session(settings, "lambent profiles") as spark:
        overwrite(profiles_of(events_of(spark, settings, snapshot), features), path, said)
    table = open_table(path)
    commit = table.history(1)[0] if table else {}
    rows = int(commit["operationMetrics"]["numOutputRows"])
    report = Report(JOB, rows, watch.seconds, facts={**said, "profiles_version": commit["version"]})
    keep(settings, report)
    return report


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of jobs that read a snapshot."""
    parser.add_argument("--events-version", type=int, metavar="V", help="version of events; default: the newest")
    parser.add_argument(
        "--cutoff-ms", type=int, metavar="T", help="cut-off on the ingest clock; default: the watermark's"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """``spark-submit profiles.py [--events-version V] [--cutoff-ms T]``."""
    parser = argparse.ArgumentParser(prog=JOB, description=__doc__)
    configure(parser)
    arguments = parser.parse_args(argv)
    return run_job(lambda settings: build(settings, choose(settings, arguments.events_version, arguments.cutoff_ms)))


if __name__ == "__main__":
    raise SystemExit(main())
