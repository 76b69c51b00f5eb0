"""A producer of its own: a process that sends events over HTTP and writes down what it was told of each.

    python -m tests.chaos.generator URL LOG --seed N

Its log is what ``lambent verify --sent`` reads: a JSON line for each time that an event was sent, with ``outcome``, ``at_ms`` and
the ``event``. ``accepted``: an answer of 202 named it. ``refused``: the answer said that it was not taken, or nothing was sent.
``maybe``: there was no answer, or one that said neither. Nothing of it comes from the system but its answers.

``LOG.counts`` holds three 64-bit numbers: how many requests were sent, how many of them were answered or given up, and how many
events were accepted. Whoever breaks something sees there whether somebody waits.
"""

from __future__ import annotations

import argparse
import dataclasses
import http.client
import json
import os
import random
import signal
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ACCEPTED, REFUSED, MAYBE = "accepted", "refused", "maybe"
TYPES = ("view",) * 12 + ("search", "cart", "favourite", "purchase", "consult", "review")
LATE_SHARE, LATE_MS = 0.05, 7 * 24 * 3600 * 1000
BROKEN_SHARE = 0.01
BATCH = 20
PATIENCE_S = 8.0
PAUSE_S = 0.1
COUNTS = struct.Struct("qqq")


@dataclasses.dataclass
class Book:
    """What is written down, by all threads.

    Args:
        path: of the log.
    """

    path: Path

    def __post_init__(self) -> None:
        self._lock, self._log = threading.Lock(), self.path.open("ab", buffering=0)
        self._counts = os.open(f"{self.path}.counts", os.O_RDWR | os.O_CREAT, 0o600)
        self._sent = self._answered = self._accepted = 0
        self._count()

    def send(self) -> None:
        """A request goes."""
        with self._lock:
            self._sent += 1
            self._count()

    def write(self, events: Sequence[dict[str, Any]], outcomes: Sequence[str]) -> None:
        """What became of a request's events."""
        at_ms = time.time_ns() // 1_000_000
        lines = [
            json.dumps({"outcome": outcome, "at_ms": at_ms, "event": event}) + "\n"
            for event, outcome in zip(events, outcomes, strict=True)
        ]
        with self._lock:
            self._log.write("".join(lines).encode())
            self._answered += 1
            self._accepted += outcomes.count(ACCEPTED)
            self._count()

    def _count(self) -> None:
        os.pwrite(self._counts, COUNTS.pack(self._sent, self._answered, self._accepted), 0)


class Sender:
    """One thread's part: batches of events, one after the other.

    Args:
        url: of the server.
        book: of all.
        name: begins the ids of its events.
        seed: says which events.
        users: how many there are.
        retries: how often a request that was not taken is sent again, at most.
        pause_s: between two requests.
    """

    def __init__(self, url: str, book: Book, name: str, seed: int, users: int, retries: int, pause_s: float) -> None:
        self._address, self._book, self._name = urlsplit(url), book, name
        self._rng, self._users, self._retries, self._pause_s = random.Random(seed), users, retries, pause_s
        self._numbers = 0
        self._connection: http.client.HTTPConnection | None = None

    def run(self, stop: threading.Event) -> None:
        """Send until told to stop; a request of which nothing was accepted is sent again, at most ``retries`` times."""
        while not stop.is_set():
            events = [self._event() for _ in range(self._rng.randint(1, BATCH))]
            for _ in range(self._retries + 1):
                outcomes = self._post(events)
                if ACCEPTED in outcomes or stop.wait(PAUSE_S):
                    break
            stop.wait(self._pause_s * self._rng.random() * 2)

    def _event(self) -> dict[str, Any]:
        rng, self._numbers = self._rng, self._numbers + 1
        late_ms = int(rng.random() * LATE_MS) if rng.random() < LATE_SHARE else 0
        broken = rng.random() < BROKEN_SHARE
        return {
            "user": f"{rng.randrange(self._users):022d}",
            "type": "no such type" if broken else rng.choice(TYPES),
            "event_ms": time.time_ns() // 1_000_000 - late_ms,
            "id": f"{self._name}-{self._numbers}",
            "product": f"p{rng.randrange(50)}",
            "category": f"c{rng.randrange(5)}",
        }

    def _post(self, events: Sequence[dict[str, Any]]) -> list[str]:
        self._book.send()
        outcomes = self._outcomes(events)
        self._book.write(events, outcomes)
        return outcomes

    def _outcomes(self, events: Sequence[dict[str, Any]]) -> list[str]:
        try:
            status, answer = self._ask("\n".join(map(json.dumps, events)).encode())
        except ConnectionRefusedError:
            return [REFUSED] * len(events)  # nothing was sent
        except (OSError, http.client.HTTPException):
            return [MAYBE] * len(events)
        if status == 202:
            return [REFUSED if one is None else ACCEPTED for one in json.loads(answer)["ids"]]
        return [REFUSED if status in (422, 429) else MAYBE] * len(events)

    def _ask(self, body: bytes) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                self._address.hostname, self._address.port, timeout=PATIENCE_S
            )
        try:
            self._connection.request("POST", "/v1/events?pseudonymous=true", body)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = None
            raise


def main() -> None:
    """Send until SIGTERM, then wait for the answers that are due."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("log", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--retries", type=int, default=1)
    parser.add_argument("--pause-s", type=float, default=0.02)
    args = parser.parse_args()
    stop, book = threading.Event(), Book(args.log)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    senders = [
        Sender(args.url, book, f"{args.seed}-{k}", args.seed * 1_000 + k, args.users, args.retries, args.pause_s)
        for k in range(args.threads)
    ]
    threads = [threading.Thread(target=sender.run, args=(stop,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
