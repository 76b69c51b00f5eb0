"""The model explained as a whole, as a section of the evaluation's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.page import table, text


def section(found: Mapping[str, Any]) -> str:
    """Markdown of ``explained`` in ``evaluation.json``."""
    return "\n".join([_importance(found), _rules(found), _agreement(found["agreement"])])


def _importance(found: Mapping[str, Any]) -> str:
    rows = [[one["group"], text(one["rise"], 4)] for one in found["importance"]]
    return (
        "## What the model's inputs are worth to it\n\n"
        f"By how much the log loss rises, in nats an event, when a group of inputs is dealt out at random among "
        f"{found['sessions']:,} sessions of the test split. 0: the model does without it as long as it has the others.\n\n"
        + table(["inputs", "rise of the log loss"], rows)
    )


def _rules(found: Mapping[str, Any]) -> str:
    intents = list(found["fidelity"])
    rows = [
        [" and ".join(one["if"]) or "always", f"{one['share']:.1%}", *(f"{p:.1%}" for p in one["says"])]
        for one in found["rules"]
    ]
    fidelity = [text(one, 1, percent=True) for one in found["fidelity"].values()]
    return (
        "## The model in a few rules\n\n"
        "A small tree that was fitted to what the model says on the validation split. Fidelity is the share of the variance of what "
        "the model says that the rules explain, on the test split: what is left is what they do not tell.\n\n"
        + table(["if", "of the events", *intents], rows)
        + "\n"
        + table(["fidelity", *intents], [["", *fidelity]])
    )


def _agreement(found: Mapping[str, Any]) -> str:
    rows = [
        [name.upper(), text(one["rank"], 3), *(text(one[key], 1, percent=True) for key in ("top", "sign"))]
        for name, one in ((name, found[name]) for name in ("shap", "lime"))
    ]
    return (
        "## Whether others explain single predictions alike\n\n"
        f"Of {found['predictions']} predictions of the test split, taken apart into the profile and at most seven events, as "
        "`lambent intent --explain` does, and by two others.\n\n"
        + table(["", "correlation of the parts", "same largest part", "same sign, by weight"], rows)
    )
