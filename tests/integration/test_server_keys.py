"""Who may call the server: keys, scopes, rates, origins, and where it may listen."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from realtime.api_keys import LOOK_S, Scope, create_key, revoke_key
from realtime.doors import HttpDoor
from realtime.rates import BURST_S
from tests.chaos.processes import running, spawn
from tests.chaos.rig import Rig, events_of, make_rig, wait_until
from tests.http_server import PROBLEM, VIEW, answers, serving, url
from tests.valkey import Valkey, free_port

pytestmark = pytest.mark.integration

SHOP = "https://shop.example"
PER_S = 5
CALLS = (
    ("POST", "/v1/events", VIEW, Scope.WRITE),
    ("GET", "/v1/users/anna/intent", None, Scope.READ),
    ("POST", "/v1/intents", {"users": ["anna"]}, Scope.READ),
    ("GET", "/metrics", None, Scope.ADMIN),
)
ALLOWED = {"/v1/events": 202, "/v1/users/anna/intent": 404, "/v1/intents": 200, "/metrics": 200}


@pytest.fixture(scope="module")
def rig(server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    server.client.flushall()
    folder: Path = tmp_path_factory.mktemp("keys")
    return make_rig(server, folder, http_port=free_port(), http_cors_origins=f"{SHOP} http://localhost:3000")


@pytest.fixture(scope="module")
def secrets(rig: Rig) -> dict[Scope, str]:
    """A key of each scope."""
    return {scope: create_key(rig.settings.api_keys_file, scope, [scope])[0] for scope in Scope}


@pytest.fixture(scope="module")
def http(rig: Rig, secrets: dict[Scope, str]) -> Iterator[httpx.Client]:
    with serving(rig) as client:
        yield client


def send(http: httpx.Client, call: tuple[str, str, object, Scope], *authorization: str | bytes) -> httpx.Response:
    method, path, body, _ = call
    return http.request(method, path, json=body, headers=[("Authorization", value) for value in authorization])


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[1])
def test_each_path_is_open_to_its_own_scope_alone(
    http: httpx.Client, secrets: dict[Scope, str], call: tuple[str, str, object, Scope]
) -> None:
    for scope, secret in secrets.items():
        answer = send(http, call, f"Bearer {secret}")
        if scope == call[3]:
            assert answer.status_code == ALLOWED[call[1]]
        else:
            assert (answer.status_code, answer.headers["content-type"]) == (403, PROBLEM)
            assert f'scope="{call[3]}"' in answer.headers["www-authenticate"]
            assert f"It has: {scope}" in answer.json()["detail"]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[1])
def test_without_a_key_or_with_a_malformed_one_nothing_is_open(
    http: httpx.Client, secrets: dict[Scope, str], call: tuple[str, str, object, Scope]
) -> None:
    secret = secrets[call[3]]
    wrong: list[tuple[str | bytes, ...]] = [
        (), ("",), ("Bearer",), (f"Basic {secret}",), (secret,), (f"Bearer {secret}x",), (f"Bearer{secret}",),
        (f"Bearer {secret[:-1]}",), (f"Bearer {secret} {secret}",), (f"Bearer {secret.upper()}",), ("Bearer " + "a" * 5_000,),
        (b"Bearer \xff\xfe",), (f"Bearer {secret}", f"Bearer {secret}"), (f"Bearer lambent_{'0' * 12}_{'A' * 43}",),
    ]  # fmt: skip
    for authorization in wrong:
        answer = send(http, call, *authorization)
        assert (answer.status_code, answer.headers["content-type"]) == (401, PROBLEM), authorization
        assert answer.headers["www-authenticate"].startswith('Bearer realm="lambent"')


def test_a_key_in_the_address_is_none(http: httpx.Client, secrets: dict[Scope, str]) -> None:
    assert http.get("/metrics", params={"api_key": secrets[Scope.ADMIN]}).status_code == 401


def test_the_schemes_name_may_be_written_in_any_case(http: httpx.Client, secrets: dict[Scope, str]) -> None:
    assert send(http, CALLS[3], f"bearer {secrets[Scope.ADMIN]}").status_code == 200


def test_health_and_description_are_open_and_the_description_names_the_scopes(http: httpx.Client) -> None:
    assert [http.get(path).status_code for path in ("/healthz", "/readyz", "/schema")] == [200] * 3
    schema = http.get("/schema/openapi.json").json()
    for method, path, _, scope in CALLS:
        operation = schema["paths"][path.replace("anna", "{user}")][method.lower()]
        assert operation["security"] == [{"api_key": [scope]}]
        assert {"401", "403", "429"} <= set(operation["responses"])
    assert schema["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"


def test_a_revoked_key_is_refused_within_a_second_and_a_new_one_is_taken(http: httpx.Client, rig: Rig) -> None:
    secret, key = create_key(rig.settings.api_keys_file, "for a moment", [Scope.ADMIN])
    wait_until(lambda: send(http, CALLS[3], f"Bearer {secret}").status_code == 200, 5 * LOOK_S)
    revoke_key(rig.settings.api_keys_file, key.id)
    wait_until(lambda: send(http, CALLS[3], f"Bearer {secret}").status_code == 401, 5 * LOOK_S)


def test_a_replay_brings_its_key(http: httpx.Client, rig: Rig, secrets: dict[Scope, str]) -> None:
    taken, refused = HttpDoor(url(rig), key=secrets[Scope.WRITE]).send(events_of(3, 10))
    assert (taken, refused) == (10, {})


def test_no_key_is_in_the_log_or_in_the_metrics(http: httpx.Client, rig: Rig, secrets: dict[Scope, str]) -> None:
    assert send(http, CALLS[3], f"Bearer {secrets[Scope.READ]}x").status_code == 401
    text = (rig.settings.root / "server.log").read_text() + send(http, CALLS[3], f"Bearer {secrets[Scope.ADMIN]}").text
    assert "part=lambent.server" in text
    assert 'lambent_http_requests_total{status="401"}' in text
    for secret in secrets.values():
        assert secret.split("_", 2)[2] not in text


def test_pages_of_the_named_origins_may_call_and_no_others(http: httpx.Client, secrets: dict[Scope, str]) -> None:
    for origin, allowed in ((SHOP, True), ("http://localhost:3000", True), ("https://evil.example", False)):
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        before = http.options("/v1/events", headers=asked)
        answer = http.get("/healthz", headers={"Origin": origin})
        refused = http.get("/metrics", headers={"Origin": origin})
        assert (before.headers.get("access-control-allow-origin") == origin) == allowed
        assert (answer.headers.get("access-control-allow-origin") == origin) == allowed
        assert (refused.headers.get("access-control-allow-origin") == origin) == allowed


def test_requests_beyond_a_keys_rate_are_told_how_long_to_wait_and_do_not_slow_another_key(
    server: Valkey, tmp_path: Path
) -> None:
    rig = make_rig(server, tmp_path, http_port=free_port(), http_rate_per_s=PER_S)
    greedy, modest = (create_key(rig.settings.api_keys_file, "", [Scope.READ])[0] for _ in range(2))
    with serving(rig) as client:
        began_s = client.get("/healthz").elapsed.total_seconds()

        def ask(_: int) -> httpx.Response:
            return send(client, CALLS[1], f"Bearer {greedy}")

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(ask, range(100)))
        took_s = began_s + sum(one.elapsed.total_seconds() for one in found)
        passed = [one for one in found if one.status_code == 404]
        refused = [one for one in found if one.status_code == 429]
        assert len(passed) + len(refused) == 100
        assert BURST_S * PER_S <= len(passed) <= PER_S * (BURST_S + took_s) + 1
        assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
        assert all(one.headers["content-type"] == PROBLEM for one in refused)
        assert send(client, CALLS[1], f"Bearer {modest}").status_code == 404
        many = client.post("/v1/intents", json={"users": ["a"] * 1_000}, headers={"Authorization": f"Bearer {modest}"})
        assert many.status_code == 200
        after = send(client, CALLS[1], f"Bearer {modest}")
        assert after.status_code == 429
        assert int(after.headers["retry-after"]) > 100


def test_beyond_this_machine_a_server_listens_only_with_a_key(server: Valkey, tmp_path: Path) -> None:
    rig = make_rig(server, tmp_path, http_port=free_port(), http_host="0.0.0.0")
    process = spawn(rig.settings, "server")
    assert process.wait(20) == 2
    assert "0.0.0.0 without API keys" in (tmp_path / "server.log").read_text()
    create_key(rig.settings.api_keys_file, "", [Scope.READ])
    with running(rig.settings, "server"), httpx.Client(base_url=url(rig)) as client:
        wait_until(lambda: answers(client))
        assert client.get("/metrics").status_code == 401


def test_a_broken_file_of_keys_stops_the_start_in_words(server: Valkey, tmp_path: Path) -> None:
    rig = make_rig(server, tmp_path, http_port=free_port())
    rig.settings.api_keys_file.write_text("{")
    assert spawn(rig.settings, "server").wait(20) == 1
    log = (tmp_path / "server.log").read_text()
    assert "api-keys.json cannot be read" in log
    assert "Traceback" not in log


def test_without_an_origin_in_the_settings_no_answer_is_for_a_page(server: Valkey, tmp_path: Path) -> None:
    rig = make_rig(server, tmp_path, http_port=free_port())
    with serving(rig) as client:
        asked = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
        for answer in (client.options("/v1/events", headers=asked), client.get("/healthz", headers={"Origin": SHOP})):
            assert not [name for name in answer.headers if name.startswith("access-control")]
