"""The world's time, and who runs when: one part at a time, from one point of decision to the next."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
import time
from collections.abc import Callable, Iterator
from unittest import mock

import greenlet

START_S = 1_700_000_000.0
_machines_sleep = time.sleep


class Killed(BaseException):
    """The process is gone."""


class StuckError(AssertionError):
    """Nothing ends any more."""


@dataclasses.dataclass
class Task:
    """A part that runs, or waits for its time.

    Attributes:
        name: in the schedule.
        thread: its own stack.
        due_s: when it wants to go on, by the world's steady clock.
        kill: it goes on by dying.
    """

    name: str
    thread: greenlet.greenlet
    due_s: float = 0.0
    kill: bool = False


class World:
    """Time and turns.

    Args:
        seed: decides everything.

    Attributes:
        rng: of the seed.
        steady_s: a clock that never goes back.
        wall_s: how far the store's clock is ahead of it; jumps.
        jump_s: how far it is ahead of what it should be.
        calm: no more faults.
        schedule: what happened, a line each.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.steady_s, self.wall_s = 0.0, START_S
        self.jump_s = 0.0
        self.calm = False
        self.schedule: list[str] = []
        self.tasks: list[Task] = []
        self.running: Task | None = None
        self._main, self._thread = greenlet.getcurrent(), threading.get_ident()

    @contextlib.contextmanager
    def time(self) -> Iterator[None]:
        """The world's time instead of the machine's."""
        clocks = {
            "time": self.now_s,
            "time_ns": lambda: int(self.now_s() * 1e9),
            "monotonic": lambda: self.steady_s,
            "monotonic_ns": lambda: int(self.steady_s * 1e9),
            "sleep": self.sleep,
        }
        with mock.patch.multiple(time, **clocks):
            yield

    def now_s(self) -> float:
        """What the store's clock shows."""
        return self.steady_s + self.wall_s

    def start(self, name: str, run: Callable[[], object], after_s: float = 0.0) -> Task:
        """A new part, whose first turn comes later."""
        task = Task(name, greenlet.greenlet(run, parent=self._main), self.steady_s + after_s)
        self.tasks.append(task)
        return task

    def sleep(self, seconds: float) -> None:
        """Let others go on for a while. Whoever was killed meanwhile does not come back."""
        if threading.get_ident() != self._thread:  # of a library, left behind by another test
            _machines_sleep(seconds)
            return
        task = self.running
        if task is None:  # the oracle, at the end
            self.steady_s += seconds
            return
        task.due_s = self.steady_s + seconds
        self._main.switch()
        if task.kill:
            raise Killed

    def note(self, words: str) -> None:
        """A line of the schedule."""
        name = self.running.name if self.running else "world"
        self.schedule.append(f"{self.steady_s:10.3f} {name:12} {words}")

    def turn(self) -> None:
        """Somebody whose time has come goes on to its next point; if nobody's has, time does."""
        self.tasks = [task for task in self.tasks if not task.thread.dead]
        due = [task for task in self.tasks if task.due_s <= self.steady_s]
        if not self.tasks:
            return
        if not due:
            self.steady_s = min(task.due_s for task in self.tasks)
            return
        self.running = self.rng.choice(due)
        try:
            self.running.thread.switch()
        finally:
            self.running = None

    def run_until(self, done: Callable[[], bool], turns: int) -> None:
        """Go on until something holds.

        Raises:
            StuckError: it does not hold after so many turns.
        """
        for n in range(turns):
            if n % 20 == 0 and done():
                return
            self.turn()
        raise StuckError(f"after {turns} turns it has not ended, at {self.steady_s:.0f} s")
