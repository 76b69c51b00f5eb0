"""Several jobs in one Spark application, so that a small shop pays for one JVM.

spark-submit run.py ingest-log profiles publish
python -m spark_jobs.run ingest-log profiles publish training-sessions
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from lambent.settings import Settings
from spark_jobs import ingest, profiles, publish, training_sessions
from spark_jobs.report import Report, run_jobs
from spark_jobs.session import spark_session

JOBS: Mapping[str, Callable[[Settings], Report]] = {
    "ingest-log": ingest.ingest_new_log,
    "profiles": profiles.build,
    "publish": publish.publish,
    "training-sessions": training_sessions.build,
}
WITHOUT_SPARK = {"publish"}


def run(settings: Settings, names: Sequence[str]) -> Iterator[Report]:
    """Run the jobs in their order, giving each one's report as it ends; the first that fails ends the run."""
    needs_spark = not WITHOUT_SPARK.issuperset(names)
    with spark_session(settings, "lambent") if needs_spark else contextlib.nullcontext():
        for name in names:
            yield JOBS[name](settings)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one line of JSON a job, on stdout."""
    parser = argparse.ArgumentParser(prog="run", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("job", nargs="+", choices=sorted(JOBS), help="in this order")
    names = parser.parse_args(argv).job
    return run_jobs(lambda settings: run(settings, names))


if __name__ == "__main__":
    raise SystemExit(main())
