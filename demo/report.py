"""Puts the demo's findings together: reports of the jobs and the worker, and the pictures beside them."""

from __future__ import annotations

import json
import shutil
from typing import Any

from deltalake import DeltaTable

from demo.live import Traffic, worker_report
from demo.pictures import Moment, draw_latency, draw_session
from demo.source import Source
from lambent import tables
from lambent.events import Event
from lambent.sessions import GAP_MS
from lambent.settings import Settings

MIN_MOMENTS, MAX_MOMENTS = 5, 40
"""A session that is worth a picture has so many events."""


def report(settings: Settings, source: Source, traffic: Traffic, law: dict[str, Any]) -> dict[str, Any]:
    """Draw the pictures and return the summary, less its steps and seconds."""
    worker = worker_report(settings)
    evaluation = json.loads((settings.root / "reports" / "evaluation.json").read_text())
    pictures = settings.root
    for name in ("contenders.png", "reliability.png", "precision_recall.png"):
        shutil.copyfile(settings.root / "reports" / name, pictures / name)
    histogram = worker["latencies_ms_histogram"]
    draw_latency(
        [upper for upper, _ in histogram], [count for _, count in histogram],
        worker["p50_ms"], worker["p99_ms"], pictures / "latency.png",
    )  # fmt: skip
    moments = telling_session(settings, source)
    if moments:
        draw_session(moments, pictures / "session.png")
    return {
        "input": {"label": source.label, "path": str(source.path), "mapping": source.mapping, "before": source.before},
        "model": evaluation["model"],
        "live": _live(worker),
        "law": {name: law[name] for name in ("users", "crossing", "differences")},
        "cutoffs_ms": traffic.cutoffs_ms,
        "cutoff_moves": traffic.moves,
        "left": {
            "summary": str(settings.root / "summary.json"), "pictures": str(pictures / "*.png"), "tables": settings.tables_root,
            "models": str(settings.artifacts_root), "MLflow": settings.mlflow_tracking_uri, "logs": str(settings.root / "logs"),
        },
    }  # fmt: skip


def _live(worker: dict[str, Any]) -> dict[str, Any]:
    counts = {name: worker[name] for name in ("events", "duplicates", "late", "dead", "p50_ms", "p99_ms")}
    return counts | {"rejected": sum(worker["rejected"].values()), "rejected_by_reason": worker["rejected"]}


def telling_session(settings: Settings, source: Source) -> list[Moment]:
    """The live session in which a decisive intent rose highest before its act; empty if none is long enough."""
    events = {one.id: one for one in source.live if isinstance(one, Event)}
    columns = ["user", "event_id", "ingest_ms", "probabilities"]
    rows = DeltaTable(settings.table(tables.INTENTS)).to_pyarrow_table(columns=columns).sort_by("ingest_ms").to_pylist()
    by_user: dict[str, list[Moment]] = {}
    for row in rows:
        if row["event_id"] in events:
            moment = Moment(events[row["event_id"]], dict(row["probabilities"]))
            by_user.setdefault(row["user"], []).append(moment)
    sessions = [session for moments in by_user.values() for session in _sessions(moments)]
    return max(sessions, key=_tells, default=[])


def _sessions(moments: list[Moment]) -> list[list[Moment]]:
    """A user's moments cut at gaps, those of a length that one can look at."""
    cut: list[list[Moment]] = []
    for one in moments:
        if not cut or one.event.event_ms > cut[-1][-1].event.event_ms + GAP_MS:
            cut.append([])
        cut[-1].append(one)
    return [session for session in cut if MIN_MOMENTS <= len(session) <= MAX_MOMENTS]


def _tells(session: list[Moment]) -> float:
    """How far the probability of a session's first decisive act rose before it; -1 if there is none, or too early."""
    act = next((at for at, one in enumerate(session) if one.event.type in one.probabilities), 0)
    if act < MIN_MOMENTS - 1:
        return -1.0
    before = [moment.probabilities[session[act].event.type] for moment in session[:act]]
    return max(before) - before[0]
