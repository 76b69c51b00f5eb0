"""``make bench-model``: how near the model comes to what can be known, and how it stands to LightGBM.

On the simulated shop the exact posterior is known; on real events (``--real``) there is LightGBM with all that the step sees.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from pathlib import Path
from typing import Any

from lambent.settings import Settings
from tests.benchmarks import measure
from tests.benchmarks.model_real import real
from tests.benchmarks.report import FOLDER, Row, tell

DAYS = 28
SESSIONS_A_USER = 0.45 * DAYS
PACKAGES = ("tensorflow-cpu", "keras", "lightgbm", "scikit-learn", "numpy")
KEY = "5a" * 32


def simulated(root: Path, sessions: int, seed: int, processes: int) -> list[Row]:
    """From made-up events to the report, by the commands that a user has."""
    settings = Settings(root=root, user_key=KEY)
    users, truth = str(math.ceil(sessions / SESSIONS_A_USER)), root / "truth.jsonl.gz"
    events = str(root / "events.jsonl.gz")
    simulate = ["simulate", "--users", users, "--days", str(DAYS), "--seed", str(seed), "--out", events]
    _run(settings, "lambent", *simulate, "--truth", str(truth))
    _run(settings, "spark_jobs.ingest", events, "--mapping", "lambent")
    _run(settings, "spark_jobs.catalogue")
    _run(settings, "spark_jobs.training_sessions")
    trained = _run(settings, "models.train", "--processes", str(processes))
    evaluated = _run(settings, "models.evaluate", "--baselines", "--truth", str(truth))
    found = json.loads((root / "reports" / "evaluation.json").read_text())
    note = f"training {trained.seconds:.0f} s, evaluation with baselines {evaluated.seconds:.0f} s"
    return [*share_rows(found, note), *honest_rows(found)]


def share_rows(found: dict[str, Any], note: str) -> list[Row]:
    """The share of the way to the truth, and less LightGBM's."""
    truth = found["truth"]
    share = truth["share"]
    others = ", ".join(
        f"{name} {one['value']:.3f}" for name, one in share.items() if name not in ("model", "base rate")
    )
    size = f"{found['sessions']:,} sessions of {found['users']:,} users; {note}"
    unknown = f"{truth['unknown']} of {found['events']:,} events have no truth"
    less = truth["share_less"]["lightgbm"]
    return [
        Row("simulated: share of the way to the truth", share["model"]["value"], "", ">= 0.9",
            others, f"{interval(share['model'])}; {size}"),
        Row("the same less LightGBM's", less["value"], "", ">= 0", f"LightGBM {share['lightgbm']['value']:.3f}",
            f"{interval(less)}; {unknown}"),
    ]  # fmt: skip


def honest_rows(found: dict[str, Any]) -> list[Row]:
    """Calibration of each intent, beside that of the exact posterior on the same events."""
    rows = []
    for name, one in found["contenders"]["model"]["intents"].items():
        exact, slope, ece = found["truth"]["honest"][name], one["slope"], one["ece_relative"]
        chance = one["ece_by_chance"]["value"] / one["base_rate"]["value"]
        rows += [
            Row(f"{name}: slope, distance from 1", abs(slope["value"] - 1), "", "<= 0.1",
                f"exact posterior {exact['slope']['value']:.3f}", f"{slope['value']:.3f} {interval(slope)}"),
            Row(f"{name}: ECE / base rate", ece["value"], "", "<= 0.1",
                f"exact posterior {exact['ece_relative']['value']:.3f}", f"{interval(ece)}; by chance {chance:.3f}"),
        ]  # fmt: skip
    return rows


def interval(figure: dict[str, float]) -> str:
    """Its 95 % interval."""
    return f"[{figure['low']:.3f}, {figure['high']:.3f}]"


def _run(settings: Settings, module: str, *arguments: str) -> measure.Run:
    environment = {"LAMBENT_ROOT": str(settings.root), "LAMBENT_USER_KEY": KEY}
    return measure.python(module, arguments, environment, settings.root / "log.txt")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench-model", description=__doc__)
    parser.add_argument("--sessions", type=float, default=200_000, help="of the simulated shop; 0: leave it out")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--processes", type=int, default=2, help="of the training")
    parser.add_argument("--real", type=Path, metavar="FILE", help="also Taobao's UserBehavior.csv, five folds by user")
    parser.add_argument("--folder", type=Path, default=FOLDER / "model", help="made anew")
    given = parser.parse_args()
    shutil.rmtree(given.folder, ignore_errors=True)
    rows = []
    for name in ("simulated", "real"):
        (given.folder / name).mkdir(parents=True)
    if given.sessions:
        rows += simulated((given.folder / "simulated").resolve(), int(given.sessions), given.seed, given.processes)
    if given.real:
        rows += real((given.folder / "real").resolve(), given.real.resolve(), _run)
    tell("model", rows, PACKAGES)


if __name__ == "__main__":
    main()
