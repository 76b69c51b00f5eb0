"""What the archiver counts."""

from __future__ import annotations

import time
from collections import Counter as Tally
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class ArchiverMetrics:
    """Counters of one archiver."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.tally: Tally[str] = Tally()
        self._rows = Counter("lambent_archiver_rows", "Rows appended.", ["table"], registry=registry)
        self.commit_s = Histogram("lambent_archiver_commit_seconds", "One commit of a table.", registry=registry)
        self._failures = Counter(
            "lambent_archiver_failures", "Rounds in which a table could not be written.", registry=registry
        )
        self._age = Gauge(
            "lambent_archiver_oldest_row_seconds",
            "Age of the oldest row of the last commit, when it was committed.",
            registry=registry,
        )
        self._lost = Counter(
            "lambent_archiver_lost_events",
            "After the store lost its last entries: events that were answered and are gone, or that only the archive has.",
            ["reason"],
            registry=registry,
        )
        self._used = Gauge(
            "lambent_archiver_store_used_bytes",
            "Memory of the store that counts against its maxmemory.",
            registry=registry,
        )
        self._limit = Gauge("lambent_archiver_store_limit_bytes", "Its maxmemory; 0: none is set.", registry=registry)

    def memory(self, used_bytes: int, limit_bytes: int) -> None:
        """Tell how full the store is."""
        self._used.set(used_bytes)
        self._limit.set(limit_bytes)

    def lost(self, gone: int, only_archived: int) -> None:
        """Count what a loss of the store cost, as far as it is known."""
        self._lost.labels("gone").inc(gone)
        self._lost.labels("only_archived").inc(only_archived)

    def archived(self, what: str, rows: int, oldest_ms: int) -> None:
        """Count a commit of ``rows`` rows, the oldest from ``oldest_ms``."""
        self.tally.update({what: rows, "commits": 1})
        self._rows.labels("log" if what == "entries" else what).inc(rows)
        self._age.set(time.time() - oldest_ms / 1000)

    def failed(self) -> None:
        """Count a round in which a table could not be written."""
        self.tally["failures"] += 1
        self._failures.inc()

    def report(self) -> dict[str, Any]:
        """Rows, commits and failures so far."""
        return {name: self.tally[name] for name in ("entries", "intents", "dead", "commits", "failures")}
