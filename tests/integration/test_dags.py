"""The DAG files as Airflow reads them: they parse, name real job files, and are wired by assets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]

READ_DAGS = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])

def waits_for(dag):
    condition = getattr(dag.timetable, "asset_condition", None)
    return [asset.uri for asset in condition.objects] if condition else []

dags = {
    dag_id: {
        "tasks": [task.task_id for task in dag.topological_sort()],
        "arguments": [task.application_args for task in dag.tasks],
        "applications": [task.application for task in dag.tasks],
        "outlets": [asset.uri for task in dag.tasks for asset in task.outlets],
        "waits_for": waits_for(dag),
        "doc": bool(dag.doc_md),
        "retries": min(task.retries for task in dag.tasks),
    }
    for dag_id, dag in bag.dags.items()
}
print("\\n" + json.dumps({"errors": bag.import_errors, "dags": dags}))
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow finds, read in a process of its own, since Airflow sets up its home where it is imported."""
    home = tmp_path_factory.mktemp("airflow")
    variables = os.environ | {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    command = [sys.executable, "-c", READ_DAGS, str(PROJECT / "dags")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_dag_file_parses(read: dict[str, Any]) -> None:
    assert read["errors"] == {}
    assert sorted(read["dags"]) == ["lambent_history", "lambent_profiles", "lambent_sessions", "lambent_training"]


def test_tasks_run_in_the_order_of_the_flow(read: dict[str, Any]) -> None:
    tasks = {dag_id: dag["tasks"] for dag_id, dag in read["dags"].items()}
    assert read["dags"]["lambent_profiles"]["arguments"] == [["ingest-log", "profiles", "publish"]]
    assert tasks["lambent_training"] == ["train", "evaluate", "register"]


def test_every_task_names_a_job_that_exists_and_retries(read: dict[str, Any]) -> None:
    for dag in read["dags"].values():
        assert all(Path(application).is_file() for application in dag["applications"])
        assert dag["retries"] >= 1
        assert dag["doc"]


def test_assets_wire_history_to_profiles_and_sessions_to_training(read: dict[str, Any]) -> None:
    dags = read["dags"]
    assert dags["lambent_history"]["outlets"] == dags["lambent_profiles"]["waits_for"]
    assert dags["lambent_sessions"]["outlets"] == dags["lambent_training"]["waits_for"]
    assert dags["lambent_training"]["waits_for"]
