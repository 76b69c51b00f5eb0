"""What rank 0 tells of a training: a line an epoch, and a bar for people, which is drawn where the terminal is.

A rank that Spark has started has no terminal: it prints marked lines, which the process that started it draws.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from lambent.progress import Progress

MARK = "lambent-steps"
PERIOD_S = 0.25


class Bar:
    """One bar an epoch, on stderr; nothing where that is no terminal."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._epoch = 0

    def show(self, epoch: int, events: int, total: int) -> None:
        """How far an epoch is."""
        if self._progress is None or epoch != self._epoch:
            self.end()
            self._progress, self._epoch = Progress(f"epoch {epoch}", total, "events"), epoch
        self._progress.update(events - self._progress.done)

    def end(self) -> None:
        """Leave the bar as it is; what is printed next gets a line of its own."""
        if self._progress is not None:
            self._progress.__exit__(None, None, None)
            self._progress = None


class Quiet:
    """Tells nothing: what all ranks but one do."""

    def steps(self, epoch: int, events: int) -> None:
        """So many events of an epoch are done."""

    def epoch(self, figures: dict[str, Any]) -> None:
        """An epoch is over."""


class Teller(Quiet):
    """Rank 0's.

    Args:
        log: JSON lines, one an epoch, which are printed too.
        total: events of an epoch.
    """

    def __init__(self, log: Path, total: int) -> None:
        self._log, self._total, self._bar = log, total, Bar()
        self._piped = "HOROVOD_RANK" in os.environ
        self._told_s = 0.0

    def steps(self, epoch: int, events: int) -> None:
        """See ``Quiet``."""
        if not self._piped:
            self._bar.show(epoch, events, self._total)
        elif time.monotonic() - self._told_s >= PERIOD_S:
            self._told_s = time.monotonic()
            print(MARK, epoch, events, self._total, flush=True)

    def epoch(self, figures: dict[str, Any]) -> None:
        """See ``Quiet``."""
        self._bar.end()
        line = json.dumps({"time_ms": time.time_ns() // 1_000_000, **figures})
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def of_rank(rank: int, log: Path, total: int) -> Quiet:
    """Who is told on a rank; see ``Teller``."""
    return Teller(log, total) if rank == 0 else Quiet()


class RanksOutput:
    """Takes what ranks print, and passes it on to stderr; marked lines become the bar."""

    def __init__(self) -> None:
        self._bar, self._line = Bar(), ""

    def write(self, text: str | bytes) -> int:
        """Some of it, which may end within a line."""
        self._line += text.decode(errors="replace") if isinstance(text, bytes) else text
        *lines, self._line = self._line.split("\n")
        for line in lines:
            _, mark, told = line.partition(MARK + " ")
            if mark:
                self._bar.show(*map(int, told.split()))
            else:
                self._bar.end()
                print(line, file=sys.stderr)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back but half a line."""
