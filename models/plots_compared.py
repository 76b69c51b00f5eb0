"""The pictures of one report that compare: contenders, events along the session, and parts of the events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from models.plots import FAINT, INK, colour, save

MODEL_INK, OTHER_INK = "#0b7a75", "#9aa5b1"


def draw_contenders(evaluation: dict[str, Any], path: Path) -> None:
    """Log loss and each decisive intent's AP, a row a contender, with 95 % intervals."""
    contenders, intents = evaluation["contenders"], list(evaluation["model"])[1:]
    figure, grid = plt.subplots(
        1, 1 + len(intents), figsize=(2.4 + 2.7 * (1 + len(intents)), 1.8 + 0.38 * len(contenders)),
        squeeze=False, sharey=True, layout="constrained",
    )  # fmt: skip
    _title(figure, "The model and what it is measured against")
    columns = [("log loss, nats an event", [one["joint"]["log_loss"] for one in contenders.values()])]
    columns += [(f"{name}: AP", [one["intents"][name]["ap"] for one in contenders.values()]) for name in intents]
    for axes, (title, figures) in zip(grid[0], columns, strict=True):
        _rows(axes, list(contenders), figures)
        axes.set_title(title, fontsize=10)
    save(figure, path, "bars: 95 % of resamples by user; log loss: less is better, AP: more")


def _rows(axes: Axes, names: Sequence[str], figures: Sequence[dict[str, float | None]]) -> None:
    """A point and an interval for each name, the first on top."""
    for row, (name, one) in enumerate(zip(names, figures, strict=True)):
        ink = MODEL_INK if name == "model" else OTHER_INK
        if one["value"] is not None:
            axes.plot([one["value"]], [row], "o", color=ink, markersize=6)
        low, high = one["low"], one["high"]
        if low is not None and high is not None:
            axes.hlines([row], [low], [high], color=ink, linewidth=2.5, alpha=0.6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


def draw_session(evaluation: dict[str, Any], path: Path) -> None:
    """AP over the base rate at events of the session, and on the way to the decision."""
    figure, grid = plt.subplots(1, 2, figsize=(10, 4), squeeze=False, layout="constrained")
    _title(figure, "How much is known, and when")
    for axes, (group, label) in zip(
        grid[0], (("position", "event of the session"), ("way", "of the way to the decision")), strict=True
    ):
        parts = [one for one in evaluation["slices"] if one["group"] == group]
        for code, name in enumerate(evaluation["model"]):
            if code:
                _line(axes, parts, name, code)
        axes.set_xticks(range(len(parts)), [one["name"] for one in parts])
        axes.set(xlabel=label, ylabel="AP / base rate")
        axes.axhline(1, color=FAINT, linewidth=1.5, zorder=1)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    if evaluation["slices"]:
        grid[0][0].legend(fontsize=9)
    save(figure, path, "1: no better than a blind choice; bars: 95 % of resamples by user")


def _line(axes: Axes, parts: Sequence[dict[str, Any]], name: str, code: int) -> None:
    at, values = [], []
    for number, part in enumerate(parts):
        own = part["intents"][name]
        base = own["base_rate"]["value"]
        if own["ap"]["value"] is None or own["ap"]["low"] is None or not base:
            continue
        at.append(number + 0.08 * (code - 2))
        values.append([own["ap"][end] / base for end in ("value", "low", "high")])
    if not at:
        return
    value, low, high = zip(*values, strict=True)
    axes.plot(at, value, color=colour(name, code), marker="o", markersize=5, linewidth=1.5, label=name)
    axes.vlines(at, low, high, color=colour(name, code), linewidth=2, alpha=0.5)


def draw_parts(evaluation: dict[str, Any], path: Path) -> None:
    """Slope of the calibration in each part of the events, by intent."""
    # What lies on the way to a decision is picked with hindsight, so that calibration has no meaning there.
    parts, names = [one for one in evaluation["slices"] if one["group"] != "way"], list(evaluation["model"])
    figure, axes = plt.subplots(figsize=(9, 1.6 + 0.34 * max(len(parts), 1)), layout="constrained")
    _title(figure, "Calibration in each part: its slope")
    axes.axvspan(0.9, 1.1, color="#e3f2f1", zorder=0)
    axes.axvline(1, color=FAINT, linewidth=1.5, zorder=1)
    for code, name in enumerate(names):
        drawn = [(row + 0.15 * (code - 1.5), one["intents"][name]["slope"]) for row, one in enumerate(parts)]
        rows = [(row, one["value"], one["low"], one["high"]) for row, one in drawn if one["low"] is not None]
        if not rows:
            continue
        y, value, low, high = zip(*rows, strict=True)
        axes.plot(value, y, "o", color=colour(name, code), markersize=4, label=name)
        axes.hlines(y, low, high, color=colour(name, code), linewidth=1.5, alpha=0.5)
    axes.set_xlim(0.3, 1.7)
    axes.set_yticks(range(len(parts)), [f"{one['group']}: {one['name']}" for one in parts])
    axes.set_ylim(max(len(parts), 1) - 0.5, -0.5)
    if parts:
        axes.legend(fontsize=9, ncols=len(names), loc="lower right", bbox_to_anchor=(1, 1))
    save(figure, path, "1: honest; below 1: too extreme; shaded: 0.9 to 1.1; bars: 95 % of resamples by user")


def _title(figure: Any, text: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
