"""Keeps processes running: starts each when what it needs is ready, starts it again when it ends, and ends them all."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from demo.families import MARK, Family, end_with_parent

FIRST_WAIT_SECONDS = 0.5
MOST_WAIT_SECONDS = 30.0
STEADY_SECONDS = 30.0
"""A part that was ready for so long has earned the shortest wait again."""
SLOW_SECONDS = 90.0
LOOK_SECONDS = 1.0
"""Between looks at who belongs to a part."""
GRACE_SECONDS = (5.0, 2.5)
"""For parts that nothing needs, and then for those that they need: less than 10 s together."""
TAIL_LINES = 8


@dataclasses.dataclass(frozen=True)
class Part:
    """A process that has to run.

    Attributes:
        name: of the part, and of its log.
        command: its command line.
        ready: can it be used? Asked again and again until it says yes.
        after: parts that have to be ready before it starts.
        env: variables of this part alone.
        once: it is a step that has to end well, not to run on; it is ready then.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], bool] = lambda: True
    after: tuple[str, ...] = ()
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    once: bool = False


@dataclasses.dataclass
class _Life:
    """Where one part stands."""

    part: Part
    process: subprocess.Popen[bytes] | None = None
    family: Family | None = None
    ready: bool = False
    done: bool = False
    started_s: float = 0.0
    ready_s: float = 0.0
    due_s: float = 0.0
    wait_s: float = FIRST_WAIT_SECONDS
    look_s: float = 0.0
    log_start: int = 0
    slow: bool = False


class Supervisor:
    """Runs parts; all work is done by ``turn``, in the caller's thread.

    Args:
        parts: what to run.
        logs: folder of the logs, one ``NAME.log`` a part; the logs of the run before become ``NAME.log.1``.
        env: environment of every part.
        say: told what happens, in words.
        on_ready: told when a part can be used, at each of its starts.
    """

    def __init__(
        self, parts: Sequence[Part], logs: Path, env: Mapping[str, str],
        say: Callable[[str], None], on_ready: Callable[[Part], None] = lambda part: None,
    ) -> None:  # fmt: skip
        self.logs, self._env, self._say, self._on_ready = logs, dict(env), say, on_ready
        self._lives = {part.name: _Life(part) for part in parts}
        self._mark = f"{os.getpid()}-{time.time_ns()}"
        logs.mkdir(parents=True, exist_ok=True)
        for part in parts:
            if self._log(part).exists():
                self._log(part).replace(logs / f"{part.name}.log.1")

    @property
    def all_ready(self) -> bool:
        """Whether every part can be used."""
        return all(life.ready for life in self._lives.values())

    def processes(self) -> set[int]:
        """Every process of every part that lives now."""
        return {pid for life in self._lives.values() if life.family for pid in life.family.members()}

    def turn(self) -> None:
        """Start what can start, see what has become ready, and what has ended."""
        for life in self._lives.values():
            if life.done:
                continue
            if life.process is None:
                self._start_if_due(life)
            elif life.process.poll() is not None:
                self._ended(life, life.process.returncode)
            else:
                self._look(life)

    def stop(self) -> None:
        """End every part, those that others need last; kills what has not ended in time, so that no process is left."""
        needed = {name for life in self._lives.values() for name in life.part.after}
        first = [life for name, life in self._lives.items() if name not in needed]
        last = [life for name, life in self._lives.items() if name in needed]
        for lives, grace_s in zip((first, last), GRACE_SECONDS, strict=True):
            self._stop(lives, grace_s)

    def _start_if_due(self, life: _Life) -> None:
        if time.monotonic() < life.due_s or not all(self._lives[name].ready for name in life.part.after):
            return
        mark = f"{self._mark}:{life.part.name}"
        with self._log(life.part).open("ab") as log:
            life.log_start = log.tell()
            life.process = subprocess.Popen(
                list(life.part.command), env={**self._env, **life.part.env, MARK: mark},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process only, which ends the parts in order
                preexec_fn=end_with_parent,  # noqa: PLW1509 no threads here
            )  # fmt: skip
        life.family = Family(life.process.pid, mark)
        life.started_s, life.look_s, life.slow = time.monotonic(), 0.0, False

    def _look(self, life: _Life) -> None:
        if life.family and time.monotonic() > life.look_s:
            life.family.members()
            life.look_s = time.monotonic() + LOOK_SECONDS
        if life.ready or life.part.once:
            return
        if life.part.ready():
            life.look_s = 0.0  # it has started by now whom it will start
            self._is_ready(life)
        elif not life.slow and time.monotonic() - life.started_s > SLOW_SECONDS:
            life.slow = True
            self._say(f"{life.part.name} is not ready after {SLOW_SECONDS:.0f} s; its log: {self._log(life.part)}")

    def _is_ready(self, life: _Life) -> None:
        life.ready, life.ready_s = True, time.monotonic()
        self._on_ready(life.part)

    def _ended(self, life: _Life, code: int) -> None:
        """A step that is done, or a part to start again: what it left behind goes first."""
        _kill_family(life)
        if life.part.once and code == 0:
            life.done = True
            self._is_ready(life)
            return
        if life.ready and time.monotonic() - life.ready_s > STEADY_SECONDS:
            life.wait_s = FIRST_WAIT_SECONDS
        life.ready, life.due_s = False, time.monotonic() + life.wait_s
        self._say(f"{life.part.name} {_reason(code)}; starts again in {life.wait_s:g} s.{self._last_lines(life)}")
        life.wait_s = min(2 * life.wait_s, MOST_WAIT_SECONDS)

    def _last_lines(self, life: _Life) -> str:
        """What this start of the part wrote last."""
        with self._log(life.part).open("rb") as log:
            log.seek(life.log_start)
            lines = log.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        return "".join(f"\n    {line}" for line in lines) or f" It wrote nothing into {self._log(life.part)}."

    def _stop(self, lives: Sequence[_Life], grace_s: float) -> None:
        end_s = time.monotonic() + grace_s
        running = [life.process for life in lives if life.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        while time.monotonic() < end_s and any(process.poll() is None for process in running):
            time.sleep(0.02)
        for life in lives:
            _kill_family(life)

    def _log(self, part: Part) -> Path:
        return self.logs / f"{part.name}.log"


def _kill_family(life: _Life) -> None:
    """End whatever is left of a part."""
    if life.family and life.process:
        life.family.kill()
        life.process.wait()
        life.family = life.process = None


def _reason(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # real-time signals have no name
        return f"was ended by signal {-code}"
