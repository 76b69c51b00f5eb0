"""The pictures of a model: one style, one colour an intent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLOURS = {"browse": "#9aa5b1", "purchase": "#0b7a75", "consult": "#d9822b", "review": "#7b4fa3"}
OTHERS = ("#c0392b", "#2874a6", "#7d8c1f", "#b03a7a", "#5d4037", "#17a2b8", "#34495e", "#b7950b")
INK, FAINT = "#1f2933", "#cbd2d9"

STYLE: dict[str, Any] = {
    "figure.dpi": 120,
    "figure.facecolor": "white",
    "font.size": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#eef1f4",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def colour(intent: str, code: int) -> str:
    """An intent's colour, the same in every picture; a taxonomy of one's own gets others by position."""
    return COLOURS.get(intent, OTHERS[code % len(OTHERS)])


def draw(evaluation: dict[str, Any], folder: Path) -> list[Path]:
    """Draw all pictures of an evaluation into a folder; returns their paths."""
    from models.plots_compared import draw_contenders, draw_parts, draw_session

    folder.mkdir(parents=True, exist_ok=True)
    pictures = {
        "contenders.png": draw_contenders,
        "reliability.png": draw_reliability,
        "precision_recall.png": draw_precision_recall,
        "session.png": draw_session,
        "parts.png": draw_parts,
    }
    with plt.rc_context(STYLE):
        for name, picture in pictures.items():
            picture(evaluation, folder / name)
    return [folder / name for name in pictures]


def draw_reliability(evaluation: dict[str, Any], path: Path) -> None:
    """Said against happened, with 95 % intervals, a panel an intent; on the diagonal the model is honest."""
    figure, panels = _panels(evaluation, "What was said, and how often it happened")
    for axes, name, code in panels:
        bins = evaluation["reliability"][name]
        said, happened = [b["predicted"] for b in bins], [b["observed"] for b in bins]
        ends = [
            (b["observed"] if b["low"] is None else b["low"], b["observed"] if b["high"] is None else b["high"])
            for b in bins
        ]
        low, high = _range([*said, *(end for pair in ends for end in pair)])
        axes.plot([low, high], [low, high], color=FAINT, linewidth=1.5, zorder=1)
        axes.vlines(
            said, [a for a, _ in ends], [b for _, b in ends], color=colour(name, code), alpha=0.5, linewidth=2.5
        )
        axes.plot(said, happened, color=colour(name, code), linewidth=1.2, marker="o", markersize=4, zorder=2)
        slope = evaluation["contenders"]["model"]["intents"][name]["slope"]
        axes.set(xlim=(low, high), ylim=(low, high), xlabel="said", aspect="equal")
        _percent(axes.xaxis, axes.yaxis)
        axes.set_title(
            f"{name}  slope {_text(slope['value'], 2)}  ECE {_text(evaluation['model'][name]['ece'], 4)}", fontsize=10
        )
    panels[0][0].set_ylabel("happened")
    note = f"{evaluation['events']:,} test events in {len(bins)} bins of equal mass; bars: 95 % of resamples by user"
    save(figure, path, note)


def draw_precision_recall(evaluation: dict[str, Any], path: Path) -> None:
    """Precision by recall, a panel an intent, over the base rate that a blind choice would have."""
    figure, panels = _panels(evaluation, "Of those named, how many were right")
    for axes, name, code in panels:
        points, figures = evaluation["precision_recall"][name], evaluation["model"][name]
        base = figures["base_rate"] or 0.0
        # The first few events decide the curve's left end by chance: it starts where recall is 1 %.
        shown = [(r, p) for r, p in zip(points["recall"], points["precision"], strict=True) if r >= 0.01]
        recall, precision = [r for r, _ in shown], [p for _, p in shown]
        axes.fill_between(recall, base, precision, color=colour(name, code), alpha=0.12, linewidth=0)
        axes.plot(recall, precision, color=colour(name, code), linewidth=2)
        axes.axhline(base, color="#7b8794", linewidth=1, linestyle=":", label=f"base rate {base:.1%}")
        axes.legend(loc="upper right" if base < 0.5 else "lower right", fontsize=9)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall")
        _percent(axes.xaxis, axes.yaxis)
        axes.set_title(f"{name}  AP {_text(figures['ap'], 3)}  AUC {_text(figures['auc'], 3)}", fontsize=10)
    panels[0][0].set_ylabel("precision")
    save(figure, path, f"{evaluation['events']:,} test events")


def _panels(evaluation: dict[str, Any], title: str) -> tuple[Any, list[tuple[Axes, str, int]]]:
    names = list(evaluation["model"])
    figure, grid = plt.subplots(1, len(names), figsize=(3.3 * len(names), 3.9), squeeze=False, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    return figure, [(axes, name, code) for code, (axes, name) in enumerate(zip(grid[0], names, strict=True))]


def _range(values: list[float]) -> tuple[float, float]:
    """A little more than what the values span."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = 0.06 * max(high - low, 0.01)
    return max(low - pad, -pad), high + pad


def _percent(*axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    for axis in axes:
        low, high = axis.get_view_interval()
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0 if high - low > 0.08 else 1))


def _text(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def save(figure: Any, path: Path, note: str) -> None:
    """Write a figure with a note at its foot."""
    figure.supxlabel(note, x=0.99, ha="right", fontsize=8, color="#7b8794")
    figure.savefig(path)
    plt.close(figure)
