"""The jobs' command lines: their arguments, and the frame of a ``main``. Imports nothing heavy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lambent.errors import LambentError
from lambent.settings import Settings, load_settings


def run_job(
    module: str,
    doc: str | None,
    configure: Callable[[argparse.ArgumentParser], None],
    job: Callable[[argparse.Namespace, Settings], Any],
    argv: Sequence[str] | None,
) -> int:
    """Run a job from a command line; returns the exit code: 0 done, 1 the job failed, 2 the call was wrong.

    Args:
        module: name that Python runs it by.
        doc: the module's docstring; its first line is the help.
        configure: adds the arguments.
        job: does the work and reports.
        argv: the arguments; None: the process's own.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=(doc or "").splitlines()[0])
    configure(parser)
    try:
        job(parser.parse_args(argv), load_settings())
    except LambentError as error:
        print(f"lambent: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def train_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``train`` takes. What is not given is ``fit.Options``'s own default."""
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="Horovod ranks (default 2); 1: no Spark")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the training split, at most")
    parser.add_argument("--batch", type=int, metavar="N", help="sessions of a rank's batch")
    parser.add_argument("--learning-rate", type=float, metavar="R", help="of one rank")
    parser.add_argument("--seed", type=int, metavar="S", help="same seed, data and ranks: same model")
    parser.add_argument(
        "--form", choices=("float32", "int8"), default="float32",
        help="of what is served (default float32); int8: a third of the bytes, for the same quality within a thousandth",
    )  # fmt: skip
    parser.add_argument(
        "--prune", type=share, metavar="SHARE",
        help="this share of each matrix becomes 0 in the first epoch, so that what is exported compresses; such as 0.5",
    )  # fmt: skip


def share(text: str) -> float:
    """A number from 0 to less than 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise ValueError(text)
    return value


def evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``evaluate`` takes."""
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="where to draw (default ROOT/reports)")
    parser.add_argument(
        "--baselines", nargs="?", const="logistic,lightgbm,readable,lstm", default="", metavar="NAMES",
        help="fit and tune these beside it, which takes minutes (default logistic,lightgbm,readable,lstm)",
    )  # fmt: skip
    parser.add_argument(
        "--ablations", action="store_true",
        help="train it anew without the profile, the session, what fades, and attributes: what each is worth; a training each",
    )  # fmt: skip
    parser.add_argument(
        "--explain", action="store_true",
        help="explain the model as a whole: what its inputs are worth to it, its rules, and whether SHAP and LIME agree",
    )  # fmt: skip
    parser.add_argument(
        "--threshold", default="f1", metavar="RULE",
        help="how to choose from which probability on to act: f1, cost:R (a missed one costs R false alarms), share:S (of users)",
    )  # fmt: skip
    parser.add_argument(
        "--forms", action="store_true",
        help="also in the forms that it is not staged in (int8, float32): bytes, speed and quality; a minute",
    )  # fmt: skip
    parser.add_argument(
        "--truth", type=Path, metavar="FILE", help="what lambent simulate --truth wrote of these events"
    )
    parser.add_argument(
        "--resamples", type=int, default=1_000, metavar="N", help="of the bootstrap by user (default 1000)"
    )


def register_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``register`` takes."""
    parser.add_argument("--no-promote", action="store_true", help="give it a version, but keep the champion")
