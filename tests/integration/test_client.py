"""The typed client on a real Valkey: what it gives for what is there, for what is not, and while the store is not."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.reference.contract import READER_RIGHTS
from lambent import keys
from lambent.client import AsyncIntentClient, IntentClient, Reading, Reason
from lambent.errors import DataError, SettingsError, StoreError
from lambent.events import Event, Intent
from tests.chaos.rig import Rig, make_rig
from tests.valkey import Valkey, free_port, server, start_valkey, stop_valkey, valkey  # noqa: F401

pytestmark = pytest.mark.integration
KEY = bytes(range(32))
PARTITIONS = 64
SHOPPERS = [f"shopper-{n}" for n in range(1_000)]
DEFAULT = {"browse": 0.9, "purchase": 0.1}
PATIENT_MS = 10_000  # where something is there to be read, a busy machine may take its time


class Awaited:
    """The asynchronous client with the synchronous one's surface, so that every test tries both."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncIntentClient(*arguments, **options)
        self.tally = self._client.tally

    def get(self, user_id: str) -> Reading:
        return self._runner.run(self._client.get(user_id))

    def get_many(self, user_ids: list[str]) -> list[Reading]:
        return self._runner.run(self._client.get_many(user_ids))

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


Make = Callable[..., Any]


@pytest.fixture(params=[IntentClient, Awaited], ids=["sync", "async"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a client, closed after the test."""
    made: list[Any] = []

    def one(url: str, key: bytes = KEY, **options: Any) -> Any:
        made.append(request.param(url, key, **{"timeout_ms": PATIENT_MS, "default": DEFAULT, **options}))
        return made[-1]

    yield one
    for client in made:
        client.close()


def user_of(shopper: str) -> str:
    return keys.pseudonym(shopper, KEY)


def key_of(shopper: str, partitions: int = PARTITIONS) -> str:
    return keys.intent(keys.partition(user_of(shopper), partitions), user_of(shopper))


def an_intent(shopper: str, age_ms: int = 0) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    return msgspec.json.encode(
        Intent(
            user=user_of(shopper), event_id="e", event_ms=now_ms - age_ms, ingest_ms=now_ms - age_ms,
            probabilities={"browse": 0.25, "purchase": 0.75}, model="1", actions=("recommend",),
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A store in which the worker has answered every shopper."""
    folder = tmp_path_factory.mktemp("client")
    valkey = start_valkey(folder, free_port())  # noqa: F811
    rig = make_rig(valkey, folder, partitions=PARTITIONS)
    now_ms = time.time_ns() // 1_000_000
    rig.feed_now([Event(user=user_of(one), type="view", event_ms=now_ms, id=one, product="p") for one in SHOPPERS])
    rig.drain()
    yield rig
    stop_valkey(valkey)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Valkey]:
    """A server for one test, which may stop it."""
    valkey = start_valkey(tmp_path, free_port())  # noqa: F811
    fill(valkey)
    yield valkey
    os.kill(valkey.process.pid, signal.SIGCONT)
    stop_valkey(valkey)


def fill(valkey: Valkey) -> None:  # noqa: F811
    valkey.client.hset(keys.META, "partitions", PARTITIONS)
    valkey.client.set(key_of("anna"), an_intent("anna"))


def test_what_the_worker_said_of_a_thousand_shoppers_in_all_partitions_is_read_at_once(rig: Rig, make: Make) -> None:
    client = make(rig.url)
    readings = client.get_many(SHOPPERS)
    assert {keys.partition(one.user, PARTITIONS) for one in readings} == set(range(PARTITIONS))
    assert [one.intent.event_id for one in readings] == SHOPPERS
    assert sorted((one.intent for one in readings), key=lambda one: one.user) == sorted(
        rig.said(), key=lambda one: one.user
    )
    assert client.tally == {Reason.READ: len(SHOPPERS)}
    for one in readings:
        assert (one.user, one.probabilities, one.actions) == (
            one.intent.user,
            one.intent.probabilities,
            one.intent.actions,
        )
        assert not one.is_default
        assert 0 <= one.age_ms < 600_000


def test_one_shopper_reads_the_same_alone_as_among_others(rig: Rig, make: Make) -> None:
    client = make(rig.url)
    together = client.get_many([*SHOPPERS[:5], "nobody", SHOPPERS[0]])
    alone = [client.get(one) for one in (*SHOPPERS[:5], "nobody", SHOPPERS[0])]
    assert [without_age(one) for one in together] == [without_age(one) for one in alone]


def test_nobody_asked_for_is_nobody_told(rig: Rig, make: Make) -> None:
    assert make(rig.url).get_many([]) == []


@pytest.mark.parametrize("shopper", ["nobody", "", "\ud800"])
def test_a_visitor_of_whom_nothing_is_known_gets_the_default(rig: Rig, make: Make, shopper: str) -> None:
    client = make(rig.url)
    reading = client.get(shopper)
    assert (reading.reason, reading.probabilities, reading.intent, reading.age_ms) == (
        Reason.ABSENT,
        DEFAULT,
        None,
        None,
    )
    assert reading.is_default
    assert client.tally == {Reason.ABSENT: 1}


def test_another_key_of_the_pseudonyms_finds_nobody(rig: Rig, make: Make) -> None:
    assert {one.reason for one in make(rig.url, bytes(32)).get_many(SHOPPERS)} == {Reason.ABSENT}


def test_an_intent_that_is_too_old_is_shown_but_does_not_count(valkey: Valkey, make: Make) -> None:  # noqa: F811
    fill(valkey)
    valkey.client.set(key_of("old"), an_intent("old", age_ms=3_600_000))
    young, old = make(valkey.url, max_age_ms=1_800_000).get_many(["anna", "old"])
    assert (young.reason, old.reason) == (Reason.READ, Reason.STALE)
    assert (old.probabilities, old.actions) == (DEFAULT, ())
    assert old.intent.probabilities["purchase"] == 0.75
    assert old.age_ms >= 3_600_000
    assert make(valkey.url).get("old").reason == Reason.READ


def test_an_intent_from_a_clock_that_is_ahead_has_no_negative_age(valkey: Valkey, make: Make) -> None:  # noqa: F811
    fill(valkey)
    valkey.client.set(key_of("ahead"), an_intent("ahead", age_ms=-60_000))
    assert make(valkey.url).get("ahead").age_ms == 0


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b'{"user":"x"}', b"[" * 100_000])
def test_bytes_that_are_no_intent_are_the_default_and_are_counted(
    valkey: Valkey,  # noqa: F811
    make: Make,
    data: bytes,
) -> None:
    fill(valkey)
    valkey.client.set(key_of("broken"), data)
    client = make(valkey.url)
    good, broken = client.get_many(["anna", "broken"])
    assert (good.reason, broken.reason, broken.probabilities) == (Reason.READ, Reason.UNREADABLE, DEFAULT)
    assert "no intent of this version" in broken.detail
    assert client.tally == {Reason.READ: 1, Reason.UNREADABLE: 1}
    with pytest.raises(DataError, match="no intent of this version"):
        make(valkey.url, strict=True).get("broken")


@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=50).map(str.encode)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_a_read_fail(valkey: Valkey, data: bytes) -> None:  # noqa: F811
    fill(valkey)
    valkey.client.set(key_of("anna"), data)
    with IntentClient(valkey.url, KEY, timeout_ms=PATIENT_MS) as client:
        assert client.get("anna").reason == Reason.UNREADABLE


def test_a_field_that_a_later_version_adds_is_passed_over(valkey: Valkey, make: Make) -> None:  # noqa: F811
    fill(valkey)
    later = msgspec.json.encode({**msgspec.json.decode(an_intent("anna")), "mood": {"is": ["good"]}})
    valkey.client.set(key_of("anna"), later)
    assert make(valkey.url).get("anna").reason == Reason.READ


def test_a_store_that_nobody_made_is_told_from_a_visitor_whom_nobody_knows(valkey: Valkey, make: Make) -> None:  # noqa: F811
    reading = make(valkey.url).get("anna")
    assert (reading.reason, reading.detail) == (
        Reason.UNAVAILABLE,
        "The store cannot be read (there is no Lambent store at this URL).",
    )


def test_while_nobody_listens_the_default_is_given_and_then_the_intent(tmp_path: Path, make: Make) -> None:
    port = free_port()
    client, strict = make(f"redis://127.0.0.1:{port}/0"), make(f"redis://127.0.0.1:{port}/0", strict=True)
    for _ in range(3):
        assert [(one.reason, one.probabilities) for one in client.get_many(["anna", "b"])] == [
            (Reason.UNAVAILABLE, DEFAULT)
        ] * 2
    with pytest.raises(StoreError, match="cannot be read"):
        strict.get("anna")
    valkey = start_valkey(tmp_path, port)  # noqa: F811
    try:
        fill(valkey)
        assert client.get("anna").reason == strict.get("anna").reason == Reason.READ
    finally:
        stop_valkey(valkey)
    assert client.get("anna").reason == Reason.UNAVAILABLE
    assert client.tally == {Reason.UNAVAILABLE: 7, Reason.READ: 1}


def test_a_store_that_hangs_costs_the_timeout_and_no_later_answer_is_taken_for_anothers(
    own: Valkey, make: Make
) -> None:
    client = make(own.url, timeout_ms=100)
    warm(client)
    os.kill(own.process.pid, signal.SIGSTOP)
    assert {client.get("anna").reason for _ in range(3)} == {Reason.UNAVAILABLE}
    os.kill(own.process.pid, signal.SIGCONT)
    warm(client)
    assert client.get_many(["nobody", "anna"])[0].reason in (Reason.ABSENT, Reason.UNAVAILABLE)


def warm(client: Any) -> None:
    """Read until the store is there."""
    while client.get("anna").reason != Reason.READ:
        time.sleep(0.01)


def test_a_store_that_was_made_anew_with_other_partitions_is_found_after_the_outage(tmp_path: Path, make: Make) -> None:
    port = free_port()
    client = make(f"redis://127.0.0.1:{port}/0")
    for partitions in (PARTITIONS, 7):
        valkey = start_valkey(tmp_path, port)  # noqa: F811
        try:
            valkey.client.hset(keys.META, "partitions", partitions)
            valkey.client.set(key_of("anna", partitions), an_intent("anna"))
            assert client.get("anna").reason == Reason.READ
        finally:
            stop_valkey(valkey)
        assert client.get("anna").reason == Reason.UNAVAILABLE


def test_an_answer_that_comes_in_drops_is_late_all_the_same(make: Make) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        ended = threading.Event()
        dripping = threading.Thread(target=drip, args=(listening, ended))
        dripping.start()
        client = make(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", timeout_ms=100)
        assert client.get("anna").reason == Reason.UNAVAILABLE
        ended.set()
        dripping.join()


def drip(listening: socket.socket, ended: threading.Event) -> None:
    """A server whose answer never ends."""
    line, _ = listening.accept()
    with closing(line):
        line.recv(1_000)
        line.sendall(b"$1000000\r\n")
        while not ended.wait(0.01):
            try:
                line.sendall(b"x")
            except OSError:
                return


def test_a_name_that_takes_for_ever_to_look_up_costs_no_more_than_the_timeout(
    own: Valkey, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, real = threading.Event(), socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        known.wait()
        return real(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    client = make(own.url.replace("127.0.0.1", "localhost"), timeout_ms=100)
    assert {client.get("anna").reason for _ in range(3)} == {Reason.UNAVAILABLE}
    known.set()
    warm(client)


def test_a_connection_that_was_closed_while_nobody_used_it_is_no_outage(own: Valkey, make: Make) -> None:
    client = make(own.url)
    for _ in range(3):
        assert client.get("anna").reason == Reason.READ
        own.client.client_kill_filter(_type="normal", skipme=True)


def test_threads_share_a_client_and_each_gets_its_own_answers(rig: Rig) -> None:
    with IntentClient(rig.url, KEY, timeout_ms=PATIENT_MS) as client, ThreadPoolExecutor(16) as pool:
        readings = list(pool.map(client.get, SHOPPERS))
    assert [one.intent and one.intent.event_id for one in readings] == SHOPPERS
    assert client.tally == {Reason.READ: len(SHOPPERS)}


def test_tasks_share_a_client_and_each_gets_its_own_answers(rig: Rig) -> None:
    async def read() -> list[Reading]:
        async with AsyncIntentClient(rig.url, KEY, timeout_ms=PATIENT_MS) as client:
            return list(await asyncio.gather(*map(client.get, SHOPPERS)))

    assert [one.intent and one.intent.event_id for one in asyncio.run(read())] == SHOPPERS


def test_a_client_from_before_a_fork_is_two_clients_after_it(rig: Rig) -> None:
    with IntentClient(rig.url, KEY, timeout_ms=PATIENT_MS) as client:
        assert client.get(SHOPPERS[0]).reason == Reason.READ
        forked = multiprocessing.get_context("fork")
        pipe, end = forked.Pipe()
        child = forked.Process(target=lambda: end.send([client.get(one).intent.event_id for one in SHOPPERS[:200]]))  # type: ignore[union-attr]
        child.start()
        assert [client.get(one).intent.event_id for one in SHOPPERS[200:400]] == SHOPPERS[200:400]  # type: ignore[union-attr]
        assert pipe.recv() == SHOPPERS[:200]
        child.join()


def test_a_cluster_takes_each_command_since_its_keys_lie_in_one_slot(tmp_path: Path, make: Make) -> None:
    bus = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    valkey = start_valkey(tmp_path, free_port(), "--save", "", *bus)  # noqa: F811
    try:
        valkey.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, keys.SLOTS - 1)
        while b"cluster_state:ok" not in valkey.client.execute_command("CLUSTER", "INFO"):
            time.sleep(0.01)
        fill(valkey)
        for shopper in SHOPPERS[:200]:
            valkey.client.set(key_of(shopper), an_intent(shopper))
        with pytest.raises(redis.exceptions.RedisError):
            valkey.client.execute_command("MGET", *map(key_of, SHOPPERS[:200]))
        assert {one.reason for one in make(valkey.url).get_many(SHOPPERS[:200])} == {Reason.READ}
    finally:
        stop_valkey(valkey)


def test_the_rights_that_the_reference_names_are_enough_and_no_more(valkey: Valkey, make: Make) -> None:  # noqa: F811
    fill(valkey)
    valkey.client.execute_command("ACL", "SETUSER", "reader", "on", ">secret", *READER_RIGHTS.split())
    url = valkey.url.replace("redis://", "redis://reader:secret@")
    try:
        assert make(url).get("anna").reason == Reason.READ
        with closing(redis.Redis.from_url(url, driver_info=None, protocol=2)) as reader:
            for command in (
                ("GET", keys.live(0, "u")),
                ("SET", key_of("anna"), "x"),
                ("XADD", keys.intents(0), "*", "i", "x"),
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    reader.execute_command(*command)
            assert reader.execute_command("XREAD", "STREAMS", keys.intents(0), "0") in (None, [], {})
        reading = make(url.replace("secret", "wrong")).get("anna")
        assert reading.reason == Reason.UNAVAILABLE
        assert "wrong" not in reading.detail
    finally:
        valkey.client.execute_command("ACL", "DELUSER", "reader")


def test_answers_behind_a_refused_command_are_nobodys(make: Make) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        partitions, refusal, nothing = b"$2\r\n64\r\n", b"-ERR not now\r\n", b"*1\r\n$-1\r\n"
        script = ((partitions, refusal), (partitions, nothing))
        answering = threading.Thread(target=answer, args=(listening, script), daemon=True)
        answering.start()
        client = make(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", timeout_ms=2_000)
        assert {one.detail for one in client.get_many(["anna", "b"])} == {"The store cannot be read (not now)."}
        assert client.get("anna").reason == Reason.ABSENT
        answering.join()


def answer(listening: socket.socket, script: Sequence[Sequence[bytes]]) -> None:
    """A server that answers the requests of one connection after the other as it was told; all stay open."""
    lines = []
    for answers in script:
        lines.append(listening.accept()[0])
        for one in answers:
            lines[-1].recv(10_000)
            lines[-1].sendall(one)


def test_what_is_no_key_or_no_url_is_refused_at_once_and_no_password_is_repeated(make: Make) -> None:
    with pytest.raises(SettingsError, match="has 16 bytes, not 32"):
        make("redis://127.0.0.1", bytes(16))
    for url in ("http://user:secret@shop", "redis://:secret@shop:port/0", "redis://:secret@shop?colour=red"):
        with pytest.raises(SettingsError) as refused:
            make(url)
        assert "secret" not in str(refused.value)


def test_whoever_reads_intents_loads_no_numba_and_no_settings() -> None:
    said = "import sys, lambent.client; print(sorted({'numpy', 'numba', 'pydantic', 'litestar'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def without_age(reading: Reading) -> Reading:
    return msgspec.structs.replace(reading, age_ms=None)
