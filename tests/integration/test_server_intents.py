"""Reading intents over HTTP: one, many, and those that nobody can read."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import httpx
import msgspec
import pytest

from lambent import keys
from lambent.events import Intent
from tests.chaos.rig import Rig
from tests.event_stream import following, some
from tests.http_server import PROBLEM, VIEW, post

pytestmark = pytest.mark.integration


def ask(http: httpx.Client, users: object, **parameters: object) -> httpx.Response:
    body = users if isinstance(users, bytes) else json.dumps({"users": users}).encode()
    return http.post("/v1/intents", content=body, params=parameters)  # type: ignore[arg-type]


def hold(rig: Rig, user: str, value: bytes) -> str:
    """Let the store hold a value as the intent of a user; the user's pseudonym."""
    name = keys.pseudonym(user, rig.settings.user_key_bytes())
    rig.store.call("SET", keys.intent(keys.partition(name, rig.meta.partitions), name), value)
    return name


def spoken(user: str, **fields: Any) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    return msgspec.json.encode(
        Intent(user=user, event_id=f"of {user}", event_ms=now_ms, ingest_ms=now_ms, probabilities={"browse": 1.0}, model="1", **fields)
    )  # fmt: skip


def reads(rig: Rig) -> int:
    """How often the store has been asked for several keys."""
    (found,) = re.findall(rb"cmdstat_mget:calls=(\d+)", rig.store.call("INFO", "commandstats"))
    return int(found)


def test_each_of_many_users_gets_an_intent_or_the_reason_why_not(http: httpx.Client, rig: Rig) -> None:
    post(http, [VIEW | {"user": "ida", "id": "i1"}, VIEW | {"user": "jo", "id": "j1"}], wait=5_000)
    hold(rig, "kurt", b'{"probabilities":')
    response = ask(http, ["jo", "nobody", "kurt", "ida", "jo"])
    found = response.json()["intents"]
    assert response.status_code == 200
    said = [one["error"]["reason"] if "error" in one else one["intent"]["event_id"] for one in found]
    assert said == ["j1", "absent", "unreadable", "i1", "j1"]
    assert all(one["error"]["detail"] for one in found if "error" in one)


def test_an_intent_names_its_event_cut_off_model_actions_and_age(http: httpx.Client, rig: Rig) -> None:
    name = hold(rig, "lea", spoken("lea", cutoff_ms=7_000, actions=("recommend",), session_events=3))
    (of_many,) = ask(http, ["lea"]).json()["intents"]
    (by_pseudonym,) = ask(http, [name], pseudonymous="true").json()["intents"]
    alone = http.get("/v1/users/lea/intent").json()
    for found in (of_many, by_pseudonym, alone):
        intent = found["intent"]
        assert (intent["event_id"], intent["cutoff_ms"], intent["model"]) == ("of lea", 7_000, "1")
        assert (intent["actions"], intent["probabilities"]) == (["recommend"], {"browse": 1.0})
        assert 0 <= found["age_ms"] < 20_000


def test_an_intent_of_another_version_is_a_problem_in_words_and_no_failure(http: httpx.Client, rig: Rig) -> None:
    for value in (b"", b"[1]", b'{"user":1}', b"\xff", b"[" * 5_000):
        hold(rig, "max", value)
        answer = http.get("/v1/users/max/intent")
        assert (answer.status_code, answer.headers["content-type"]) == (502, PROBLEM)
        assert "of the same one" in answer.json()["detail"]


def test_a_thousand_users_are_answered_in_order_by_one_command_a_partition(http: httpx.Client, rig: Rig) -> None:
    users = [f"n{n}" for n in range(1_000)]
    for user in users[::7]:
        hold(rig, user, spoken(user))
    before = reads(rig)
    found = ask(http, users).json()["intents"]
    assert [one["intent"]["event_id"] if "intent" in one else None for one in found] == [
        None if n % 7 else f"of n{n}" for n in range(1_000)
    ]
    assert reads(rig) - before == rig.meta.partitions  # the worker has nothing to read
    assert ask(http, [*users, "one more"]).status_code == 413


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"users":[]}', b'{"users":[""]}', b'{"users":["a"],"x":1}', b'{"users":"a"}', b'{"users":[1]}', b'{"users":["\\ud800"]}', b'{"users":["\xff"]}', b"[" * 5_000],
    ids=lambda body: str(body)[:40],
)  # fmt: skip
def test_what_is_no_list_of_users_is_refused_in_words(http: httpx.Client, body: bytes) -> None:
    answer = ask(http, body)
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
    assert "users" in answer.json()["detail"]


def test_a_body_bomb_is_refused_before_it_bursts(http: httpx.Client) -> None:
    for path in ("/v1/intents", "/v1/events"):
        parts = (b" " * 65_536 for _ in range(32))  # no length is announced
        assert http.post(path, content=parts).status_code == 413
        packed = http.post(path, content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
        assert (packed.status_code, packed.headers["content-type"]) == (415, PROBLEM)


def test_a_workers_intent_reaches_who_follows(http: httpx.Client) -> None:
    with following(http) as events:
        post(http, VIEW | {"user": "flo", "id": "f1"})
        (event,) = some(events, 1)
        assert event.event_id == "f1"
        assert event.data["intent"]["probabilities"]
