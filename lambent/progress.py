"""A progress bar on stderr for people; silent where stderr is not a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

_WIDTH = 28  # characters of the bar itself
_PERIOD_S = 0.1  # a terminal needs no more than ten frames a second


class Progress:
    """Shows how far a job is: ``with Progress("reading", total=n) as bar: ... bar.update(k)``.

    Args:
        label: what is being done, a word or two.
        total: units in all; 0 where it is not known (then only the count and the rate are shown).
        unit: what is counted, for the rate: ``events`` gives "events/s".
        stream: where to draw; default stderr.

    Attributes:
        share: how far the job is, 0 to 1, where that is known though the total is not; None: ``done`` of ``total``.
        note: what else is told, at the end of the line.
    """

    def __init__(self, label: str, total: int = 0, unit: str = "", stream: TextIO | None = None) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, 0
        self.share: float | None = None
        self.note = ""
        self._stream = stream or sys.stderr
        self._visible = self._stream.isatty()
        self._start_s = self._drawn_s = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._visible:
            self._stream.write(f"\r{self.line()}\x1b[K\n")

    def update(self, n: int = 1) -> None:
        """Count ``n`` more units and redraw if the last frame is old enough."""
        self.done += n
        now_s = time.monotonic()
        if self._visible and now_s - self._drawn_s >= _PERIOD_S:
            self._drawn_s = now_s
            self._stream.write(f"\r{self.line()}\x1b[K")
            self._stream.flush()

    def line(self) -> str:
        """What the bar shows now, without the terminal's control characters."""
        elapsed_s = max(time.monotonic() - self._start_s, 1e-9)
        rate = f"{self.done / elapsed_s:,.0f} {self.unit}/s" if self.unit else f"{self.done / elapsed_s:,.0f}/s"
        note = f" {self.note}" if self.note else ""
        share = self.done / self.total if self.total else self.share
        if share is None:
            return f"{self.label} {self.done:,} {rate}{note}"
        share = min(share, 1.0)
        count = "" if self.total else f" {self.done:,}"
        left_s = elapsed_s / share - elapsed_s if share else 0.0
        filled = "#" * round(share * _WIDTH)
        return f"{self.label} [{filled:<{_WIDTH}}] {share:4.0%}{count} {rate}{note} {left_s:.0f} s left"
