"""The evaluation as one page of Markdown: the figures of ``evaluation.json``, each with its 95 % interval, and the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.evaluation import MODEL
from models.slices import MIN_EVENTS

Figure = Mapping[str, float | None]

RANKED = {
    "base_rate": "base rate",
    "auc": "AUC",
    "ap": "AP",
    "lift_1": "lift, top 1 %",
    "lift_5": "top 5 %",
    "lift_10": "top 10 %",
}
HONEST = {
    "slope": "slope",
    "intercept": "intercept",
    "ece": "ECE",
    "ece_by_chance": "ECE by chance",
    "ece_relative": "ECE / base rate",
}
DECIDED = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1", "acted": "acted on"}
OF_A_PART = {name: {**RANKED, **HONEST}[name] for name in ("base_rate", "auc", "ap", "slope", "ece_relative")}
PERCENT = ("base_rate", "accuracy", "precision", "recall", "acted")
GROUPS = {
    "position": "At an event of the session",
    "way": "On the way to the decision: the share of the events before it, or of all where nothing is decided",
    "user": "Users of whom something was known before the session, and others",
    "device": "Device",
    "hour": "Hour of the day",
}


def page(result: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """The page.

    Args:
        result: content of ``evaluation.json``.
        pictures: paths of the pictures, as seen from the page.
    """
    parts = [
        _head(result),
        "\n".join(f"![{path.rsplit('/')[-1]}]({path})\n" for path in pictures),
        "## The whole distribution\n\n" + _joint(result),
        _truth(result["truth"], result["contenders"][MODEL]["intents"]) if result["truth"] else "",
        _forms(result) if result.get("forms") else "",
        *(_intent(result, name) for name in result["model"]),
        "## Part by part\n\n"
        + f"Of the model. Parts with fewer than {MIN_EVENTS} events are left out.\n\n"
        + _slices(result),
    ]
    return "\n".join(part for part in parts if part)


def _head(result: Mapping[str, Any]) -> str:
    return (
        "# Evaluation\n\n"
        f"{result['events']:,} events in {result['sessions']:,} sessions of {result['users']:,} users: the test split, later than\n"
        "all that was trained on, and users who were held out. In brackets 95 % intervals, from "
        f"{result['resamples']:,} resamples by user.\n"
        f"Thresholds were chosen on the validation split by the rule `{result['rule']}`. Artifact `{result['artifact_sha256'][:16]}`.\n"
    )


def _joint(result: Mapping[str, Any]) -> str:
    rows = []
    for name, one in result["contenders"].items():
        less = result["against"].get(name, {}).get("log_loss")
        rows.append([name, *(text(one["joint"][key], 4 if key == "log_loss" else 3) for key in ("log_loss", "slope")),
                     text(one["joint"]["accuracy"], 1, percent=True), text(less, 4) if less else ""])  # fmt: skip
    return table(["", "log loss, nats an event", "slope", "accuracy of the likeliest", "model less this"], rows)


def _truth(truth: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    rows = [
        [name, text(one, 3), text(truth["share_less"][name], 3) if name in truth["share_less"] else ""]
        for name, one in truth["share"].items()
    ]
    return (
        "## Share of the way to the truth\n\n"
        f"From the base rates' log loss, {text(truth['base_log_loss'], 4)}, to that of the exact posterior, "
        f"{text(truth['log_loss'], 4)}, on {truth['events']:,} events; of {truth['unknown']:,} the posterior is not known.\n\n"
        + table(["", "share", "model less this"], rows)
        + "\nThe exact posterior's own calibration on these events, beside the model's: what of an ECE is chance.\n\n"
        + table(
            ["", "slope, exact", "model", "ECE / base rate, exact", "model"],
            [
                [
                    name,
                    *(
                        text(figures[name][key], 3)
                        for key in ("slope", "ece_relative")
                        for figures in (truth["honest"], own)
                    ),
                ]
                for name in truth["honest"]
            ],
        )
    )


def _forms(result: Mapping[str, Any]) -> str:
    intents, rows = list(result["model"]), []
    for contender, one in result["forms"].items():
        own = result["contenders"][contender]
        says = [one["form"], *(f"{one[size] / 1000:.1f}" for size in ("bytes", "compressed_bytes"))]
        says += [f"{us:.1f}" for us in one["step_us"].values()]
        says += [text(own["joint"]["log_loss"], 4)]
        for key in ("auc", "ece"):
            less = [_less(result, contender, intent, key) for intent in intents]
            says.append("" if contender == MODEL else f"{max(less, default=0.0):.4f}")
        moved = one["probability_moved"]
        rows.append([*says, "" if contender == MODEL else f"{moved['mean']:.4f}, {moved['max']:.4f}"])
    batches = [f"µs a step of {n}" for n in result["forms"][MODEL]["step_us"]]
    head = [
        "form",
        "kB",
        "kB compressed",
        *batches,
        "log loss",
        "AUC moves by",
        "ECE moves by",
        "probability: mean, most",
    ]
    return (
        "## Forms\n\nThe network as it is staged, first, and in the other forms, each calibrated on its own. A step's time is that of all "
        "its events, on one\nthread of this machine; AUC and ECE are of the intent where they move most.\n\n"
        + table(head, rows)
    )


def _less(result: Mapping[str, Any], contender: str, intent: str, key: str) -> float:
    """How far a figure of a contender is from the model's; 0 where it has no meaning."""
    own, other = (result["contenders"][one]["intents"][intent][key]["value"] for one in (MODEL, contender))
    return 0.0 if own is None or other is None else abs(own - other)


def _intent(result: Mapping[str, Any], intent: str) -> str:
    contenders = result["contenders"]
    parts = [f"## {intent}\n"]
    for names in (RANKED, HONEST):
        rows = [[name, *_cells(one["intents"][intent], names)] for name, one in contenders.items()]
        parts.append(table(["", *names.values()], rows))
    paired = [
        [name, *(text(one["intents"][intent][key], 3) for key in ("auc", "ap"))]
        for name, one in result["against"].items()
    ]
    parts.append(table(["model less", "AUC", "AP"], paired))
    decided = [
        [name, f"{own['threshold']:.4f}", *_cells(own, DECIDED), *_cells(one["intents"][intent], _lifts())]
        for name, one in contenders.items()
        if (own := one["decisions"].get(intent))
    ]
    if decided:
        parts.append(table(["acting", "from", *DECIDED.values(), *_lifts().values()], decided))
    return "\n".join(parts)


def _lifts() -> dict[str, str]:
    return {name: title for name, title in RANKED.items() if name.startswith("lift")}


def _slices(result: Mapping[str, Any]) -> str:
    parts = []
    for group, title in GROUPS.items():
        own = [one for one in result["slices"] if one["group"] == group]
        # What lies on the way to a decision is picked with hindsight, so that calibration has no meaning there.
        names = {name: title for name, title in OF_A_PART.items() if group != "way" or name in RANKED}
        rows = [[one["name"], f"{one['events']:,}", text(one["joint"]["log_loss"], 4)] for one in own]
        parts.append(f"### {title}\n\n" + table(["", "events", "log loss"], rows))
        for intent in list(result["model"])[1:]:
            rows = [[one["name"], *_cells(one["intents"][intent], names)] for one in own]
            parts.append(table([intent, *names.values()], rows))
    return "\n".join(parts)


def _cells(figures: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return [text(figures[name], 1 if name in PERCENT else 3, percent=name in PERCENT) for name in names]


def text(figure: Figure, digits: int, percent: bool = False) -> str:
    """A figure with its interval; a dash where it has no meaning."""
    value, low, high = (figure[name] for name in ("value", "low", "high"))
    if value is None:
        return "–"
    factor, sign = (100.0, " %") if percent else (1.0, "")
    shown = [f"{one * factor:.{digits}f}" for one in (value, low, high) if one is not None]
    return shown[0] + sign + (f" [{shown[1]}, {shown[2]}]" if len(shown) == 3 else "")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, with a line's end behind it."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
