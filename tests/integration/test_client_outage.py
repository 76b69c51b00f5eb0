"""The typed client while the store is not there, is slow, is another one, or is hard to reach: it gives its default in time."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lambent import keys
from lambent.client import Reason
from lambent.errors import StoreError
from tests.clients import (
    DEFAULT,
    PARTITIONS,
    Make,
    an_intent,
    fill,
    key_of,
    warm,
)
from tests.tls import a_certificate, tls_before
from tests.valkey import Valkey, free_port, server, start_valkey, stop_valkey, valkey  # noqa: F401

pytestmark = pytest.mark.integration


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Valkey]:
    """A server for one test, which may stop it."""
    valkey = start_valkey(tmp_path, free_port())  # noqa: F811
    fill(valkey)
    yield valkey
    os.kill(valkey.process.pid, signal.SIGCONT)
    stop_valkey(valkey)


@pytest.mark.parametrize("partitions", [None, "", "0", "many"])
def test_a_store_that_nobody_made_is_told_from_a_visitor_whom_nobody_knows(
    valkey: Valkey,  # noqa: F811
    client_of: Make,
    partitions: str | None,
) -> None:
    if partitions is not None:
        valkey.client.hset(keys.META, "partitions", partitions)
    reading = client_of(valkey.url).get("anna")
    assert (reading.reason, reading.detail) == (
        Reason.UNAVAILABLE,
        "The store cannot be read (there is no Lambent store at this URL).",
    )


def test_a_store_of_a_later_schema_is_not_read(valkey: Valkey, client_of: Make) -> None:  # noqa: F811
    fill(valkey)
    valkey.client.hset(keys.META, "schema", keys.SCHEMA + 1)
    reading = client_of(valkey.url).get("anna")
    assert (reading.reason, reading.intent) == (Reason.UNAVAILABLE, None)
    assert f"has schema {keys.SCHEMA + 1}" in reading.detail


def test_while_nobody_listens_the_default_is_given_and_then_the_intent(tmp_path: Path, client_of: Make) -> None:
    port = free_port()
    client, strict = client_of(f"redis://127.0.0.1:{port}/0"), client_of(f"redis://127.0.0.1:{port}/0", strict=True)
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
    own: Valkey, client_of: Make
) -> None:
    client = client_of(own.url, timeout_ms=100)
    warm(client)
    os.kill(own.process.pid, signal.SIGSTOP)
    assert {client.get("anna").reason for _ in range(3)} == {Reason.UNAVAILABLE}
    os.kill(own.process.pid, signal.SIGCONT)
    warm(client)
    assert client.get_many(["nobody", "anna"])[0].reason in (Reason.ABSENT, Reason.UNAVAILABLE)


def test_a_store_that_was_made_anew_with_other_partitions_is_found_after_the_outage(
    tmp_path: Path, client_of: Make
) -> None:
    port = free_port()
    client = client_of(f"redis://127.0.0.1:{port}/0")
    for partitions in (PARTITIONS, 7):
        valkey = start_valkey(tmp_path, port)  # noqa: F811
        try:
            valkey.client.hset(keys.META, "partitions", partitions)
            valkey.client.set(key_of("anna", partitions), an_intent("anna"))
            assert client.get("anna").reason == Reason.READ
        finally:
            stop_valkey(valkey)
        assert client.get("anna").reason == Reason.UNAVAILABLE


def test_an_answer_that_comes_in_drops_is_late_all_the_same(client_of: Make) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        ended = threading.Event()
        dripping = threading.Thread(target=drip, args=(listening, ended))
        dripping.start()
        client = client_of(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", timeout_ms=100)
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
    own: Valkey, client_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, real = threading.Event(), socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        known.wait()
        return real(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    client = client_of(own.url.replace("127.0.0.1", "localhost"), timeout_ms=100)
    assert {client.get("anna").reason for _ in range(3)} == {Reason.UNAVAILABLE}
    known.set()
    warm(client)


def test_a_connection_that_was_closed_while_nobody_used_it_is_no_outage(own: Valkey, client_of: Make) -> None:
    client = client_of(own.url)
    for _ in range(3):
        assert client.get("anna").reason == Reason.READ
        own.client.client_kill_filter(_type="normal", skipme=True)


def test_answers_behind_a_refused_command_are_nobodys(client_of: Make) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        met = b"-ERR This instance has cluster support disabled\r\n*2\r\n$2\r\n64\r\n$1\r\n1\r\n"
        refusal, foreign, nothing = b"-ERR not now\r\n", b"*1\r\n$1\r\n?\r\n", b"*1\r\n$-1\r\n"
        script = ((met, refusal + foreign, met, nothing),)
        answering = threading.Thread(target=answer, args=(listening, script), daemon=True)
        answering.start()
        client = client_of(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", timeout_ms=2_000)
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


def test_a_store_on_a_unix_socket_is_read_too(tmp_path: Path, client_of: Make) -> None:
    path = f"{tmp_path}/s"
    valkey = start_valkey(tmp_path, free_port(), "--save", "", "--unixsocket", path)  # noqa: F811
    try:
        fill(valkey)
        assert client_of(f"unix://{path}").get("anna").reason == Reason.READ
    finally:
        stop_valkey(valkey)


def test_a_store_behind_tls_is_read_if_its_certificate_is_trusted(
    valkey: Valkey,  # noqa: F811
    client_of: Make,
    tmp_path: Path,
) -> None:
    fill(valkey)
    certificate, foreign = (a_certificate(tmp_path / name) for name in ("own", "foreign"))
    with tls_before(valkey, certificate) as url:
        readings = [client_of(f"{url}?ssl_ca_certs={trusted}").get("anna") for trusted in (certificate, foreign)]
    assert [one.reason for one in readings] == [Reason.READ, Reason.UNAVAILABLE]
    assert "CERTIFICATE_VERIFY_FAILED" in readings[1].detail
