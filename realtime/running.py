"""What every long-running command needs: to be told to stop, and to show its metrics."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from prometheus_client import CollectorRegistry, start_http_server

from realtime.logs import fields, get_logger

log = get_logger("running")


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set ``stop`` on SIGTERM and SIGINT; the handlers that were there come back afterwards."""

    def handler(number: int, frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def metrics_at(port: int, registry: CollectorRegistry) -> Iterator[None]:
    """Serve ``/metrics`` on loopback while the block runs; port 0 serves none."""
    if not port:
        yield
        return
    server, thread = start_http_server(port, addr="127.0.0.1", registry=registry)
    try:
        yield
    finally:
        server.shutdown()
        thread.join(timeout=1)


class Backoff:
    """Waits that double, from 50 ms to 2 s, cut short by ``stop``.

    Args:
        stop: set when the process has to end.
    """

    first_s, most_s = 0.05, 2.0

    def __init__(self, stop: threading.Event) -> None:
        self._stop, self._wait_s = stop, self.first_s

    def reset(self) -> None:
        """Start again from the shortest wait."""
        self._wait_s = self.first_s

    def wait(self, reason: str) -> bool:
        """Wait once; false if the process has to end."""
        log.warning(fields("waiting", seconds=self._wait_s, reason=reason))
        stopped = self._stop.wait(self._wait_s)
        self._wait_s = min(2 * self._wait_s, self.most_s)
        return not stopped


def until_back(stop: threading.Event, attempt: Callable[[], object], errors: tuple[type[Exception], ...]) -> bool:
    """Try until it works; false if the process has to end first."""
    backoff = Backoff(stop)
    while not stop.is_set():
        try:
            attempt()
            return True
        except errors as error:
            if not backoff.wait(f"{type(error).__name__}: {error}"):
                return False
    return False
