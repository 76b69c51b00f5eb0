"""Connections for the synchronous client, each call of which ends by a point of time that it names.

redis-py's own pool connects in the caller's thread, where looking up a name, TLS and AUTH take as long as they take.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import DefaultParser, parse_url
from redis.retry import Retry
from redis.utils import HIREDIS_AVAILABLE

from lambent.client.reading import Command
from lambent.slots import Address

if not HIREDIS_AVAILABLE:
    raise ImportError("hiredis is missing: install lambent[client]")

CONNECT_S = 5.0
"""How long making a connection may take. Nobody waits for it longer than his own timeout."""


class Parser(DefaultParser):  # type: ignore[misc,valid-type]
    """hiredis'; ``timeout`` is the end on the monotonic clock, so that a reply that comes in drops is late all the same."""

    def read_from_socket(self, timeout: Any = None, raise_on_timeout: bool = True) -> Any:
        """See redis-py. A reply of the handshake has no end of its own, but the socket's timeout."""
        if not isinstance(timeout, float):
            return super().read_from_socket(raise_on_timeout=raise_on_timeout)
        return super().read_from_socket(max(timeout - time.monotonic(), 0), raise_on_timeout)


class Lines:
    """Idle connections to one store; any thread takes one, asks, and gives it back.

    Args:
        url: redis://, rediss:// or unix://.
        timeout_s: how long sending may take.
        at: the node of a Cluster that is meant; None: the one that the URL names.

    Raises:
        ValueError, TypeError: the URL is of no known form, or has an option that is none.
    """

    def __init__(self, url: str, timeout_s: float, at: Address | None = None) -> None:
        named = {**parse_url(url), **({"host": at[0], "port": at[1]} if at else {})}
        kind = named.pop("connection_class", redis.Connection)
        own = {"protocol": 2, "parser_class": Parser, "driver_info": None, "retry": Retry(NoBackoff(), 0)}
        times = {"socket_timeout": timeout_s, "socket_connect_timeout": CONNECT_S}
        self._connection = partial(kind, **{**named, **own, **times})
        self._connection()  # an option that it does not know is refused here, and not at the first read
        self._forget()

    def _forget(self) -> None:
        self._idle: deque[Any] = deque()
        self._making: Future[None] | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def ask(self, commands: Sequence[Command], until_s: float) -> list[Any]:
        """Send commands together; their replies in order, an error being a reply too.

        Args:
            commands: what to send.
            until_s: when to give up, on the monotonic clock.

        Raises:
            redis.exceptions.RedisError, OSError: the store is not there, or did not answer in time.
        """
        return self.hear(self.tell(commands, until_s), len(commands), until_s)

    def tell(self, commands: Sequence[Command], until_s: float) -> Any:
        """Send commands together; the connection on which their replies will come, for ``hear`` or ``drop``."""
        line = self._take(until_s)
        try:
            line.send_packed_command(line.pack_commands(commands))
        except BaseException:
            line.disconnect()
            raise
        return line

    def hear(self, line: Any, count: int, until_s: float) -> list[Any]:
        """The replies to ``count`` commands."""
        try:
            replies = [_reply(line, until_s) for _ in range(count)]
        except BaseException:
            self.drop(line)
            raise
        self._idle.append(line)
        return replies

    def drop(self, line: Any) -> None:
        """Close it: what is still to come would be taken for the reply to something else."""
        line.disconnect()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().disconnect()

    def _take(self, until_s: float) -> Any:
        if self._pid != os.getpid():  # a fork: the connections are the parent's
            self._forget()
        while True:
            try:
                line = self._idle.pop()
            except IndexError:
                self._made().result(max(until_s - time.monotonic(), 0))
                continue
            if _is_usable(line):
                return line

    def _made(self) -> Future[None]:
        """One connection more. One is made at a time, so that a crowd of threads does not knock all at once."""
        with self._lock:
            if self._making is None or self._making.done():
                self._making = Future()
                threading.Thread(target=self._make, args=(self._making,), name="lambent-connect", daemon=True).start()
            return self._making

    def _make(self, made: Future[None]) -> None:
        try:
            line = self._connection()
            line.connect()
        except Exception as error:
            made.set_exception(error)
        else:
            self._idle.append(line)
            made.set_result(None)


def _reply(line: Any, until_s: float) -> Any:
    try:
        return line.read_response(timeout=until_s, disconnect_on_error=False)
    except redis.exceptions.ResponseError as error:
        return error


def _is_usable(line: Any) -> bool:
    """Whether the other side still holds it, and nothing that nobody asked for has come."""
    try:
        if not line.can_read():
            return True
    except (redis.exceptions.RedisError, OSError):
        pass
    line.disconnect()
    return False
