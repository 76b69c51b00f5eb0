"""``lambent batch``: several jobs in one Spark application, so that a small shop pays for one JVM.

spark-submit run.py ingest-log profiles publish
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lambent.cli import Command
from lambent.settings import Settings
from spark_jobs import catalogue, ingest, maintenance, profiles, publish, quality, training_sessions
from spark_jobs.catalogue_publish import publish_catalogue
from spark_jobs.report import Report, run_jobs
from spark_jobs.session import spark_session

JOBS: Mapping[str, Callable[[Settings], Report]] = {
    "ingest-log": ingest.ingest_new_log,
    "profiles": profiles.build,
    "publish": publish.publish,
    "catalogue": catalogue.build,
    "publish-catalogue": publish_catalogue,
    "training-sessions": training_sessions.build,
    "maintenance": maintenance.maintain,
    "quality": quality.check,
}
WITHOUT_SPARK = {"publish", "publish-catalogue", "quality"}


def run(settings: Settings, names: Sequence[str]) -> Iterator[Report]:
    """Run the jobs in their order, giving each one's report as it ends; the first that fails ends the run."""
    needs_spark = not WITHOUT_SPARK.issuperset(names)
    with spark_session(settings, "lambent") if needs_spark else contextlib.nullcontext():
        for name in names:
            yield JOBS[name](settings)


def configure(parser: argparse.ArgumentParser) -> None:
    """The jobs' names."""
    parser.add_argument("job", nargs="+", choices=sorted(JOBS), help="in this order")


def batch(arguments: argparse.Namespace, settings: Settings) -> list[dict[str, Any]]:
    """Run the jobs; returns their reports."""
    reports = []
    for report in run(settings, arguments.job):
        reports.append(report.flat())
        if not arguments.json:
            print(report.sentence(), flush=True)
    return reports


COMMAND = Command(
    help="run batch jobs on the tables, in one Spark application",
    description="Runs jobs one after another: ingest-log (archive to events), profiles (events to profiles), publish\n"
    "(profiles to the store), catalogue (events to rates of products and categories), publish-catalogue (these to the\n"
    "workers), training-sessions (events to training rows), quality (fails where a table or a feature misses\n"
    "its limit), maintenance (compacts tables, deletes what nobody can ask for). The first that fails ends the run; each\n"
    "is safe to run again.",
    examples=(
        ("lambent batch profiles publish", "after a history was ingested"),
        ("lambent batch ingest-log profiles publish", "what Airflow does every hour"),
    ),
    configure=configure,
    run=batch,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one line of JSON a job, on stdout."""
    parser = argparse.ArgumentParser(prog="run", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    configure(parser)
    names = parser.parse_args(argv).job
    return run_jobs(lambda settings: run(settings, names))


if __name__ == "__main__":
    raise SystemExit(main())
