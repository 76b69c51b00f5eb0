"""Following new intents over HTTP: filters, going on, slow readers, and how a stream ends."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from lambent import keys
from lambent.events import Intent
from realtime import ids
from realtime.api_keys import Scope, create_key, revoke_key
from realtime.places import read_place, write_place
from tests.chaos.processes import running
from tests.chaos.rig import Rig, make_rig, wait_until
from tests.event_stream import following, opened, some
from tests.http_server import PROBLEM, answers, serving, url
from tests.valkey import Valkey, free_port, start_valkey, stop_valkey

pytestmark = pytest.mark.integration

MOST = 3
"""Streams that may be open."""


@pytest.fixture(scope="module")
def quiet(server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """A rig whose intents come from the tests alone."""
    server.client.flushall()
    folder: Path = tmp_path_factory.mktemp("stream")
    limits = {"http_max_streams": MOST, "http_stream_buffer": 2_000, "http_heartbeat_ms": 200}
    return make_rig(server, folder, http_port=free_port(), **limits)


@pytest.fixture(scope="module")
def client(quiet: Rig) -> Iterator[httpx.Client]:
    with serving(quiet) as client:
        yield client


@pytest.fixture(autouse=True)
def closed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test leaves the server without streams."""
    yield
    if "client" in request.fixturenames:
        client = request.getfixturevalue("client")
        wait_until(lambda: "lambent_http_streams 0.0" in client.get("/metrics").text)


def say(rig: Rig, p: int, *names: str, purchase: float = 0.2, filler: str = "") -> bytes:
    """Add an entry with one intent a name, as a worker does; its id."""
    now_ms = time.time_ns() // 1_000_000
    said = [
        Intent(user="A" * 22, event_id=name, event_ms=now_ms, ingest_ms=now_ms, model=f"1{filler}",
               probabilities={"browse": 1 - purchase, "purchase": purchase})
        for name in names
    ]  # fmt: skip
    added: bytes = rig.store.call("XADD", keys.intents(p), "*", "i", msgspec.json.encode(said))
    return added


def test_who_follows_sees_each_new_intent_as_it_is_said_and_nothing_older(client: httpx.Client, quiet: Rig) -> None:
    say(quiet, 0, "before")
    with following(client) as first, following(client) as second:
        say(quiet, 0, "a", "b")
        say(quiet, 3, "c")
        for events in (first, second):
            found = some(events, 3)
            assert sorted(event.event_id for event in found) == ["a", "b", "c"]
            assert all(0 <= event.data["age_ms"] < 20_000 for event in found)
            assert found[0].data["intent"]["probabilities"] == {"browse": 0.8, "purchase": 0.2}
        say(quiet, 1, "d")
        assert [some(events, 1)[0].event_id for events in (first, second)] == ["d", "d"]


def test_a_stream_may_be_of_one_intent_from_a_probability_on_and_of_some_partitions(
    client: httpx.Client, quiet: Rig
) -> None:
    with (
        following(client, intent="purchase", min=0.5) as likely,
        following(client, partitions="1-2") as part,
        following(client, intent="consult", min=0.1) as none,
    ):
        for p, purchase in ((0, 0.5), (1, 0.4), (2, 0.9), (3, 0.1)):
            say(quiet, p, f"{p}", purchase=purchase)
        assert sorted(event.event_id for event in some(likely, 2)) == ["0", "2"]
        assert sorted(event.event_id for event in some(part, 2)) == ["1", "2"]
        assert next(none).comment


@pytest.mark.parametrize("seed", range(3))
def test_who_is_cut_off_anywhere_goes_on_and_misses_nothing(client: httpx.Client, quiet: Rig, seed: int) -> None:
    draw = random.Random(seed)
    said: list[list[str]] = [[] for _ in range(4)]
    seen: list[list[str]] = [[] for _ in range(4)]
    last_id = ""
    while sum(map(len, seen)) < 200 or len(said[0]) < 60:
        with opened(client, last_id) as events:
            last_id = next(events).id
            for _ in range(draw.randint(1, 30)):
                p = draw.randrange(4)
                names = [f"{p}/{len(said[p]) + n}" for n in range(draw.randint(1, 3))]
                said[p] += names
                say(quiet, p, *names)
            for event in some(events, draw.randint(1, 20)):
                last_id = event.id or last_id
                seen[int(event.event_id[0])].append(event.event_id)
    with following(client, last_id) as events:
        for p in range(4):
            say(quiet, p, f"{p}/end")
        ended = 0
        while ended < 4:
            (event,) = some(events, 1)
            ended += event.event_id.endswith("/end")
            seen[int(event.event_id[0])].append(event.event_id)
    for own, all_own in zip(seen, said, strict=True):
        assert list(dict.fromkeys(one for one in own if not one.endswith("/end"))) == all_own


def test_after_an_event_with_an_id_nothing_comes_again(client: httpx.Client, quiet: Rig) -> None:
    with following(client) as events:
        say(quiet, 0, "x")
        (event,) = some(events, 1)
        assert event.id
    say(quiet, 0, "y")
    with following(client, event.id) as events:
        assert some(events, 1)[0].event_id == "y"


def test_who_was_away_for_longer_than_intents_are_kept_is_told_so(client: httpx.Client, quiet: Rig) -> None:
    now_ms = time.time_ns() // 1_000_000
    newest = ids.to_version(say(quiet, 0, "kept"))
    with following(client, write_place(now_ms - 3_600_000, [0, 0, 0, 0])) as events:
        gap = next(events)
        assert (gap.name, gap.data["reason"]) == ("gap", "trimmed")
        assert "kept" in (some(events, 1)[0].event_id for _ in itertools.count())
    with following(client, write_place(now_ms, [newest, 0, 0, 0])) as events:
        assert next(events).name != "gap"


def test_a_silent_stream_says_that_it_is_there_and_where_it_is(client: httpx.Client, quiet: Rig) -> None:
    with following(client, intent="purchase", min=1) as events:
        first = next(events)
        newest = ids.to_version(say(quiet, 2, "unwanted"))
        assert first.comment
        wait_until(lambda: read_place(next(events).id, 4)[1][2] == newest)


def test_no_more_streams_are_open_than_may_be_even_if_all_come_at_once(client: httpx.Client, quiet: Rig) -> None:
    answered = threading.Barrier(12)

    def open_one(_: int) -> int:
        with httpx.stream("GET", f"{url(quiet)}/v1/stream", timeout=20) as response:
            answered.wait(20)
            if response.status_code == 503:
                assert response.headers["content-type"] == PROBLEM
                assert response.headers["retry-after"]
            return response.status_code

    with ThreadPoolExecutor(12) as pool:
        assert sorted(pool.map(open_one, range(12))) == [200] * MOST + [503] * (12 - MOST)


def test_all_streams_of_a_server_share_one_reader_which_stops_with_the_last(client: httpx.Client, quiet: Rig) -> None:
    def blocked() -> int:
        return int(re.findall(rb"blocked_clients:(\d+)", quiet.store.call("INFO", "clients"))[0])

    wait_until(lambda: blocked() == 0)
    with following(client), following(client), following(client):
        for _ in range(20):
            assert blocked() <= 1
            time.sleep(0.01)
        wait_until(lambda: blocked() == 1)
    wait_until(lambda: blocked() == 0)


def test_a_slow_reader_is_sent_away_in_words_and_slows_nobody(client: httpx.Client, quiet: Rig) -> None:
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    slow.connect(("127.0.0.1", quiet.settings.http_port))
    slow.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n\r\n")
    with slow, following(client, intent="purchase", min=0.9) as events:
        sent = 0
        while 'ended_total{reason="slow"}' not in client.get("/metrics").text and sent < 40_000:
            say(quiet, sent % 4, *(f"{sent + n}" for n in range(500)), filler="." * 1_000)
            say(quiet, 0, f"seen {sent}", purchase=0.95)
            assert some(events, 1)[0].event_id == f"seen {sent}"
            sent += 500
            slow.setblocking(sent >= 20_000)  # it has not read so far
            with contextlib.suppress(BlockingIOError):
                text = b"" if sent < 20_000 else drained(slow)
        assert b"event: end" in text
        assert b'"reason":"slow"' in text


def drained(reader: socket.socket) -> bytes:
    """The last that a reader gets before its stream ends."""
    reader.settimeout(10)
    text = b""
    while b"event: end" not in text:
        part = reader.recv(1 << 16)
        if not part:
            break
        text = (text + part)[-200_000:]
    return text


def test_an_entry_that_cannot_be_read_is_left_out(client: httpx.Client, quiet: Rig) -> None:
    with following(client) as events:
        quiet.store.call("XADD", keys.intents(0), "*", "i", b"[{")
        say(quiet, 0, "after it")
        assert some(events, 1)[0].event_id == "after it"


@pytest.mark.parametrize(
    "parameters",
    [{"intent": "steal"}, {"min": 0.5}, {"intent": "purchase", "min": 2}, {"intent": "purchase", "min": "nan"},
     {"partitions": "9"}, {"partitions": "x"}, {"partitions": "0-99999999999"}, {"partitions": ""}],
    ids=str,
)  # fmt: skip
def test_a_filter_that_makes_no_sense_is_refused(client: httpx.Client, parameters: dict[str, Any]) -> None:
    answer = client.get("/v1/stream", params=parameters)
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)


@pytest.mark.parametrize("last_id", ["x", "AAAA", "é".encode(), write_place(0, [1, 2]), "A" * 5_000])
def test_an_id_of_another_store_is_refused(client: httpx.Client, last_id: str | bytes) -> None:
    answer = client.get("/v1/stream", headers=[("Last-Event-ID", last_id)])
    assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM)
    assert "Leave it out" in answer.json()["detail"]


def test_a_server_that_stops_ends_its_streams_in_words_and_then_itself(server: Valkey, tmp_path: Path) -> None:
    rig = make_rig(server, tmp_path, http_port=free_port())
    with running(rig.settings, "server") as process, httpx.Client(base_url=url(rig), timeout=20) as client:
        wait_until(lambda: answers(client))
        with following(client) as events:
            process.terminate()
            end = next(events)
            assert (end.name, end.data["reason"]) == ("end", "stopping")
            assert list(events) == []
        assert process.wait(10) == 0
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def test_with_its_key_a_stream_ends(server: Valkey, tmp_path: Path) -> None:
    rig = make_rig(server, tmp_path, http_port=free_port(), http_heartbeat_ms=200)
    secret, key = create_key(rig.settings.api_keys_file, "", [Scope.READ])
    with serving(rig, {"Authorization": f"Bearer {secret}"}) as client, following(client) as events:
        assert client.get("/v1/stream", headers={"Authorization": ""}).status_code == 401
        revoke_key(rig.settings.api_keys_file, key.id)
        end = next(event for event in events if event.name)
        assert (end.name, end.data["reason"]) == ("end", "revoked")


def test_a_store_that_comes_back_goes_on_telling(tmp_path: Path) -> None:
    port = free_port()
    own = start_valkey(tmp_path, port)
    rig = make_rig(own, tmp_path, http_port=free_port())
    with serving(rig) as client:
        stop_valkey(own)
        assert client.get("/v1/stream").status_code == 503
        own = start_valkey(tmp_path, port)
        with following(client) as events:
            say(rig, 0, "first")
            assert some(events, 1)[0].event_id == "first"
            stop_valkey(own)
            assert client.get("/readyz").status_code == 503
            own = start_valkey(tmp_path, port)
            say(rig, 0, "second")
            assert some(events, 1)[0].event_id == "second"
    stop_valkey(own)
