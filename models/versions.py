"""What ``lambent model`` does with registered versions. Each action prints for people and returns what ``--json`` prints."""

from __future__ import annotations

import argparse
import datetime
import time
from pathlib import Path
from typing import Any

from lambent.errors import ModelError, UsageError
from lambent.features import FeatureSet
from lambent.settings import Settings
from models import outcomes as live_outcomes
from models import promotion
from models.artifact import Artifact, read_description
from models.dataset import TrainingTable
from models.live import matured
from models.page import table, text
from models.paired import compare as compare_scores
from models.promotion import artifact_folder
from models.register import promote as promote_version
from models.register import register as register_staged
from models.registry import Registry
from models.scored import score


def list_(arguments: argparse.Namespace, settings: Settings) -> list[dict[str, Any]]:
    """All versions, newest first."""
    registry = Registry(settings)
    champion, challenger = registry.champion(), registry.challenger()
    rows = [
        {**row, "champion": row["version"] == champion, "challenger": row["version"] == challenger}
        for row in registry.versions()
    ]
    if not arguments.json:
        print("\n".join(map(_line, rows)) or "No model is registered.")
    return rows


def _line(row: dict[str, Any]) -> str:
    made = datetime.datetime.fromtimestamp(row["created_ms"] / 1000, datetime.UTC)
    says = [f"log loss {float(row['log_loss']):.4f}", *(name for name in ("champion", "challenger") if row[name])]
    return f"{row['version']:>4}  {made:%Y-%m-%d %H:%M}  {'  '.join(says)}"


def show(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """What a version is, what it was made from, and what the gate said of it."""
    registry = Registry(settings)
    version = arguments.version or registry.champion() or _version(arguments)
    description = read_description(artifact_folder(settings, version))
    noted = next((row for row in registry.versions() if row["version"] == version), {})
    found = {**description, "registry": noted}
    if not arguments.json:
        print("\n".join(f"{name:<14} {value}" for name, value in found.items()))
    return found


def register(arguments: argparse.Namespace, settings: Settings) -> None:
    """See ``models.register``, which prints its report."""
    register_staged(arguments, settings)


def promote(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Make a version champion, whatever the gate said."""
    version = _version(arguments)
    partitions = promote_version(settings, Registry(settings), version)
    if not arguments.json:
        print(f"Model {version} is champion; {partitions} partitions were told.")
    return {"version": version, "partitions": partitions}


def rollback(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Make the champion before this one champion again.

    Raises:
        UsageError: there was none.
    """
    registry = Registry(settings)
    champions = registry.champions()
    if len(champions) < 2:
        raise UsageError("There was no champion before this one.", "Promote another by its number: lambent model list.")
    *_, before, after = champions
    partitions = promotion.announce(settings, before)
    registry.roll_back(before)
    registry.tag(after, {"rolled_back_ms": time.time_ns() // 1_000_000})
    if not arguments.json:
        print(f"Model {before} is champion again, in place of {after}; {partitions} partitions were told.")
    return {"version": before, "instead_of": after, "partitions": partitions}


def challenge(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Let a version run beside the champion for a share of the users, or end that.

    Raises:
        UsageError: no share is given, or there is no champion, or it is the champion itself.
    """
    registry = Registry(settings)
    if arguments.stop:
        partitions = promotion.stop_challenge(settings)
        registry.set_challenger(0)
        if not arguments.json:
            print(f"Sessions begin on the champion alone from here on; {partitions} partitions were told.")
        return {"version": 0, "partitions": partitions}
    version, shadow = _version(arguments), arguments.shadow
    share = 1.0 if shadow and arguments.share is None else arguments.share
    if share is None or not 0 < share <= 1:
        raise UsageError(
            "'model challenge' needs a share of the users, above 0.", "Give one: --share 0.1, --shadow or --stop."
        )
    if registry.champion() in (0, version):
        raise UsageError("A challenger needs another model as champion.", "Promote one: lambent model promote VERSION.")
    experiment = arguments.experiment or f"model-{version}"
    partitions = promotion.challenge(settings, version, experiment, share, shadow=shadow)
    registry.set_challenger(version)
    if not arguments.json:
        what = f"model {version} predicts in the shadow of" if shadow else f"model {version} has"
        print(f"From here on {what} the sessions of {share:.1%} of the users; {partitions} partitions were told.")
    return {"version": version, "share": share, "experiment": experiment, "shadow": shadow, "partitions": partitions}


def correct(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Correct what a version says from now on."""
    version = _version(arguments)
    if arguments.other is None:
        raise UsageError("'model correct' has no file.", "Give one: lambent model correct 3 correction.json.")
    partitions = promotion.correct(settings, version, Path(arguments.other))
    if not arguments.json:
        print(f"What model {version} says is corrected from here on; {partitions} partitions were told.")
    return {"version": version, "partitions": partitions}


def compare(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Two versions on today's test split, paired."""
    left, right = str(_version(arguments)), arguments.other or ""
    if not right.isdigit():
        raise UsageError("'model compare' takes two versions.", "Give both: lambent model compare 3 4.")
    features = FeatureSet(settings.load_taxonomy())
    models = {name: Artifact(artifact_folder(settings, int(name)), features).sessions for name in (left, right)}
    scored = score(models, TrainingTable.open(settings, features), features)
    found = compare_scores(scored, left, right, features.taxonomy.intents)
    if not arguments.json:
        print(_compared(found))
    return found


def _compared(found: dict[str, Any]) -> str:
    """A comparison for people."""
    left, right, losses = found["left"], found["right"], found["log_loss"]
    head = (
        f"{found['events']:,} events in {found['sessions']:,} sessions of {found['users']:,} users, of which {found['decided']:,} "
        f"hold a decision.\nIn brackets 95 % intervals, from {found['resamples']:,} resamples by user; paired where it is a difference.\n"
    )
    whole = [[f"model {name}", text(losses[name], 4)] for name in dict.fromkeys((left, right))]
    whole.append([f"{left} less {right}", text(losses["less"], 4)])
    ranked = [[name, text(one["auc"], 3), text(one["ap"], 3)] for name, one in found["intents"].items()]
    parts = [[f"{one['group']} {one['name']}", f"{one['events']:,}", text(one["less"], 4)] for one in found["slices"]]
    less = f"{left} less {right}"
    return "\n".join(
        [head, table(["", "log loss, nats an event"], whole), table([less, "AUC", "AP"], ranked),
         table(["part", "events", f"log loss, {less}"], parts)]
    ).rstrip()  # fmt: skip


def outcomes(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """How well live answers turned out, by model, arm and shadow.

    Raises:
        ModelError: of none is it known yet.
    """
    features = FeatureSet(settings.load_taxonomy())
    known = matured(settings, TrainingTable.open(settings, features), features.taxonomy.intents)
    if known is None or not len(known.labels):
        cause = "Of no live answer is it known what followed."
        raise ModelError(cause, "Let sessions end, then: lambent batch ingest-log training-sessions.")
    found = live_outcomes.outcomes(known)
    if not arguments.json:
        print(live_outcomes.page(found))
    return found


def _version(arguments: argparse.Namespace) -> int:
    if arguments.version is None:
        raise UsageError(f"'model {arguments.action}' has no version to go by.", "Give one: lambent model list.")
    return int(arguments.version)


ACTIONS = {
    "list": list_, "show": show, "register": register, "promote": promote, "rollback": rollback, "compare": compare,
    "outcomes": outcomes, "challenge": challenge, "correct": correct,
}  # fmt: skip
