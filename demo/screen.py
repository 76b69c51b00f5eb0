"""What a person sees while the demo runs: a line a step, a bar or a spinner on the one that runs."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


@dataclasses.dataclass
class Step:
    """One step of the demo; ``rows`` in the step's own unit of work."""

    name: str
    unit: str
    rows: int = 0
    seconds: float = 0.0
    note: str = ""

    def line(self) -> str:
        """The step as one line."""
        rate = f"{self.rows / self.seconds:>10,.0f} {self.unit}/s" if self.rows > 1 and self.seconds else ""
        return f"{self.name:<34} {self.rows or '':>9} {self.unit if self.rows else '':<9} {self.seconds:6.1f} s {rate} {self.note}"

    def as_dict(self) -> dict[str, Any]:
        """The step as it stands in ``summary.json``."""
        rate = round(self.rows / self.seconds, 1) if self.seconds else 0.0
        return {
            "name": self.name,
            "rows": self.rows,
            "unit": self.unit,
            "seconds": round(self.seconds, 2),
            "rows_per_s": rate,
        }


class Screen:
    """Prints to a console; on a terminal the running step has a bar."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps: list[Step] = []

    def title(self, text: str) -> None:
        """A heading."""
        self.console.print(f"\n[bold]{text}[/bold]", soft_wrap=True)

    def say(self, text: str) -> None:
        """A line."""
        self.console.print(text, highlight=False, soft_wrap=True)

    def add(self, step: Step) -> None:
        """A step that has ended."""
        self.steps.append(step)
        self.console.print(f"  [green]✓[/green] {step.line()}", highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def step(self, name: str, unit: str = "", total: int | None = None, own_bar: bool = False) -> Iterator[Running]:
        """Show a step while the block runs; the block sets ``rows`` on what it gets. ``own_bar``: the work draws one."""
        start = time.monotonic()
        step = Step(name, unit)
        with self.bar(step, total, hidden=own_bar) as running:
            yield running
        step.seconds = time.monotonic() - start
        self.add(step)

    @contextlib.contextmanager
    def bar(self, step: Step, total: int | None, hidden: bool = False) -> Iterator[Running]:
        """A bar on a terminal while the block runs, and nothing once it has ended."""
        columns = [SpinnerColumn(), TextColumn("{task.description:<34}"), BarColumn(bar_width=30)]
        columns += [MofNCompleteColumn()] if total else []
        with Progress(
            *columns, TimeElapsedColumn(), TextColumn("[dim]{task.fields[note]}"),
            console=self.console, transient=True, disable=hidden or not self.console.is_terminal,
        ) as bar:  # fmt: skip
            yield Running(step, bar, bar.add_task(step.name, total=total, note=""))


class Running:
    """The step that runs now."""

    def __init__(self, step: Step, bar: Progress, task: TaskID) -> None:
        self.step = step
        self._bar = bar
        self._task = task

    def update(self, done: int, note: str = "") -> None:
        """``done`` units of the total, and a word on what happens now."""
        self.step.rows = done
        self._bar.update(self._task, completed=done, note=note)

    def note(self, text: str) -> None:
        """A word on what happens now."""
        self._bar.update(self._task, note=text)
