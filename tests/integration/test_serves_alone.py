"""The realtime layer serves on while Airflow, Spark and MLflow are down: its processes can neither import nor reach any of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from lambent.control import ModelEntry
from tests.benchmarks.shop import export_model
from tests.chaos.outage import archived
from tests.chaos.processes import running
from tests.chaos.rig import Rig, make_rig, wait_until
from tests.http_server import answers, url
from tests.valkey import Valkey, free_port, server, valkey  # noqa: F401

pytestmark = pytest.mark.integration
GONE = ("airflow", "pyspark", "delta", "mlflow", "tensorflow", "keras", "horovod", "pandas", "sklearn")
# Python imports it before anything else.
BLOCKER = f"""
import sys

class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {GONE!r}:
            raise ImportError(f"{{name}} is down")

sys.meta_path.insert(0, Gone())
"""


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    down = "http://127.0.0.1:9"  # the port that discards: nobody listens
    return make_rig(
        valkey, tmp_path, partitions=2, http_port=free_port(), mlflow_uri=down, spark_master="spark://127.0.0.1:9"
    )


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that has Python, this code, and none of the engines."""
    folder = tmp_path / "blocker"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCKER)
    project = Path(__file__).parents[2]
    nowhere = tmp_path / "nowhere"
    own = {
        "PYTHONPATH": f"{folder}:{project}",
        "PATH": str(nowhere),
        "JAVA_HOME": str(nowhere),
        "AIRFLOW_HOME": str(nowhere),
    }
    for name in GONE:
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"], env=os.environ | own, capture_output=True, check=False
        )
        assert b"is down" in done.stderr
    return own


def test_events_are_answered_by_the_model_that_was_exported_before_and_archived(
    rig: Rig, alone: dict[str, str], tmp_path: Path
) -> None:
    artifact = export_model(tmp_path / "model")
    digest = hashlib.sha256((artifact / "model.json").read_bytes()).hexdigest()
    rig.store.publish_control(ModelEntry(1, str(artifact), digest), 2)
    with ExitStack() as stack:
        commands = (["server"], ["worker"], ["archiver", "--interval-ms", "100"])
        processes = [stack.enter_context(running(rig.settings, *one, environment=alone)) for one in commands]
        client = stack.enter_context(httpx.Client(base_url=url(rig), timeout=30))
        wait_until(lambda: answers(client), seconds=60)
        seen = set()
        for n in range(20):
            sent = client.post(
                "/v1/events?wait=10000",
                json={"user": f"shopper-{n % 7}", "type": "cart", "product": "p", "id": f"e{n}"},
            )
            assert sent.status_code == 202, sent.text
            (answer,) = sent.json()["intents"]
            seen.add(answer["intent"]["model"])
            assert abs(sum(answer["intent"]["probabilities"].values()) - 1) < 1e-4
        assert seen == {"1"}
        wait_until(lambda: {event.id for event, _ in archived(rig)} == {f"e{n}" for n in range(20)}, seconds=60)
        assert [process.poll() for process in processes] == [None, None, None]
    assert [process.returncode for process in processes] == [0, 0, 0]
