"""The whole loop as ``make demo`` runs it, in small: every part real, and the law for every user."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.pages import PROJECT

DATA = PROJECT.parent / "shared" / "data"
PICTURES = ["latency.png", "precision_recall.png", "reliability.png", "session.png"]


def run_demo(root: Path, *variables: str) -> dict[str, Any]:
    """``make demo`` with its own root; returns the summary."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("LAMBENT_", "AIRFLOW"))}
    done = subprocess.run(
        ["make", "demo", *variables], cwd=PROJECT, env=own | {"LAMBENT_ROOT": str(root)},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads((root / "demo" / "summary.json").read_text())
    return summary


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_demo_runs_the_whole_loop_and_the_law_holds_for_every_user(tmp_path: Path) -> None:
    found = run_demo(tmp_path, "ARGS=--users 800 --traffic-seconds 20")
    jobs = [step["name"] for step in found["steps"]]
    assert jobs.count("profiles") == jobs.count("publish") == 3
    assert {"ingest", "catalogue", "publish catalogue", "training sessions", "train", "evaluate", "register"} <= set(
        jobs
    )
    assert all({"name", "rows", "seconds"} <= step.keys() for step in found["steps"])
    assert found["law"]["differences"] == 0
    assert found["law"]["crossing"] > 100
    assert found["cutoff_moves"] >= 2
    assert set(found["model"]) == {"browse", "purchase", "consult", "review"}
    assert all({"auc", "ap", "ece", "base_rate"} <= one.keys() for one in found["model"].values())
    assert found["live"]["events"] > 1_000
    assert 0 < found["live"]["p50_ms"] <= found["live"]["p99_ms"]
    assert [name for name in PICTURES if not (tmp_path / "demo" / name).stat().st_size > 10_000] == []


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("log", "mapping", "users"),
    [
        ("rees46-2019-oct-slice/2019-Oct.csv.gz", "rees46", 4_504),
        ("taobao-983-users/UserBehavior.csv.gz", "taobao", 983),
    ],
)
def test_a_real_log_runs_the_whole_loop_and_the_law_holds_for_every_user(
    log: str, mapping: str, users: int, tmp_path: Path
) -> None:
    if not (DATA / log).exists():
        pytest.skip(f"the real log {log} is not beside the checkout")
    found = run_demo(tmp_path, f"INPUT={DATA / log}", f"MAPPING={mapping}")
    assert found["law"] == {"users": users, "crossing": found["law"]["crossing"], "differences": 0}
    assert found["law"]["crossing"] > 0
