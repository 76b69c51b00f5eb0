"""The job ``register``: gives the staged artifact a version, and makes it champion if it passes the gate.

    python -m models.register

It needs ``evaluation.json`` of that very artifact. Either way ``ROOT/reports/gate.json`` says why, in words.
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
from lambent.features import FeatureSet
from lambent.reports import append_report
from lambent.settings import Settings
from models import metrics
from models.artifact import GRAPH, STAGING, Artifact, digest, read_description, write_artifact
from models.dataset import TrainingTable
from models.evaluate import DATA, PAGE, write_json
from models.gate import MARGIN_NATS, Decision, decide
from models.jobs import register_arguments, run_job
from models.promotion import announce, artifact_folder
from models.registry import Registry
from models.scored import score


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
    decision, champion_loss = judge(settings, evaluation, champion)
    version, run_id = number(settings, registry, description, evaluation)
    reasons, partitions, problem = list(decision.reasons), 0, None
    if arguments.no_promote:
        reasons.append("Promotion was not asked for.")
    elif decision.promoted:
        try:
            partitions = promote(settings, registry, version)
        except StoreError as error:
            reasons.append(error.cause)
            problem = error
    outcome = {"version": version, "promoted": partitions > 0, "reasons": reasons}
    losses = {name: evaluation[name] for name in ("log_loss", "base_log_loss")}
    gate = {"time_ms": time.time_ns() // 1_000_000, **outcome, **losses}
    gate |= {"champion": champion, "champion_log_loss": champion_loss, "margin": MARGIN_NATS}
    write_json(settings.root / "reports" / "gate.json", gate)
    if problem:
        raise problem
    links = {"mlflow_run": run_id, "mlflow_url": registry.page(run_id)}
    return append_report(settings, "register", 1, time.monotonic() - started, **outcome, partitions=partitions, **links)


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


def judge(settings: Settings, evaluation: dict[str, Any], champion: int) -> tuple[Decision, float | None]:
    """The gate's decision, and the champion's log loss on today's test split; None where it cannot be had."""
    loss = None
    if champion:
        features = FeatureSet(settings.load_taxonomy())
        try:
            artifact = Artifact(artifact_folder(settings, champion), features)
        except ModelError as error:
            decision = decide(evaluation["log_loss"], evaluation["base_log_loss"], None)
            unknown = f"Champion {champion} cannot be compared: {error.cause}"
            return Decision(decision.promoted, (*decision.reasons, unknown)), None
        scored = score({"champion": artifact.sessions}, TrainingTable.open(settings, features), features)
        loss = metrics.log_loss(scored.said["champion"], scored.labels)
    return decide(evaluation["log_loss"], evaluation["base_log_loss"], loss, champion), loss


def number(
    settings: Settings, registry: Registry, description: dict[str, Any], evaluation: dict[str, Any]
) -> tuple[int, str]:
    """Record the run, take the next version, and write the artifact under its number; returns it, and the run's id."""
    reports, staged = settings.root / "reports", settings.artifacts_root / STAGING
    tags = {**description["data"], "features": description["features"], **_commit()}
    figures = {name: evaluation[name] for name in ("log_loss", "base_log_loss", "events", "sessions")}
    figures |= {
        f"{intent}_{name}": value
        for intent, values in evaluation["model"].items()
        for name, value in values.items()
        if value is not None
    }
    pictures = [path for path in map(Path, evaluation["pictures"]) if path.exists()]
    files = [reports / DATA, reports / PAGE, *pictures, staged / GRAPH]
    run_id = registry.log(description["train"], figures, tags, files)
    version = registry.add_version(run_id, {**tags, "log_loss": evaluation["log_loss"]})
    graph = (staged / GRAPH).read_bytes()
    write_artifact(artifact_folder(settings, version), graph, {**description, "version": version})
    return version, run_id


def _commit() -> dict[str, str]:
    """The checkout's commit, where this is a checkout."""
    folder = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"git_commit": found.stdout.strip()} if found.returncode == 0 else {}


if __name__ == "__main__":
    sys.exit(main())
