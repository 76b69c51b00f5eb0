"""A network that fails: a TCP proxy between a client and a server, which cuts, slows and half-cuts what goes through it."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TypeVar

CHUNK_BYTES = 1 << 16
T = TypeVar("T")


class Way(enum.Enum):
    """Which way bytes go."""

    UP = "to the server"
    DOWN = "to the client"


class Proxy:
    """Forwards connections to a port of this machine; see ``proxied``.

    Args:
        target: the port.

    Attributes:
        port: where it listens.
        delay_s: how long each chunk takes.
        swallowed: which ways lose what they are given: a connection is half-cut where it is one.
    """

    def __init__(self, target: int) -> None:
        self.target, self.port = target, 0
        self.delay_s = 0.0
        self.swallowed: frozenset[Way] = frozenset()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Listen no more, and cut what there is."""
        self._loop.call_soon_threadsafe(self._server.close)
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> int:
        """Cut all connections, in the midst of whatever they carry; how many there were. New ones lose nothing."""

        async def abort() -> int:
            found = list(self._writers)
            for writer in found:
                writer.transport.abort()
            self.swallowed = frozenset()  # no connection can begin in between
            await asyncio.sleep(0)
            return len(found) // 2

        return self._run(abort())

    @contextmanager
    def losing(self, *ways: Way) -> Iterator[None]:
        """What goes these ways is lost while the block runs; then the connections, which lack it, are cut."""
        self.swallowed = frozenset(ways)
        try:
            yield
        finally:
            self.cut()

    @contextmanager
    def slow(self, delay_s: float) -> Iterator[None]:
        """Each chunk takes so long while the block runs."""
        self.delay_s = delay_s
        try:
            yield
        finally:
            self.delay_s = 0.0

    def _run(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        ways = ((reader, far_writer, Way.UP), (far_reader, writer, Way.DOWN))
        try:
            await asyncio.gather(*(self._pump(*way) for way in ways))
        finally:
            self._writers -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if way not in self.swallowed:
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()


@contextmanager
def proxied(target: int) -> Iterator[Proxy]:
    """A proxy while the block runs."""
    proxy = Proxy(target)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
