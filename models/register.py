"""The job ``register``: gives the staged artifact a version, and makes it champion if it passes the gate.

    python -m models.register

It needs ``evaluation.json`` of that very artifact. Either way ``ROOT/reports/gate.md`` and ``gate.json`` say why, rule by rule; both
are kept with the run, and the version is tagged with what the gate said.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.errors import ModelError, StoreError
from lambent.reports import append_report
from lambent.settings import Settings
from models.artifact import STAGING, copy_artifact, digest, read_description
from models.evaluate import DATA, PAGE, write_json, write_text
from models.gate import Decision, as_json, decide, load_limits, page
from models.jobs import register_arguments, run_job
from models.judging import gather
from models.promotion import announce, artifact_folder
from models.registry import Registry


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from a command line."""
    return run_job("models.register", __doc__, register_arguments, register, argv)


def register(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Number the staged artifact, hold it against the gate, promote it if it passes; returns the job's report.

    Raises:
        ModelError: nothing is staged, or what is staged was not evaluated.
        StoreError: it passed, but the store cannot be told; it keeps its version.
    """
    started = time.monotonic()
    staged = settings.artifacts_root / STAGING
    description, evaluation = read_description(staged), read_evaluation(settings, staged)
    registry = Registry(settings)
    champion = registry.champion()
    decision = decide(gather(settings, staged, champion), load_limits(settings.gate))
    version, run_id = number(settings, registry, description, evaluation, digest(staged))
    partitions, outcome, problem = 0, "It is not promoted.", None
    if arguments.no_promote:
        outcome = "Promotion was not asked for."
    elif decision.passed:
        try:
            partitions = promote(settings, registry, version)
            outcome = f"It is champion; {partitions} partitions were told."
        except StoreError as error:
            outcome, problem = error.cause, error
    told = {"version": version, "promoted": partitions > 0, "reasons": [outcome, *decision.reasons]}
    tell(settings, registry, run_id, decision, {**told, "champion": champion, "outcome": outcome})
    if problem:
        raise problem
    links = {"mlflow_run": run_id, "mlflow_url": registry.page(run_id)}
    return append_report(settings, "register", 1, time.monotonic() - started, **told, partitions=partitions, **links)


def tell(settings: Settings, registry: Registry, run_id: str, decision: Decision, told: dict[str, Any]) -> None:
    """Write what the gate said as files, and keep it with the run and the version."""
    reports, version = settings.root / "reports", int(told["version"])
    content = {"time_ms": time.time_ns() // 1_000_000, **as_json(decision), **told}
    write_json(reports / "gate.json", content)
    write_text(reports / "gate.md", page(decision, version, str(told["outcome"])))
    registry.add_files(run_id, [reports / "gate.json", reports / "gate.md"])
    failed = [rule.name for rule in decision.rules if not rule.passed]
    registry.tag(version, {"gate": "fails: " + ", ".join(failed) if failed else "passes", "against": told["champion"]})


def promote(settings: Settings, registry: Registry, version: int) -> int:
    """Tell every partition, then move the alias; in this order, so that a champion is always announced."""
    partitions = announce(settings, version)
    registry.set_champion(version)
    return partitions


def read_evaluation(settings: Settings, staged: Path) -> dict[str, Any]:
    """The evaluation of the staged artifact.

    Raises:
        ModelError: there is none, or it is another artifact's.
    """
    path = settings.root / "reports" / DATA
    evaluation: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if evaluation.get("artifact_sha256") != digest(staged):
        raise ModelError(f"{path}: no evaluation of the staged model.", "Run lambent evaluate, then this again.")
    return evaluation


def number(
    settings: Settings, registry: Registry, description: dict[str, Any], evaluation: dict[str, Any], sha256: str
) -> tuple[int, str]:
    """Record the run, take the next version, and write the artifact under its number; returns it, and the run's id."""
    reports, staged = settings.root / "reports", settings.artifacts_root / STAGING
    data = {**description["data"], "tables": settings.tables_root}
    tags = {**data, "features": description["features"], "staged_sha256": sha256, **_commit()}
    figures = {name: evaluation[name] for name in ("log_loss", "base_log_loss", "events", "sessions")}
    figures |= {
        f"{intent}_{name}": value
        for intent, values in evaluation["model"].items()
        for name, value in values.items()
        if value is not None
    }
    pictures = [path for path in map(Path, evaluation["pictures"]) if path.exists()]
    files = [reports / DATA, reports / PAGE, *pictures, *sorted(staged.iterdir())]
    run_id = registry.log(description["train"], figures, tags, files)
    version = registry.add_version(run_id, {**tags, "log_loss": evaluation["log_loss"]})
    copy_artifact(staged, artifact_folder(settings, version), version)
    return version, run_id


def _commit() -> dict[str, str]:
    """The checkout's commit, where this is a checkout; it ends in ``-dirty`` where files differ from it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"git_commit": found.stdout.strip()} if found.returncode == 0 else {}


if __name__ == "__main__":
    sys.exit(main())
