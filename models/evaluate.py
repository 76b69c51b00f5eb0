"""The job ``evaluate``: the staged artifact on the test split, scored as it will be served, step by step in LiteRT.

    python -m models.evaluate --pictures FOLDER

Every step of a session counts, also after its first decisive event: a label looks strictly ahead.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lambent.features import FeatureSet
from lambent.reports import append_report
from lambent.settings import Settings
from models import metrics
from models.artifact import STAGING, Artifact, digest
from models.dataset import Array, TrainingTable
from models.jobs import evaluate_arguments, run_job

BATCH_SESSIONS = 2_048


@dataclasses.dataclass(frozen=True)
class Scores:
    """What a model said about a split: [n, K] ``probabilities`` and [n] ``labels`` of the events of ``sessions``."""

    probabilities: Array
    labels: Array
    sessions: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from a command line."""
    return run_job("models.evaluate", __doc__, evaluate_arguments, evaluate, argv)


def evaluate(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Score the staged artifact, write ``ROOT/reports/evaluation.json`` and the pictures; returns the job's report."""
    from models.plots import draw

    started = time.monotonic()
    features = FeatureSet(settings.load_taxonomy())
    table = TrainingTable.open(settings, features)
    staged = settings.artifacts_root / STAGING
    scores = score(Artifact(staged, features), table)
    intents = features.taxonomy.intents
    found = metrics.evaluate(scores.probabilities, scores.labels, intents, base_rates(table, len(intents)))
    result = {**found, "sessions": scores.sessions, "artifact_sha256": digest(staged)}
    pictures = [str(path) for path in draw(result, arguments.pictures or settings.root / "reports")]
    write_json(settings.root / "reports" / "evaluation.json", {**result, "pictures": pictures})
    figures = {name: result[name] for name in ("log_loss", "base_log_loss", "sessions", "model")}
    seconds = time.monotonic() - started
    return append_report(settings, "evaluate", found["events"], seconds, **figures, pictures=pictures)


def score(artifact: Artifact, table: TrainingTable, split: str = "test") -> Scores:
    """Run an artifact over a split of the table."""
    intents = len(artifact.description["intents"])
    said, labels, sessions = [np.zeros((0, intents), np.float32)], [np.zeros(0, np.int32)], 0
    for batch in table.batches(split, BATCH_SESSIONS):
        inside = batch.mask > 0
        said.append(artifact.sessions(batch)[inside])
        labels.append(batch.labels[inside])
        sessions += len(batch.profile)
    return Scores(np.concatenate(said), np.concatenate(labels), sessions)


def base_rates(table: TrainingTable, intents: int) -> Array:
    """[K] share of each label in the training split; an intent that it lacks gets half an event."""
    counts = sum((np.bincount(s.labels, minlength=intents) for s in table.chunks("train")), np.zeros(intents))
    return (counts + 0.5) / (counts + 0.5).sum()


def write_json(path: Path, content: Any) -> None:
    """Write a file that a reader finds whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content, indent=1) + "\n")
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
