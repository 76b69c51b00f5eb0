"""What a job reports: one JSON line at its end, printed for whoever called it and kept for whoever asks later."""

from __future__ import annotations

import json
import time
from typing import Any

from lambent.settings import Settings


def keep_report(settings: Settings, report: dict[str, Any]) -> None:
    """Append a report, and when it came, to ``ROOT/reports/jobs.jsonl``."""
    line = json.dumps({"time_ms": time.time_ns() // 1_000_000, **report})
    folder = settings.root / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "jobs.jsonl").open("a") as file:  # one write of one line: appends of several jobs do not mix
        file.write(line + "\n")


def append_report(settings: Settings, job: str, rows: int, seconds: float, **counts: Any) -> dict[str, Any]:
    """Keep a job's report and print it as one line.

    Args:
        settings: say where ROOT is.
        job: the job's name.
        rows: what the job wrote, in its own unit of work (events, users, sessions).
        seconds: wall time of the work.
        counts: anything else worth knowing, JSON-serialisable.

    Returns:
        The report.
    """
    report = {"job": job, "rows": rows, "seconds": round(seconds, 3), **counts}
    keep_report(settings, report)
    print(json.dumps(report), flush=True)
    return report
