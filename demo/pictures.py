"""The demo's own pictures: latency, and one shopper's session with the intents over it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from lambent.events import Event

COLOURS = {"browse": "#9aa5b1", "purchase": "#0b7a75", "consult": "#d9822b", "review": "#7b4fa3"}


@dataclasses.dataclass(frozen=True)
class Moment:
    """One event of a session, and what was said after it."""

    event: Event
    probabilities: dict[str, float]


def draw_latency(upper_ms: Sequence[float], counts: Sequence[int], p50_ms: float, p99_ms: float, path: Path) -> None:
    """How long an event took from the log to its intent: the share of events answered within x ms."""
    total = max(sum(counts), 1)
    answered = [sum(counts[: i + 1]) / total for i in range(len(counts))]
    figure, axes = _figure()
    axes.step(upper_ms, answered, where="post", color=COLOURS["purchase"], linewidth=2)
    for value, name in ((p50_ms, "p50"), (p99_ms, "p99")):
        axes.axvline(value, color="#52606d", linewidth=1, linestyle=":")
        axes.annotate(f"{name} {value:.1f} ms", (value, 0.05), rotation=90, xytext=(4, 0), textcoords="offset points")
    axes.set(xscale="log", xlabel="milliseconds from the log to the intent", ylabel="share of events", ylim=(0, 1.02))
    axes.set_title(f"Live latency of {sum(counts):,} events, while Spark built profiles", loc="left")
    _save(figure, path)


def draw_session(moments: Sequence[Moment], path: Path) -> None:
    """One shopper's session: what happened along the bottom, the probability of each intent above it."""
    start_ms = moments[0].event.event_ms
    minutes = [(one.event.event_ms - start_ms) / 60_000 for one in moments]
    figure, axes = _figure()
    for intent in [name for name in moments[0].probabilities if name != "browse"]:
        values = [one.probabilities[intent] for one in moments]
        colour = COLOURS.get(intent)
        axes.plot(minutes, values, color=colour, linewidth=2, marker="o", markersize=4, label=intent)
    highest = max(0.2, *(p for one in moments for intent, p in one.probabilities.items() if intent != "browse"))
    axes.set_ylim(-0.24 * highest, 1.12 * highest)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 1.12 * highest])
    axes.axhline(0, color="#52606d", linewidth=0.8)
    _name_events(axes, moments, minutes)
    axes.set(xlabel="minutes since the session began", ylabel="probability")
    axes.set_title("One shopper's session: what was said after each event", loc="left")
    axes.legend(frameon=False, loc="upper left")
    _save(figure, path)


def _name_events(axes: Axes, moments: Sequence[Moment], minutes: Sequence[float]) -> None:
    """Write each event's type below the axis, unless the one before is too near to read both; decisive ones always."""
    width = max(minutes[-1], 1e-9)
    last = -width
    for one, at in zip(moments, minutes, strict=True):
        decisive = one.event.type in COLOURS
        if decisive or at - last > 0.025 * width:
            axes.annotate(
                one.event.type, (at, 0), xytext=(0, -4), textcoords="offset points", rotation=90, fontsize=8, va="top",
                ha="center", color=COLOURS.get(one.event.type, "#52606d"), fontweight="bold" if decisive else "normal",
            )  # fmt: skip
            last = at


def _figure() -> tuple[plt.Figure, Axes]:
    figure, axes = plt.subplots(figsize=(9, 4.8), dpi=130, layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def _save(figure: plt.Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
