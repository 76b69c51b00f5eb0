"""The kinds of store that the same tests run on: ``from tests.stores import server, valkey  # noqa: F401``.

``one`` is the wheel's Valkey, ``cluster`` three of them, ``redis`` the Redis that the system has (Debian's, 7.0).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster import start_cluster, stop_cluster
from tests.valkey import Valkey, flush, free_port, start_valkey, stop_valkey

KINDS = ("one", "cluster", "redis")
Start = Callable[[str], Valkey]


def find_redis() -> str:
    """The system's ``redis-server``, which Debian's ``redis-tools`` has under another name too; skips where there is none."""
    found = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if found is None:
        pytest.skip("redis-server is not on this machine (Debian, Ubuntu: apt-get install redis-tools)")
    return found


@pytest.fixture(scope="session")
def servers() -> Iterator[Start]:
    """Starts each kind once."""
    folder = Path(tempfile.mkdtemp(prefix="lambent-stores-"))
    running: dict[str, Valkey] = {}

    def start(kind: str) -> Valkey:
        if kind not in running:
            home = folder / kind
            home.mkdir()
            if kind == "cluster":
                running[kind] = start_cluster(home)
            else:
                running[kind] = start_valkey(home, free_port(), binary=find_redis() if kind == "redis" else "")
        return running[kind]

    yield start
    for kind, one in running.items():
        if kind == "cluster":
            stop_cluster(one)  # type: ignore[arg-type]
        else:
            stop_valkey(one)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module", params=KINDS, name="server")
def server_of_each_kind(request: pytest.FixtureRequest, servers: Start) -> Valkey:
    """Each kind in turn."""
    return servers(request.param)


server = server_of_each_kind


@pytest.fixture
def valkey(server: Valkey) -> Valkey:
    """The same, empty."""
    flush(server)
    return server
