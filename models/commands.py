"""``lambent train``, ``lambent evaluate`` and ``lambent model``."""

from __future__ import annotations

import argparse
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


ACTIONS = ("list", "show", "register", "promote", "rollback", "compare", "challenge", "outcomes", "correct")


def _configure_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument("version", type=int, nargs="?", metavar="VERSION", help="which one; show: default the champion")
    parser.add_argument(
        "other", nargs="?", metavar="OTHER",
        help="compare: the version to compare it with; correct: a file with scale and bias of each intent, as JSON",
    )  # fmt: skip
    register_arguments(parser)
    parser.add_argument("--share", type=float, metavar="S", help="challenge: share of the users, 0 to 1")
    parser.add_argument(
        "--experiment", metavar="NAME", help="challenge: decides by lot who is in it (default model-VERSION)"
    )
    parser.add_argument(
        "--shadow", action="store_true", help="challenge: only predict beside the champion, for nobody to act on"
    )
    parser.add_argument("--stop", action="store_true", help="challenge: from here on there is no challenger")


def _model(arguments: argparse.Namespace, settings: Settings) -> Any:
    from models import versions

    return versions.ACTIONS[arguments.action](arguments, settings)


TRAIN = Command(
    help="train a candidate model",
    description="Trains, calibrates and exports the intent model from the table training_sessions. The candidate is\n"
    "staged: 'evaluate' scores it, 'model register' gives it a version and may make it champion.",
    examples=(
        ("lambent train", "with 2 processes, on the Spark that the settings name"),
        ("lambent train --processes 1 --epochs 3", "quickly, in this process"),
        ("lambent train --form int8 --prune 0.5", "small: weights of 8 bits, and half of them 0"),
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
        (
            "lambent evaluate --baselines",
            "also beside logistic regression, LightGBM, readable models and an LSTM: minutes",
        ),
        ("lambent evaluate --explain", "also what the model's inputs are worth to it, and the rules that come near it"),
        ("lambent evaluate --forms", "also as int8: what that saves and what it moves"),
        ("lambent evaluate --threshold cost:20", "decisions for whom a missed one costs as much as 20 false alarms"),
    ),
    configure=evaluate_arguments,
    run=_evaluate,
)

MODEL = Command(
    help="list, show, register, promote, roll back, compare, challenge, score and correct models",
    description="The model registry. 'register' gives the staged artifact a version and makes it champion if it passes\n"
    "the gate, whose table is in ROOT/reports/gate.md; 'promote' makes any version champion, whatever the gate said;\n"
    "'rollback' the one before; 'compare' scores two on today's test split; 'challenge' has a version run beside the champion for a\n"
    "share of the users, or in the shadow; 'outcomes' tells how live answers turned out, by model, arm and shadow; 'correct' scales what a version says from now on,\n"
    "p' = softmax(scale * log p + bias), until another correction.",
    examples=(
        ("lambent model list", "all versions, and which is champion"),
        ("lambent model compare 3 4", "how 3 differs from 4, with intervals, on the whole and part by part"),
        ("lambent model promote 3", "sessions that begin from now on run on version 3"),
        ("lambent model rollback", "on the champion before it"),
        ("lambent model challenge 4 --share 0.1", "of a tenth of the users, on version 4"),
        ("lambent model challenge 4 --shadow", "version 4 predicts beside it, and nobody acts on that"),
        ("lambent model correct 3 correction.json", 'with {"scale": [1, 1, 1, 1], "bias": [0, 0.2, 0, 0]}'),
    ),
    configure=_configure_model,
    run=_model,
)
