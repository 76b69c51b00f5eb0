"""The live half: worker, archiver and server run, traffic flows, and profiles are published again in its midst."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import redis

from demo.batch import JobReports, job_step, start_dags
from demo.environment import Processes, http_answers, wait_until
from demo.screen import Running, Screen
from demo.source import Source
from lambent import keys
from lambent.errors import LambentError
from lambent.events import Event
from lambent.settings import Settings
from realtime.pacing import at_rate, paced
from realtime.replay import open_door

HELD_BACK = 0.05
"""Share of the traffic that waits until the last publish, so that every cut-off has live events on both sides."""
REFRESHES = 2
BATCH = 100
"""Events sent at once, at most: a request of a busy collector."""
LEAD_SECONDS = 3
NICENESS = 5
"""Of the batch jobs while traffic flows: on two cores the answer to a visitor goes first."""


@dataclasses.dataclass
class Traffic:
    """What was sent, and how the cut-offs moved meanwhile."""

    sent: int = 0
    failed: str = ""
    cutoffs_ms: list[int] = dataclasses.field(default_factory=list)
    moves: int = 0


def start_parts(settings: Settings, processes: Processes) -> None:
    """Start archiver, worker and server; return when all are ready."""
    for name in ("archiver", "worker", "server"):
        processes.lambent(name)
    url = f"http://{settings.http_host}:{settings.http_port}/readyz"
    wait_until(lambda: http_answers(url), "The server", processes)


def run_traffic(settings: Settings, processes: Processes, screen: Screen, source: Source, seconds: float) -> Traffic:
    """Send the live part of the source while Airflow builds and publishes profiles, twice; ``seconds`` at least."""
    traffic, may_finish = Traffic(), threading.Event()
    sender = threading.Thread(target=_send, args=(settings, source, traffic, may_finish, seconds), daemon=True)
    watch = Watch(settings)
    first = set(watch.cutoffs_ms())
    reports = JobReports(settings)
    with screen.step("live traffic, HTTP and stream", "events", total=len(source.live)) as step:
        sender.start()
        time.sleep(LEAD_SECONDS)
        refresh = start_dags(processes, "refresh", ["lambent_profiles"] * REFRESHES, nice=NICENESS)
        while sender.is_alive():
            if refresh.poll() is not None:
                processes.check()
                may_finish.set()
            _show(screen, step, traffic, reports, watch)
            sender.join(0.2)
        step.update(traffic.sent)
    if traffic.failed:
        raise LambentError(f"The traffic stopped: {traffic.failed}.", f"Logs: {processes.logs}.")
    traffic.cutoffs_ms = watch.cutoffs_ms()
    traffic.moves = len(set(traffic.cutoffs_ms) - first)
    if traffic.moves < REFRESHES:
        raise LambentError("The cut-off did not move while traffic flowed.", f"See {processes.logs}/refresh.log.")
    return traffic


def _show(screen: Screen, step: Running, traffic: Traffic, reports: JobReports, watch: Watch) -> None:
    for report in reports.new():
        screen.add(job_step(report))
    line = watch.change()
    if line:
        step.update(traffic.sent, line)
        if not screen.console.is_terminal:
            screen.say(f"    {line}")


def _send(settings: Settings, source: Source, traffic: Traffic, may_finish: threading.Event, seconds: float) -> None:
    """Send at a steady rate, the last share only when the refreshes have ended."""
    hold_at = int(len(source.live) * (1 - HELD_BACK))
    try:
        door = open_door("both", settings)
        for batch in paced(_held(source, hold_at, may_finish), at_rate(hold_at / seconds), BATCH):
            door.send(batch)
            traffic.sent += len(batch)
    except Exception as error:  # a thread has nobody above it: the main thread reports
        traffic.failed = f"{type(error).__name__}: {error}"


def _held(source: Source, hold_at: int, may_finish: threading.Event) -> Iterator[Event | bytes]:
    for at, one in enumerate(source.live):
        if at == hold_at:
            may_finish.wait()
        yield one


class Watch:
    """Looks at the store as a reader would: the newest intents, and the cut-offs that were published."""

    PERIOD_SECONDS = 4.0

    def __init__(self, settings: Settings) -> None:
        self._store: Any = redis.Redis.from_url(settings.store_url.get_secret_value())
        self._partitions = settings.partitions
        self._said: dict[str, float] = {}
        self._last: dict[int, bytes] = {}
        self._next = 0.0

    def cutoffs_ms(self) -> list[int]:
        """Cut-offs of the publishes so far, oldest first."""
        cutoffs: list[int] = json.loads(self._store.hget(keys.META, "published") or "[]")
        return cutoffs

    def change(self) -> str:
        """Now and then, the largest change of an intent among the newest; else an empty text."""
        if time.monotonic() < self._next:
            return ""
        self._next = time.monotonic() + self.PERIOD_SECONDS
        changes = [change for p in range(self._partitions) for change in self._changes(p)]
        return max(changes, default=(0.0, ""))[1]

    def _changes(self, p: int) -> Iterator[tuple[float, str]]:
        """How each intent that was said since the last look differs from the one before it."""
        newest = self._store.xrevrange(keys.intents(p), count=20)
        for entry, fields in reversed(newest):
            if entry <= self._last.get(p, b""):
                continue
            self._last[p] = entry
            for intent in json.loads(fields[b"i"]):
                name, now = max(
                    ((n, v) for n, v in intent["probabilities"].items() if n != "browse"), key=lambda one: one[1]
                )
                before = self._said.get(intent["user"])
                self._said[intent["user"]] = now
                if before is not None:
                    yield abs(now - before), f"shopper {intent['user'][:6]}…  {name} {before:.0%} → {now:.0%}"


def check_law(settings: Settings, processes: Processes) -> dict[str, Any]:
    """Run ``lambent law`` once everything has arrived; returns its report."""
    processes.lambent("law", "--json", "--wait", "30")
    return _report_of(processes, "law")


def _report_of(processes: Processes, name: str) -> dict[str, Any]:
    try:
        processes.wait(name)
    except LambentError:
        if '"differences"' not in processes.tail(name, 10_000):
            raise
    text = processes.tail(name, 10_000)
    report: dict[str, Any] = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return report


def worker_report(settings: Settings) -> dict[str, Any]:
    """What the worker wrote when it stopped."""
    report: dict[str, Any] = json.loads((settings.root / "reports" / "worker.json").read_text())
    return report
