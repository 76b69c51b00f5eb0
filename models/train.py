"""The job ``train``: network, calibration and export, from the table ``training_sessions`` to a staged artifact.

    python -m models.train --processes 2

This process starts Spark and the ranks; it never imports TensorFlow itself, which takes seconds.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.features import FeatureSet
from lambent.reports import append_report
from lambent.settings import Settings
from models.artifact import STAGING
from models.dataset import TrainingTable
from models.horovod_runner import run_on_spark, run_single
from models.jobs import run_job, train_arguments

CHECKPOINT = "train.checkpoint.npz"
"""Name of the checkpoint among the artifacts."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What every rank is told.

    Attributes:
        table: what to read.
        features: gives the widths, and the taxonomy its intents.
        options: overrides of ``fit.Options``, by name.
        staging: where rank 0 writes the artifact.
        log: JSON lines, one an epoch.
        checkpoint: where rank 0 keeps how far it is; all machines that it may run on see it.
        form: the form that is served, one of ``models.forms``.
    """

    table: TrainingTable
    features: FeatureSet
    options: dict[str, Any]
    staging: Path
    log: Path
    checkpoint: Path
    form: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from a command line."""
    return run_job("models.train", __doc__, train_arguments, train, argv)


def train(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Train, calibrate and stage a candidate; returns the job's report."""
    started = time.monotonic()
    features = FeatureSet(settings.load_taxonomy())
    options = {
        name: value
        for name in ("epochs", "batch", "learning_rate", "seed", "prune")
        if (value := getattr(arguments, name)) is not None
    }
    job = Job(
        TrainingTable.open(settings, features), features, options,
        settings.artifacts_root / STAGING, settings.root / "reports" / "train.jsonl",
        settings.artifacts_root / CHECKPOINT, arguments.form,
    )  # fmt: skip
    if arguments.processes > 1:
        result = run_on_spark(run_rank, (job,), arguments.processes, settings, job.checkpoint)[0]
    else:
        result = run_single(run_rank, (job,))[0]
    seconds = time.monotonic() - started
    return append_report(settings, "train", result.pop("sessions"), seconds, processes=arguments.processes, **result)


def run_rank(job: Job) -> dict[str, Any] | None:
    """What each rank runs; rank 0 returns the report's figures."""
    from models.rank import run

    return run(job)


if __name__ == "__main__":
    sys.exit(main())
