"""The DAG files as Airflow reads them: they parse, name real job files, are wired by assets, and hold the rules of all."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pages import PROJECT

pytestmark = pytest.mark.integration

READ_DAGS = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1])

def waits_for(dag):
    condition = getattr(dag.timetable, "asset_condition", None)
    return [asset.uri for asset in condition.objects] if condition else []

def shape(task):
    return {
        "arguments": task.application_args,
        "application": task.application,
        "outlets": [asset.uri for asset in task.outlets],
        "pool": task.pool,
        "retries": task.retries,
        "backs_off": task.retry_exponential_backoff,
        "timeout_s": task.execution_timeout.total_seconds(),
        "on_failure": [callback.__name__ for callback in task.on_failure_callback],
        "links": [link.name for link in task.operator_extra_links],
    }

dags = {
    dag_id: {
        "tasks": {task.task_id: shape(task) for task in dag.topological_sort()},
        "edges": [[task.task_id, after] for task in dag.tasks for after in task.downstream_task_ids],
        "waits_for": waits_for(dag),
        "doc": dag.doc_md,
        "file": dag.fileloc,
        "runs": dag.max_active_runs,
        "catchup": dag.catchup,
        "deadlines_s": [alert.interval.total_seconds() for alert in dag.deadline],
        "params": [dag.params.get_param(name).dump() for name in dag.params],
        "stored": bool(DagSerialization.to_dict(dag)),
    }
    for dag_id, dag in bag.dags.items()
}
print("\\n" + json.dumps({"errors": bag.import_errors, "dags": dags}))
"""

FILES = sorted(path for path in (PROJECT / "dags").glob("*.py"))


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


@pytest.fixture(scope="module")
def dags(read: dict[str, Any]) -> dict[str, Any]:
    """By name."""
    found: dict[str, Any] = read["dags"]
    return found


@pytest.fixture(scope="module")
def tasks(dags: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of all DAGs."""
    return [task for dag in dags.values() for task in dag["tasks"].values()]


def test_every_dag_file_parses_and_can_be_stored(read: dict[str, Any]) -> None:
    assert read["errors"] == {}
    known = {f"lambent_{name}" for name in ("catalogue", "history", "profiles", "sessions", "training", "maintenance")}
    assert known <= set(read["dags"])
    assert all(dag["stored"] for dag in read["dags"].values())


def test_the_graph_reads_like_the_flow(dags: dict[str, Any]) -> None:
    """files, log → events → profiles → store; events → sessions → quality → train → evaluate → register."""
    assert dags["lambent_profiles"]["tasks"]["refresh"]["arguments"] == ["ingest-log", "profiles", "publish"]
    assert dags["lambent_sessions"]["edges"] == [["training_sessions", "quality"]]
    assert dags["lambent_sessions"]["tasks"]["training_sessions"]["outlets"] == []  # training waits for the quality
    assert dags["lambent_training"]["edges"] == [["train", "evaluate"], ["evaluate", "register"]]
    assert dags["lambent_catalogue"]["edges"] == [["catalogue", "publish_catalogue"]]
    assert outlets(dags["lambent_history"]) == dags["lambent_profiles"]["waits_for"]
    assert outlets(dags["lambent_sessions"]) == dags["lambent_training"]["waits_for"] != []


def outlets(dag: dict[str, Any]) -> list[str]:
    return [uri for task in dag["tasks"].values() for uri in task["outlets"]]


def test_every_task_names_a_job_that_exists_and_is_tried_again_later_and_not_for_ever(
    tasks: list[dict[str, Any]],
) -> None:
    for task in tasks:
        assert Path(task["application"]).is_file()
        assert task["retries"] >= 1
        assert task["backs_off"]
        assert 0 < task["timeout_s"] <= 6 * 3_600
        assert task["on_failure"] == ["tell_failure"]


def test_every_task_of_the_batch_layer_takes_the_one_slot_of_a_pool_that_is_made(tasks: list[dict[str, Any]]) -> None:
    pools = json.loads((PROJECT / "dags" / "pools.json").read_text())
    assert {name: pool["slots"] for name, pool in pools.items()} == {"lambent_tables": 1}
    writers = [task for task in tasks if task["outlets"] and "/spark_jobs/" in task["application"]]
    writers.append(next(task for task in tasks if task["application"].endswith("maintenance.py")))
    assert len(writers) >= 4
    assert {task["pool"] for task in writers} == {"lambent_tables"}
    assert {task["pool"] for task in tasks} <= {"lambent_tables", "default_pool"}


def test_every_dag_has_words_one_run_at_a_time_and_a_deadline(dags: dict[str, Any]) -> None:
    for name, dag in dags.items():
        assert len(dag["doc"]) > 100, name
        assert (dag["runs"], dag["catchup"], len(dag["deadlines_s"])) == (1, False, 1), name
        assert Path(dag["file"]).name != "common.py"


def test_every_param_of_a_form_has_a_type_and_says_what_it_is(dags: dict[str, Any]) -> None:
    params = [param for dag in dags.values() for param in dag["params"]]
    assert len(params) >= 4
    assert all(param["schema"]["type"] and param["description"] for param in params)


def test_the_model_that_was_registered_is_a_click_away(dags: dict[str, Any]) -> None:
    assert dags["lambent_training"]["tasks"]["register"]["links"] == ["MLflow run"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_dag_file_reads_no_settings_and_imports_only_airflow_at_its_top(file: Path) -> None:
    tree = ast.parse(file.read_text())
    modules = [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names]
    roots = {module.partition(".")[0] for module in modules}
    assert roots - set(sys.stdlib_module_names) <= {"airflow", "dags"}
    calls = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not calls & {"getenv", "load_settings", "read_text", "open"}
