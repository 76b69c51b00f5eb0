"""The batch half: has Airflow run the DAGs, and shows each job as it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from demo.environment import Processes
from demo.screen import Running, Screen, Step
from demo.source import Source
from lambent.settings import Settings

JOBS = (
    "ingest the history",
    "ingest the log",
    "profiles",
    "publish",
    "catalogue",
    "publish the catalogue",
    "training sessions",
    "train",
    "evaluate",
    "register",
)
"""What the DAGs run before there is traffic, in order."""

UNITS = {
    "ingest": "events", "profiles": "users", "publish": "users", "training_sessions": "sessions", "train": "sessions",
    "evaluate": "events", "register": "model", "catalogue": "rates", "publish_catalogue": "rates",
}  # fmt: skip
"""What a job's rows are, by the job's name."""


def build_and_train(settings: Settings, processes: Processes, screen: Screen, source: Source) -> None:
    """History into tables, profiles into the store, rates and a model through the gate into the log."""
    conf = json.dumps({"file": str(source.path), "mapping": source.mapping, "before": source.before})
    dags = [f"lambent_history={conf}", "lambent_profiles", "lambent_catalogue", "lambent_sessions", "lambent_training"]
    process = start_dags(processes, "batch", dags)
    with screen.bar(Step("Airflow runs the DAGs", "jobs"), total=len(JOBS)) as bar:
        show_jobs(screen, process, JobReports(settings), bar)
    processes.wait("batch")


def start_dags(processes: Processes, name: str, dags: list[str], nice: int = 0) -> subprocess.Popen[bytes]:
    """Start a process in which Airflow runs the DAGs one after another."""
    return processes.start(name, [sys.executable, "-m", "demo.dag_runner", *dags], nice=nice)


class JobReports:
    """The reports that jobs append to ``ROOT/reports/jobs.jsonl``, each once."""

    def __init__(self, settings: Settings) -> None:
        self.path = settings.root / "reports" / "jobs.jsonl"
        self.seen = len(self._lines())

    def new(self) -> Iterator[dict[str, Any]]:
        """Reports that came since the last call."""
        lines = self._lines()
        for line in lines[self.seen :]:
            yield json.loads(line)
        self.seen = len(lines)

    def _lines(self) -> list[str]:
        text = self.path.read_text() if self.path.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()  # a line that is being written is not there yet


def show_jobs(screen: Screen, process: subprocess.Popen[bytes], reports: JobReports, bar: Running) -> None:
    """Show each job of a process as it ends, and which one runs, until the process does."""
    done, running = 0, True
    while running:
        running = process.poll() is None
        for report in reports.new():
            screen.add(job_step(report))
            done += 1
        bar.update(done, JOBS[min(done, len(JOBS) - 1)])
        time.sleep(0.2)


def job_step(report: dict[str, Any]) -> Step:
    """A job's report as a step."""
    return Step(report["job"].replace("_", " "), UNITS.get(report["job"], "rows"), report["rows"], report["seconds"])
