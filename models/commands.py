"""``lambent train``, ``lambent evaluate`` and ``lambent model``."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Any

from lambent.cli import Command
from lambent.settings import Settings
from models.jobs import evaluate_arguments, register_arguments, train_arguments


def _train(arguments: argparse.Namespace, settings: Settings) -> None:
    from models.train import train

    train(arguments, settings)


def _evaluate(arguments: argparse.Namespace, settings: Settings) -> None:
    from models.evaluate import evaluate

    evaluate(arguments, settings)


def _configure_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "show", "register", "promote", "correct"), help="what to do")
    parser.add_argument("version", type=int, nargs="?", help="of show, promote and correct; show: default the champion")
    parser.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="correct: scale and bias of each intent, as JSON"
    )
    register_arguments(parser)


def _model(arguments: argparse.Namespace, settings: Settings) -> Any:
    actions = {"list": _list, "show": _show, "register": _register, "promote": _promote, "correct": _correct}
    return actions[arguments.action](arguments, settings)


def _list(arguments: argparse.Namespace, settings: Settings) -> Any:
    from models.registry import Registry

    registry = Registry(settings)
    champion = registry.champion()
    rows = [{**row, "champion": row["version"] == champion} for row in registry.versions()]
    if not arguments.json:
        print("\n".join(map(_line, rows)) or "No model is registered.")
    return rows


def _line(row: dict[str, Any]) -> str:
    made = datetime.datetime.fromtimestamp(row["created_ms"] / 1000, datetime.UTC)
    return f"{row['version']:>4}  {made:%Y-%m-%d %H:%M}  log loss {float(row['log_loss']):.4f}" + (
        "  champion" if row["champion"] else ""
    )


def _show(arguments: argparse.Namespace, settings: Settings) -> Any:
    from models.artifact import read_description
    from models.promotion import artifact_folder

    description = read_description(artifact_folder(settings, _version(arguments, settings)))
    if not arguments.json:
        print("\n".join(f"{name:<14} {value}" for name, value in description.items()))
    return description


def _register(arguments: argparse.Namespace, settings: Settings) -> None:
    from models.register import register

    register(arguments, settings)


def _promote(arguments: argparse.Namespace, settings: Settings) -> Any:
    from models.register import promote
    from models.registry import Registry

    version = _version(arguments, settings)
    partitions = promote(settings, Registry(settings), version)
    if not arguments.json:
        print(f"Model {version} is champion; {partitions} partitions were told.")
    return {"version": version, "partitions": partitions}


def _correct(arguments: argparse.Namespace, settings: Settings) -> Any:
    from lambent.errors import UsageError
    from models.promotion import correct

    version = _version(arguments, settings)
    if arguments.file is None:
        raise UsageError("'model correct' has no file.", "Give one: lambent model correct 3 correction.json.")
    partitions = correct(settings, version, arguments.file)
    if not arguments.json:
        print(f"What model {version} says is corrected from here on; {partitions} partitions were told.")
    return {"version": version, "partitions": partitions}


def _version(arguments: argparse.Namespace, settings: Settings) -> int:
    from lambent.errors import UsageError
    from models.registry import Registry

    if arguments.version is not None:
        return int(arguments.version)
    champion = Registry(settings).champion() if arguments.action == "show" else 0
    if not champion:
        raise UsageError(f"'model {arguments.action}' has no version to go by.", "Give one: lambent model list.")
    return champion


TRAIN = Command(
    help="train a candidate model",
    description="Trains, calibrates and exports the intent model from the table training_sessions. The candidate is\n"
    "staged: 'evaluate' scores it, 'model register' gives it a version and may make it champion.",
    examples=(
        ("lambent train", "with 2 processes, on the Spark that the settings name"),
        ("lambent train --processes 1 --epochs 3", "quickly, in this process"),
    ),
    configure=train_arguments,
    run=_train,
)

EVALUATE = Command(
    help="score the candidate on the test split",
    description="Runs the staged artifact over the test split as it will be served, and writes a report into ROOT/reports:\n"
    "evaluation.md for people, evaluation.json for machines, and pictures. Each figure has its 95 % interval, by user.",
    examples=(
        ("lambent evaluate", "beside the base rates and a rule by the last event's type"),
        ("lambent evaluate --baselines", "also beside logistic regression, LightGBM and an LSTM: minutes"),
        ("lambent evaluate --threshold cost:20", "decisions for whom a missed one costs as much as 20 false alarms"),
    ),
    configure=evaluate_arguments,
    run=_evaluate,
)

MODEL = Command(
    help="list, show, register, promote and correct models",
    description="The model registry. 'register' gives the staged artifact a version and makes it champion if it passes\n"
    "the gate; 'promote' makes any version champion, also an older one; 'correct' scales what a version says from now on,\n"
    "p' = softmax(scale * log p + bias), until another correction.",
    examples=(
        ("lambent model list", "all versions, and which is champion"),
        ("lambent model promote 3", "sessions that begin from now on run on version 3"),
        ("lambent model correct 3 correction.json", 'with {"scale": [1, 1, 1, 1], "bias": [0, 0.2, 0, 0]}'),
    ),
    configure=_configure_model,
    run=_model,
)
