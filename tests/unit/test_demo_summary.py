from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from demo.screen import Screen
from demo.summary import write_summary
from lambent.settings import load_settings

FOUND: dict[str, Any] = {
    "seconds": 200.0,
    "model": {
        "purchase": {"ap": 0.2, "auc": 0.8, "ece": 0.01, "base_rate": 0.05},
        "review": {"ap": None, "auc": None, "ece": 0.0, "base_rate": 0.0},
    },
    "live": {"events": 9, "p50_ms": 1.0, "p99_ms": 2.0, "duplicates": 1, "late": 0, "rejected": 0},
    "law": {"users": 3, "crossing": 2, "differences": 0},
    "cutoffs_ms": [0, 1, 2],
    "cutoff_moves": 2,
    "left": {"summary": "summary.json"},
}


def test_an_intent_that_a_log_does_not_know_has_no_figures_and_stops_nothing(tmp_path: Path) -> None:
    shown = io.StringIO()
    write_summary(load_settings(root=tmp_path), Screen(Console(file=shown, width=120)), FOUND)
    assert json.loads((tmp_path / "summary.json").read_text()) == FOUND
    lines = {line.split()[0]: line for line in shown.getvalue().splitlines() if line.strip()}
    assert "4.0 x" in lines["purchase"]
    assert lines["review"].count("–") == 4
