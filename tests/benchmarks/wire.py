"""A bare connection to Valkey: hiredis packs and parses, and nothing else is done. What realtime benchmarks fill stores with and measure against."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import hiredis

READ_BYTES = 1 << 18
AT_ONCE = 2_000
"""Commands whose replies are waited for together: neither side's buffer fills."""

Command = Sequence[bytes | str | int]


class Wire:
    """One blocking connection.

    Args:
        url: ``redis://host:port/…``.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together; their replies in order.

        Raises:
            RuntimeError: one was refused.
        """
        self.send(commands)
        return self.receive(len(commands))

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands together."""
        self.socket.sendall(b"".join([hiredis.pack_command(tuple(command)) for command in commands]))

    def receive(self, count: int) -> list[Any]:
        """The next ``count`` replies.

        Raises:
            RuntimeError: a command was refused.
        """
        replies: list[Any] = []
        while len(replies) < count:
            reply = self._reader.gets()
            if reply is False:
                self._reader.feed(self.socket.recv(READ_BYTES))
            elif isinstance(reply, Exception):
                raise RuntimeError(reply)
            else:
                replies.append(reply)
        return replies

    def send_all(self, commands: Iterable[Command]) -> None:
        """Any number of commands, ``AT_ONCE`` at a time; replies are not kept."""
        own: list[Command] = []
        for command in commands:
            own.append(command)
            if len(own) == AT_ONCE:
                self.exchange(own)
                own = []
        if own:
            self.exchange(own)

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()
