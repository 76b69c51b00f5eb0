"""What a job says at its end: one line of JSON on stdout, one line for people on stderr, one line kept in a file."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from lambent.errors import LambentError
from lambent.reports import keep_report
from lambent.settings import Settings, load_settings


class Report(msgspec.Struct, omit_defaults=True):
    """How a job went.

    Attributes:
        job: its name.
        rows: how many rows it wrote.
        seconds: how long it took, the start of the JVM left out where several jobs share one.
        counts: what else there is to count, by name.
        facts: what it worked on: versions, cut-off, files.
    """

    job: str
    rows: int = 0
    seconds: float = 0.0
    counts: dict[str, int] = {}
    facts: dict[str, Any] = {}

    def flat(self) -> dict[str, Any]:
        """One level of names and values."""
        return {"job": self.job, "rows": self.rows, "seconds": round(self.seconds, 3), **self.counts, **self.facts}

    def sentence(self) -> str:
        """One line for people."""
        counts = "".join(f", {count:,} {name.replace('_', ' ')}" for name, count in self.counts.items() if count)
        return f"{self.job}: {self.rows:,} rows in {self.seconds:.1f} s{counts}"


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._start_s


def keep(settings: Settings, report: Report) -> None:
    """Append the report to ``ROOT/reports/jobs.jsonl``."""
    keep_report(settings, report.flat())


def tell(report: Report) -> None:
    """Print the report: for people on stderr, for machines as the last line of stdout."""
    print(report.sentence(), file=sys.stderr, flush=True)
    print(json.dumps(report.flat()), flush=True)


def run_job(job: Callable[[Settings], Report]) -> int:
    """The body of a job's ``main``: exit code 0 and a report, or an error as one line for people."""
    return run_jobs(lambda settings: [job(settings)])


def run_jobs(jobs: Callable[[Settings], Iterable[Report]]) -> int:
    """The same for several jobs, a report each."""
    try:
        for report in jobs(load_settings()):
            tell(report)
    except LambentError as error:
        print(f"lambent: {error}", file=sys.stderr)
        return error.exit_code
    return 0
