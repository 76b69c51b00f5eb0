"""The job ``evaluate``: the staged artifact on the test split, scored as it will be served, step by step in LiteRT.

    python -m models.evaluate

Its report is one folder: ``evaluation.md`` for people, ``evaluation.json`` for machines, and pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.features import FeatureSet
from lambent.manifest import GRAPH, read_part
from lambent.reports import append_report
from lambent.settings import Settings
from models import baselines
from models.ablations import ablated
from models.artifact import STAGING, Artifact, Graph, digest, read_description
from models.dataset import TrainingTable
from models.evaluation import MODEL, evaluate_scores
from models.explained import explain
from models.forms import compare_forms
from models.jobs import evaluate_arguments, run_job
from models.page import page
from models.page_explained import section
from models.scored import score
from models.thresholds import Rule
from models.truth import Truth

DATA, PAGE = "evaluation.json", "evaluation.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job from a command line."""
    return run_job("models.evaluate", __doc__, evaluate_arguments, evaluate, argv)


def evaluate(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Score the staged artifact, write the report's files into ``ROOT/reports``; returns the job's report."""
    from models.plots import draw

    started = time.monotonic()
    features = FeatureSet(settings.load_taxonomy())
    table, staged, intents = (
        TrainingTable.open(settings, features),
        settings.artifacts_root / STAGING,
        features.taxonomy.intents,
    )
    known = Truth(arguments.truth, settings.user_key_bytes(), intents) if arguments.truth else None
    wanted = [name for name in arguments.baselines.split(",") if name]
    others = {**baselines.cheap(table, features), **baselines.dear(table, features, wanted)}
    model, graphs = Artifact(staged, features), in_forms(staged, features) if arguments.forms else {}
    if arguments.ablations:
        others |= ablated(table, features, model.description["train"])
    contenders = {MODEL: model.sessions, **others}
    contenders |= {form: Graph(graph).sessions for form, graph in graphs.items() if form != MODEL}
    test, validation = (score(contenders, table, features, split) for split in ("test", "validation"))
    truth = known.of(test) if known else None
    found = evaluate_scores(test, validation, intents, Rule.parse(arguments.threshold), truth, arguments.resamples)
    folder = settings.root / "reports"
    pictures = draw(found, arguments.pictures or folder)
    result = {**found, "artifact_sha256": digest(staged), "pictures": [str(path) for path in pictures]}
    if graphs:
        result["forms"] = compare_forms(graphs, read_description(staged), test)
    parts = [page(result, [os.path.relpath(path, folder) for path in pictures])]
    if arguments.explain:
        result["explained"] = explain(model, table, features, arguments.resamples)
        parts.append(section(result["explained"]))
    write_json(folder / DATA, result)
    write_text(folder / PAGE, "\n".join(parts))
    figures = {name: found[name] for name in ("log_loss", "base_log_loss", "sessions", "model")}
    seconds = time.monotonic() - started
    return append_report(settings, "evaluate", found["events"], seconds, **figures, pictures=result["pictures"])


def in_forms(staged: Path, features: FeatureSet) -> dict[str, bytes]:
    """The staged graph, and those of the same network in other forms, by contender."""
    from models.export import other_forms

    return {MODEL: read_part(staged, GRAPH), **other_forms(staged, features)}


def write_json(path: Path, content: Any) -> None:
    """Write a file that a reader finds whole or not at all."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, content: str) -> None:
    """The same of a text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(content)
    draft.replace(path)


if __name__ == "__main__":
    sys.exit(main())
