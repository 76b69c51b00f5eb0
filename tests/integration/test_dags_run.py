"""The DAGs run: real Airflow, real Spark, a real store, small tables; one task is killed half-way, one fails for a reason."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from demo.environment import variables, write_spark_conf
from lambent.settings import Settings
from lambent.tables import EVENTS
from spark_jobs.commits import open_table
from tests.integration.test_up import processes_below
from tests.pages import PROJECT
from tests.valkey import Valkey, server, valkey

__all__ = ["server", "valkey"]
pytestmark = [pytest.mark.integration, pytest.mark.spark, pytest.mark.slow, pytest.mark.timeout(900)]

RUN = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session

dag = DagBag(sys.argv[1]).dags[sys.argv[2]]
dag.deadline = None  # Airflow 3.3's own ``dags test`` fails on one
for task in dag.tasks:
    task.retries = 0
state = dag.test(run_conf=json.loads(sys.argv[3])).state
with create_session() as session:
    reports = [x.value for x in session.query(XComModel).filter_by(dag_id=dag.dag_id, key="return_value")]
    events = [x.extra for x in session.query(AssetEvent).filter_by(source_dag_id=dag.dag_id).order_by(AssetEvent.id)]
print("\\n" + json.dumps({"state": state, "reports": reports, "events": events}))
"""

WRONG_CALL_IN_A_BACKFILL = """
import json, types
from airflow.sdk.exceptions import AirflowFailException
from dags.sessions import SESSIONS, dag

task = dag.get_task("training_sessions")
task.outlets = [SESSIONS]
before, task.application_args = len(task.outlets), ["--as-of", "soon"]
try:
    task.execute({"dag_run": types.SimpleNamespace(run_type="backfill"), "outlet_events": {}})
except AirflowFailException as error:
    print("\\n" + json.dumps({"before": before, "outlets": task.outlets, "reason": str(error)}))
"""

LATE = """
from dags.alerts import tell_late

for kind in ("backfill", "asset_triggered"):
    run = {"run_type": kind, "dag_id": "lambent_profiles", "dag_run_id": kind, "state": "running"}
    tell_late({"dag_run": run}, within="1:00:00")
"""


class Airflow:
    """An Airflow of its own, on an empty shop.

    Attributes:
        settings: of the shop.
        told: what the webhook of ``lambent_alerts`` was told.
    """

    def __init__(self, settings: Settings, webhook: str) -> None:
        self.settings = settings
        self.told: list[str] = []
        self.said = settings.root / "said"
        write_spark_conf(settings)
        base, _, secret = webhook.rpartition("/")
        alerts = {"conn_type": "http", "host": base, "password": secret}
        self.env = variables(settings) | {"AIRFLOW_CONN_LAMBENT_ALERTS": json.dumps(alerts), "PYTHONPATH": str(PROJECT)}
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], env=self.env, capture_output=True, check=True
        )

    def start(self, dag_id: str, **params: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", RUN, str(PROJECT / "dags"), dag_id, json.dumps(params)]
        with self.said.open("w") as said:  # a pipe that nobody reads would stop it
            return subprocess.Popen(command, env=self.env, stdout=said, stderr=said)

    def run(self, dag_id: str, **params: Any) -> dict[str, Any]:
        """Run a DAG to its end: its state, its tasks' reports, and the extras of its asset events so far."""
        return self.outcome(self.start(dag_id, **params))

    def python(self, script: str) -> str:
        """What a script says that runs as a task does."""
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, check=True, timeout=120).stdout

    def outcome(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.wait(300) == 0, self.said.read_text()
        found: dict[str, Any] = json.loads(self.said.read_text().splitlines()[-1])
        return found


@contextlib.contextmanager
def webhook(told: list[str]) -> Iterator[str]:
    """A server that keeps what it is told; its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(f"{self.path} {json.loads(self.rfile.read(int(self.headers['Content-Length'])))['text']}")
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}/hooks/s3cret"
        listening.shutdown()


@pytest.fixture
def airflow(tmp_path: Path, valkey: Valkey) -> Iterator[Airflow]:
    settings = Settings(
        root=tmp_path, tile_ms=1_000, partitions=4, store_url=SecretStr(valkey.url), spark_master="local[2]",
        spark_memory="1g",
    )  # fmt: skip
    told: list[str] = []
    with webhook(told) as url:
        found = Airflow(settings, url)
        found.told = told
        yield found


def write_log(path: Path, first: int, last: int) -> str:
    """Events ``first`` to ``last`` of as many users, as JSON lines of the mapping ``lambent``."""
    rows = [
        {"id": f"e{n}", "user": f"u{n % 40}", "type": "view", "event_ms": 1_700_000_000_000 + n}
        for n in range(first, last)
    ]
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return str(path)


def kill_when(found: Path, process: subprocess.Popen[bytes]) -> None:
    """Kill the task's Spark, and the job in it, as soon as a file is there."""
    end_s = time.monotonic() + 120
    while not found.exists():
        assert time.monotonic() < end_s
        assert process.poll() is None
        time.sleep(0.005)
    for pid, line in processes_below(process.pid).items():
        if "ingest.py" in line:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.long
def test_a_killed_task_is_run_again_and_one_run_makes_up_for_all_that_were_missed(
    airflow: Airflow, tmp_path: Path, valkey: Valkey
) -> None:
    settings = airflow.settings
    one, two = write_log(tmp_path / "one.jsonl", 0, 300), write_log(tmp_path / "two.jsonl", 200, 500)

    failed = airflow.run("lambent_sessions")
    assert (failed["state"], failed["events"]) == ("failed", [])
    reason = f"There is no table {settings.table(EVENTS)}. Run lambent ingest first."
    assert [text.partition(" Run: ")[0] for text in airflow.told] == [
        f"/hooks/s3cret lambent_sessions.training_sessions failed at try 1: {reason}"
    ]

    killed = airflow.start("lambent_history", file=one)
    kill_when(Path(settings.table(EVENTS)) / "_delta_log" / f"{0:020}.json", killed)
    assert airflow.outcome(killed)["state"] == "failed"
    again, more = airflow.run("lambent_history", file=one), airflow.run("lambent_history", file=two)
    assert [event["ingest"]["rows"] for event in more["events"]] == [300, 200]
    assert (again["state"], more["state"]) == ("success", "success")

    caught_up = airflow.run("lambent_profiles")
    (reports,) = caught_up["reports"]
    assert caught_up["events"] == [reports]
    table = open_table(settings.table(EVENTS))
    assert table is not None
    assert table.to_pyarrow_table().num_rows == 500
    assert reports["profiles"]["events_version"] == table.version() == reports["publish"]["events_version"]
    assert reports["publish"]["rows"] == len(valkey.client.keys("profile:*")) == 40


def test_a_wrong_call_is_not_tried_again_and_a_task_of_a_backfill_wakes_nobody(airflow: Airflow) -> None:
    done = airflow.python(WRONG_CALL_IN_A_BACKFILL)
    assert json.loads(done.splitlines()[-1]) == {
        "before": 1,
        "outlets": [],
        "reason": "'soon' is not an ISO 8601 time. Write it as 2025-01-31T12:00:00Z.",
    }


def test_a_late_run_is_told_unless_it_waits_in_a_backfill(airflow: Airflow) -> None:
    airflow.python(LATE)
    assert airflow.told == [
        "/hooks/s3cret lambent_profiles is late: run asset_triggered is running, and was to be done within 1:00:00."
    ]
