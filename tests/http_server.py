"""A running server for tests, with its fixtures, which the integration tests' ``conftest`` brings.

``rig`` is a small Lambent with one worker, ``http`` a client of its server; both live as long as the module's tests.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.chaos.processes import running
from tests.chaos.rig import Rig, in_background, make_rig, wait_until
from tests.valkey import Valkey, flush, free_port

VIEW = {"user": "anna", "type": "view", "event_ms": 1_700_000_000_000}
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def rig(server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A rig on the session's server, emptied."""
    flush(server)
    folder: Path = tmp_path_factory.mktemp("server")
    return make_rig(server, folder, http_port=free_port(), stream_max_events=1_000)


@pytest.fixture(scope="module")
def http(rig: Rig) -> Iterator[httpx.Client]:
    """A client of a server beside which a worker works."""
    with serving(rig) as client:
        end = in_background(rig.worker().run)
        yield client
        end()


@contextlib.contextmanager
def serving(rig: Rig, headers: Mapping[str, str] | None = None) -> Iterator[httpx.Client]:
    """A client of a server on this rig, for as long as it runs."""
    with running(rig.settings, "server"), httpx.Client(base_url=url(rig), timeout=20, headers=headers) as client:
        wait_until(lambda: answers(client))
        yield client


def url(rig: Rig) -> str:
    """Where the server of a rig is."""
    return f"http://127.0.0.1:{rig.settings.http_port}"


def answers(client: httpx.Client) -> bool:
    """Whether the server can take events."""
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def post(http: httpx.Client, body: object, **parameters: object) -> httpx.Response:
    """Send events."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return http.post("/v1/events", content=content, params=parameters)  # type: ignore[arg-type]
