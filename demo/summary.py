"""What the demo found, for people and as ``summary.json``."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from demo.screen import Screen
from lambent.settings import Settings


def write_summary(settings: Settings, screen: Screen, found: dict[str, Any]) -> None:
    """Write ``ROOT/summary.json`` and show it."""
    path = settings.root / "summary.json"
    path.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    screen.title("What the model knows (test split, against the base rate)")
    screen.console.print(_model_table(found["model"]))
    _show_live(screen, found)
    screen.title(f"Done in {found['seconds']:.0f} s. Where to look")
    for what, where in found["left"].items():
        screen.say(f"  {what:<12} {where}")


def _model_table(model: dict[str, dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=True)
    table.add_column("intent")
    for name in ("base rate", "AP", "lift", "AUC", "ECE"):
        table.add_column(name, justify="right")
    for intent, m in model.items():
        if m["ap"] is None:  # the log has no such act, so there is nothing to rank
            table.add_row(intent, f"{m['base_rate']:.2%}", "–", "–", "–", "–")
            continue
        lift = f"{m['ap'] / m['base_rate']:.1f} x"
        table.add_row(intent, f"{m['base_rate']:.2%}", f"{m['ap']:.3f}", lift, f"{m['auc']:.3f}", f"{m['ece']:.4f}")
    return table


def _show_live(screen: Screen, found: dict[str, Any]) -> None:
    live, law = found["live"], found["law"]
    screen.title("Live")
    screen.say(
        f"  {live['events']:,} events; from the log to the intent: p50 {live['p50_ms']:.1f} ms, p99 {live['p99_ms']:.1f} ms"
    )
    screen.say(
        f"  {live['duplicates']:,} duplicates dropped, {live['late']:,} late, {live['rejected']:,} rejected with a reason"
    )
    screen.say(
        f"  profiles published {len(found['cutoffs_ms'])} times; the cut-off moved {found['cutoff_moves']} times in the traffic"
    )
    verdict = "[green]holds[/green]" if law["differences"] == 0 else f"[red]{law['differences']} users differ[/red]"
    screen.say(
        f"  the lambda law {verdict}: batch = live for {law['users']:,} users, {law['crossing']:,} of them on both sides of a cut-off"
    )
