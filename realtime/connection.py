"""Connections to Valkey or Redis: hiredis, raw binary replies, no silent retries.

A retry inside the client could send a write twice; every caller here decides itself what a lost reply means.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hiredis
import redis
import redis.asyncio
import redis.asyncio.connection
import redis.connection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from lambent import cluster
from lambent.refusal import refusal
from realtime.cluster import AsyncStore

READ_BYTES = 1 << 18
"""How much of a reply is read at once."""
SOCKET_TIMEOUT_S = 10.0
"""A reply that takes longer is given up; a blocking read asks for less."""
SERVER_TIMEOUT_S = 2.0
"""The same for the server, behind which somebody waits."""


class NoWritesError(redis.exceptions.ResponseError):
    """The store answers and takes no writes: its own disk is full, or a replica that it waits for is missing."""


_CODES = {"MISCONF": NoWritesError, "NOREPLICAS": NoWritesError}


class Parser(redis.connection.DefaultParser):  # type: ignore[misc,valid-type]
    """redis-py's, which knows two more of the server's errors by their codes."""

    EXCEPTION_CLASSES = redis.connection.DefaultParser.EXCEPTION_CLASSES | _CODES


class AsyncParser(redis.asyncio.connection.DefaultParser):  # type: ignore[misc,valid-type]
    """The same for asyncio."""

    EXCEPTION_CLASSES = redis.asyncio.connection.DefaultParser.EXCEPTION_CLASSES | _CODES


class Packer:
    """Packs a command by hiredis alone: redis-py's own looks at each argument first, of which a batch has thousands."""

    def pack(self, *command: Any) -> list[bytes]:
        """The bytes of a command, whose name may be two words."""
        name = command[0].decode() if isinstance(command[0], bytes) else str(command[0])
        return [hiredis.pack_command((*name.split(), *command[1:]) if " " in name else command)]


GONE = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)
"""The store cannot be reached just now."""
NO_WRITES = (
    NoWritesError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.TryAgainError,
)
"""It can be reached, and takes no writes just now."""
UNAVAILABLE = (*GONE, *NO_WRITES)
"""Either: to be waited for."""


def connect(url: str) -> Any:
    """A client on ``redis://``, ``rediss://`` or ``unix://``, of a server or of a Cluster, whose replies are the server's.

    Raises:
        SettingsError: the URL is of no known form. Its text is not repeated, since it may hold a password.
        One of ``GONE``: it cannot be reached.
    """
    return cluster.connect(url, raw=True, **_OPTIONS)


_OPTIONS: dict[str, Any] = {
    "protocol": 2,
    "parser_class": Parser,
    "command_packer": Packer(),
    "socket_read_size": READ_BYTES,
    "socket_timeout": SOCKET_TIMEOUT_S,
    "retry": Retry(NoBackoff(), 0),
}


def connect_one(url: str) -> Any:
    """The same for one server; it connects when it is used."""
    return cluster.connect_one(url, raw=True, **_OPTIONS)


def connect_async(url: str, name: str | None = None, timeout_s: float = SERVER_TIMEOUT_S) -> AsyncStore:
    """The same for asyncio, connecting when it is used; ``name`` is what the store calls its connections (``CLIENT LIST``)."""
    try:
        client = redis.asyncio.Redis.from_url(
            url,
            protocol=2,
            client_name=name,
            parser_class=AsyncParser,
            socket_timeout=None,  # of what is sent together, not of each read and write: see ``AsyncStore``
            socket_connect_timeout=timeout_s,
            retry=AsyncRetry(NoBackoff(), 0),
        )
    except (ValueError, TypeError) as error:
        raise cluster.bad_url() from error
    client.response_callbacks.clear()
    return AsyncStore(client, timeout_s)


@contextmanager
def in_words() -> Iterator[None]:
    """Turn the client's errors into ``StoreError``."""
    try:
        yield
    except (*GONE, redis.exceptions.RedisError) as error:
        raise refusal(error) from error
