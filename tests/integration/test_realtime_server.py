"""The server over real HTTP: good requests, bad ones, a full log, a store that is gone."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from lambent import keys
from lambent.errors import UsageError
from lambent.events import Event
from lambent.settings import load_settings
from realtime.doors import HttpDoor
from realtime.replay import replay
from realtime.server import refuse_open_address
from tests.bad_input import cases
from tests.chaos.rig import Rig, events_of, make_rig, wait_until
from tests.http_server import VIEW, post, serving, url
from tests.valkey import free_port, start_valkey, stop_valkey

pytestmark = pytest.mark.integration


def test_one_object_a_list_and_json_lines_are_taken(http: httpx.Client) -> None:
    lines = b'{"user":"bo","type":"view"}\n\n{"user":"cy","type":"cart","price":3.5}\n'
    for body, count in ((VIEW, 1), ([VIEW | {"id": "a"}, VIEW | {"id": "b"}], 2), (lines, 2)):
        answer = post(http, body)
        assert (answer.status_code, answer.json()["accepted"]) == (202, count)
        assert len(answer.json()["ids"]) == count


def test_an_object_may_be_spread_over_several_lines(http: httpx.Client) -> None:
    assert post(http, json.dumps(VIEW, indent=2).encode()).json()["accepted"] == 1


def test_with_wait_the_intents_come_with_the_answer(http: httpx.Client, rig: Rig) -> None:
    answer = post(http, [VIEW | {"user": "dora", "id": "d1"}, VIEW | {"user": "emil", "id": "e1"}], wait=5_000).json()
    assert [one["intent"]["event_id"] for one in answer["intents"]] == ["d1", "e1"]
    assert 0 <= answer["intents"][0]["age_ms"] < 20_000
    assert answer["intents"][0]["intent"]["user"] == keys.pseudonym("dora", rig.settings.user_key_bytes())
    found = http.get("/v1/users/dora/intent").json()
    assert found["intent"]["event_id"] == "d1"
    assert 0 <= found["age_ms"] < 20_000


def test_whoever_waits_for_a_copy_is_answered_though_its_commit_says_nothing(http: httpx.Client) -> None:
    first, again = (post(http, VIEW | {"user": "gina", "id": "g1"}, wait=5_000).json()["intents"] for _ in range(2))
    assert [one["intent"]["event_id"] for one in first + again] == ["g1", "g1"]


def test_an_event_without_a_time_happened_now_and_the_raw_user_is_nowhere(http: httpx.Client, rig: Rig) -> None:
    post(http, {"user": "raw-id-of-flora", "type": "view"}, wait=5_000)
    intent = http.get("/v1/users/raw-id-of-flora/intent").json()["intent"]
    assert abs(intent["event_ms"] - intent["ingest_ms"]) < 1_000
    for key in rig.store.call("KEYS", "*"):
        kind = rig.store.call("TYPE", key)
        value = rig.store.call("XRANGE", key, "-", "+") if kind == b"stream" else rig.store.call("DUMP", key)
        assert b"flora" not in key
        assert "flora" not in str(value)


@pytest.mark.parametrize("body", [b"", b"[]", b"[1", b"[" * 5_000], ids=lambda body: str(body)[:40])
def test_a_request_that_is_no_list_of_events_is_refused_whole(http: httpx.Client, body: bytes) -> None:
    answer = post(http, body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"]) == (400, 400)


def test_a_request_without_a_valid_event_is_refused_with_the_reason_of_each(http: httpx.Client) -> None:
    answer = post(http, [VIEW | {"type": "hover"}, VIEW | {"price": -1}])
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"]) == (422, 422)
    assert [(one["index"], one["reason"]) for one in answer.json()["errors"]] == [(0, "type"), (1, "price")]


@pytest.mark.parametrize("door", ["http", "pseudonymous"])
def test_every_line_of_the_table_of_bad_input_is_answered_with_its_own_reason(
    http: httpx.Client, rig: Rig, door: str
) -> None:
    lines = cases.lines(cases.RAW_USER if door == "http" else cases.sealed(rig.settings.user_key_bytes()))
    sent = [line for line in lines if line.strip()]
    answer = post(http, b"\n".join(lines), pseudonymous=str(door == "pseudonymous").lower()).json()
    outcomes: dict[bytes, object] = dict.fromkeys(sent) | {sent[r["index"]]: r["reason"] for r in answer["rejected"]}
    assert cases.told(outcomes, lines) == cases.expected(door)
    assert [one is None for one in answer["ids"]] == [outcomes[line] is not None for line in sent]


def test_the_valid_events_of_a_request_are_taken_and_the_others_named(http: httpx.Client) -> None:
    answer = post(http, [VIEW | {"id": "v"}, {"user": "anna"}, VIEW | {"type": "hover"}])
    assert answer.status_code == 202
    assert answer.json()["ids"] == ["v", None, None]
    assert [(r["index"], r["reason"]) for r in answer.json()["rejected"]] == [(1, "missing"), (2, "type")]


def test_too_much_at_once_is_refused_whole(http: httpx.Client) -> None:
    assert post(http, [VIEW] * 1_001).status_code == 413
    assert post(http, [VIEW | {"attributes": {"a": "x" * 500}}] * 1_000 + [" " * 600_000]).status_code == 413


def test_a_pseudonym_is_taken_as_it_is_only_when_asked_for(http: httpx.Client) -> None:
    user = "A" * 22
    (answer,) = post(http, VIEW | {"user": user, "id": "p"}, pseudonymous="true", wait=5_000).json()["intents"]
    assert answer["intent"]["user"] == user
    assert post(http, VIEW, pseudonymous="true").json()["errors"][0]["reason"] == "user"


def test_unknown_users_paths_and_parameters_are_problems(http: httpx.Client) -> None:
    for answer, status in (
        (http.get("/v1/users/nobody/intent"), 404),
        (http.get("/v2"), 404),
        (http.get("/v1/events"), 405),
        (post(http, VIEW, wait="soon"), 400),
        (post(http, VIEW, pseudonomous="true"), 400),
        (http.get("/metrics", params={"x": 1}), 400),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_the_api_describes_itself_and_its_page_fetches_nothing(http: httpx.Client) -> None:
    schema = http.get("/schema/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    assert schema["components"]["schemas"]["IncomingEvent"]["required"] == ["user", "type"]
    assert "429" in schema["paths"]["/v1/events"]["post"]["responses"]
    page = http.get("/schema").text
    assert "/v1/events" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page


def test_metrics_count_what_was_taken_and_refused(http: httpx.Client) -> None:
    text = http.get("/metrics").text
    assert "lambent_collector_events_total" in text
    assert 'lambent_collector_rejected_total{reason="type"}' in text
    assert http.get("/healthz").text == "ok"


def test_a_replay_over_http_sends_events_and_broken_lines_as_they_are(http: httpx.Client, rig: Rig) -> None:
    events: list[Event | bytes] = [*events_of(7, 30)]
    events.insert(10, b'{"user":"x","type":"vi')
    report = replay(events, HttpDoor(url(rig)), batch=8)
    assert (report.sent, report.accepted, report.rejected) == (31, 30, {"malformed": 1})


def test_a_full_log_is_answered_with_429_and_nothing_is_taken(http: httpx.Client, rig: Rig) -> None:
    p = keys.partition(keys.pseudonym("greta", rig.settings.user_key_bytes()), rig.meta.partitions)
    rig.store.append((p, b"m", b"") for _ in range(1_000))
    before = rig.store.call("XLEN", keys.events(p))
    answer = post(http, VIEW | {"user": "greta"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert rig.store.call("XLEN", keys.events(p)) == before
    rig.store.call("XTRIM", keys.events(p), "MAXLEN", 0)


def test_a_store_that_is_gone_is_answered_with_503_until_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    own = start_valkey(tmp_path, port)
    rig = make_rig(own, tmp_path, http_port=free_port())
    with serving(rig) as client:
        stop_valkey(own)
        for answer in (post(client, VIEW), client.get("/readyz"), client.get("/v1/users/anna/intent")):
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        own = start_valkey(tmp_path, port)
        wait_until(lambda: post(client, VIEW).status_code == 202)
    stop_valkey(own)


def test_an_address_beyond_this_machine_is_refused_in_words() -> None:
    for host in ("0.0.0.0", "192.168.1.5", "::", "shop.example"):
        with pytest.raises(UsageError, match="without API keys"):
            refuse_open_address(load_settings(http_host=host).http_host, 0)
    for host in ("127.0.0.1", "::1", "localhost"):
        refuse_open_address(host, 0)
    refuse_open_address("0.0.0.0", 1)
