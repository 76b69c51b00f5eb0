"""The HTTP API keeps what its own description says, for whatever is sent: requests and checks are Schemathesis's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis import GenerationMode

from realtime.api_keys import Scope, create_key
from tests.chaos.rig import Rig, in_background, make_rig
from tests.http_server import serving
from tests.valkey import Valkey, free_port

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def rig(server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    server.client.flushall()
    folder: Path = tmp_path_factory.mktemp("contract")
    return make_rig(server, folder, http_port=free_port(), http_rate_per_s=0)


@pytest.fixture(scope="module")
def http(rig: Rig) -> Iterator[httpx.Client]:
    """Of a server with keys, by a key that may do everything."""
    secret, _ = create_key(rig.settings.api_keys_file, "Schemathesis", list(Scope))
    with serving(rig, {"Authorization": f"Bearer {secret}"}) as client:
        end = in_background(rig.worker().run)
        yield client
        end()


@pytest.fixture(scope="module")
def description(http: httpx.Client) -> Any:
    found = schemathesis.openapi.from_url(f"{http.base_url}/schema/openapi.json")
    found.config.checks.negative_data_rejection.expected_statuses.append("413")
    return found


CALLS = (
    ("POST", "/v1/events"),
    ("GET", "/v1/users/{user}/intent"),
    ("POST", "/v1/intents"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
)
TRIED = [
    pytest.param(call, mode, id=f"{' '.join(call)}, {mode.value}")
    for call in CALLS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or call[1].startswith("/v1/")  # of no parameters none is wrong
]


def whole(body: Any) -> Any:
    """A body in which whole numbers are written as such: JSON Schema takes 1.0 for one, msgspec does not."""
    if isinstance(body, float) and body.is_integer():
        return int(body)
    if isinstance(body, list):
        return [whole(one) for one in body]
    return {name: whole(one) for name, one in body.items()} if isinstance(body, dict) else body


def check(description: Any, http: httpx.Client, call: tuple[str, str], mode: GenerationMode, examples: int) -> None:
    """Send generated requests, valid or broken, and look at each answer."""
    method, path = call

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(description[path][method].as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        # Of what an address cannot write, an empty list is sent as nothing, and a list of one as that one.
        assume(not any(isinstance(value, (list, dict)) for value in (case.query or {}).values()))
        case.body = whole(case.body)
        if mode is GenerationMode.POSITIVE and path == "/v1/events":
            case.query.pop("pseudonymous", None)  # it asks of a user what no description says
        response = case.call(headers={"Authorization": http.headers["Authorization"]})
        if response.status_code != 202 or "rejected" not in response.json():  # some events were refused by name
            case.validate_response(response)

    one()


@pytest.mark.parametrize(("call", "mode"), TRIED)
def test_whatever_is_sent_is_answered_as_the_description_says(
    description: Any, http: httpx.Client, call: tuple[str, str], mode: GenerationMode
) -> None:
    check(description, http, call, mode, 25)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("call", "mode"), TRIED)
def test_of_thousands_of_requests_all_are_answered_as_the_description_says(
    description: Any, http: httpx.Client, call: tuple[str, str], mode: GenerationMode
) -> None:
    check(description, http, call, mode, 2_000)


def test_all_calls_are_tried_but_the_stream_which_never_ends(description: Any) -> None:
    told = {(method.upper(), path) for path, item in description.raw_schema["paths"].items() for method in item}
    assert told == {*CALLS, ("GET", "/v1/stream")}
