"""The same connection to the store on asyncio: one server, or all nodes of a Cluster, which is found out at the first command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import hiredis
import redis.asyncio
from redis.exceptions import RedisError, ResponseError

from lambent.routing import REDIRECTS, Queued, Router, Sent, or_raise, settle
from lambent.slots import ASK_SLOTS, Address, Command, joined, pause_s, reads_many, split_read


class AsyncStore:
    """A client of the server, or of the Cluster, that ``first`` is connected to.

    Args:
        first: a client of any node; replies are as it gives them.
        timeout_s: how long the replies to what is sent together may take.
    """

    def __init__(self, first: Any, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        pool = first.connection_pool
        self._first, self._pool = first, pool
        self._clients: dict[Address, Any] = {}
        self._router: Router | None = None
        self._is_met = False

    async def execute_command(self, *command: Any) -> Any:
        """Send one command; its reply."""
        if not self._is_met:
            await self._meet()
        if self._router is not None and reads_many(command):
            return await self._read(command)
        return or_raise(await self.run([command]))[0]

    async def ask_each(self, *command: Any) -> list[Any]:
        """Ask the server, or every node of a Cluster that has keys, the same."""
        if not self._is_met:
            await self._meet()
        if self._router is None:
            return [await self._ask(self._first, command)]
        if self._router.stale:
            await self._refresh(self._router)
        return [await self._ask(self._client(one), command) for one in self._router.slots.primaries]

    def pipeline(self, transaction: bool = False) -> AsyncPipeline:
        """Commands that are sent together, to each node those that are its own; never as a transaction."""
        return AsyncPipeline(self)

    async def aclose(self) -> None:
        """Close all connections."""
        for client in (self._first, *self._clients.values()):
            await client.aclose()

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together; their replies in order, an error being a reply too."""
        if not self._is_met:
            await self._meet()
        if self._router is None:
            return await _together(self._first, commands, self._timeout_s)
        if self._router.stale:
            await self._refresh(self._router)
        queue: list[Queued] = [(command, {}) for command in commands]
        replies: list[Any] = [None] * len(queue)
        sent = self._router.plan(queue)
        for _ in range(REDIRECTS):
            await self._exchange(queue, sent, replies)
            sent = self._router.again(queue, sent, replies)
            if not sent:
                break
        return replies

    async def _exchange(self, queue: Sequence[Queued], sent: Sent, replies: list[Any]) -> None:
        found = await asyncio.gather(
            *(self._at(address, queue, rows) for address, rows in sent.items()), return_exceptions=True
        )
        for rows, own in zip(sent.values(), found, strict=True):
            if isinstance(own, BaseException):
                if self._router is not None:
                    self._router.stale = True
                raise own
            for (row, _), reply in zip(rows, own, strict=True):
                settle(queue, replies, row, reply)

    async def _at(self, address: Address, queue: Sequence[Queued], rows: Sequence[tuple[int, bool]]) -> list[Any]:
        """The replies of one node."""
        commands: list[Command] = []
        for row, asking in rows:
            commands += [("ASKING",), queue[row][0]] if asking else [queue[row][0]]
        found = iter(await _together(self._client(address), commands, self._timeout_s))
        replies = []
        for _, asking in rows:
            if asking:
                next(found)
            replies.append(next(found))
        return replies

    async def _read(self, command: Command) -> list[Any] | None:
        block_ms, parts = split_read(command)
        started_s = time.monotonic()
        while True:
            replies = or_raise(await self.run(parts))
            elapsed_s = time.monotonic() - started_s
            found = joined(replies)
            if found or elapsed_s * 1000 >= block_ms:
                return found
            await asyncio.sleep(pause_s(elapsed_s))

    async def _meet(self) -> None:
        try:
            reply = await self._ask(self._first, ASK_SLOTS)
        except ResponseError:
            reply = None
        if reply is not None:
            named = self._pool.connection_kwargs
            address = (named["host"], named["port"])
            self._clients[address] = self._first
            self._router = Router(reply, address)
        self._is_met = True

    async def _refresh(self, router: Router) -> None:
        failed: Exception | None = None
        for address in (*router.slots.known, *self._clients):
            try:
                reply = await self._ask(self._client(address), ASK_SLOTS)
            except (RedisError, OSError) as error:
                failed = error
                continue
            self._router = Router(reply, address)
            return
        if failed:
            raise failed

    async def _ask(self, client: Any, command: Command) -> Any:
        return or_raise(await _together(client, [command], self._timeout_s))[0]

    def _client(self, address: Address) -> Any:
        client = self._clients.get(address)
        if client is None:
            named = {**self._pool.connection_kwargs, "host": address[0], "port": address[1]}
            pool = redis.asyncio.ConnectionPool(connection_class=self._pool.connection_class, **named)
            client = self._clients[address] = redis.asyncio.Redis(connection_pool=pool)
            client.response_callbacks.clear()
        return client


async def _together(client: Any, commands: Sequence[Command], timeout_s: float) -> list[Any]:
    """Send commands to one server; their replies in order, an error being a reply too.

    redis-py looks at each command first, and gives each write and each read a task with a timeout of its own.
    """
    line: Any = None
    try:
        async with asyncio.timeout(timeout_s):
            line = await client.connection_pool.get_connection()
            await line.send_packed_command([b"".join([hiredis.pack_command(tuple(command)) for command in commands])])
            return [await _read_reply(line) for _ in commands]
    except BaseException:  # what is still to come would be taken for the reply to something else
        if line is not None:
            await line.disconnect(nowait=True)
        raise
    finally:
        if line is not None:
            await client.connection_pool.release(line)


async def _read_reply(line: Any) -> Any:
    try:
        return await line.read_response()
    except ResponseError as error:
        return error


class AsyncPipeline:
    """Commands that are sent together.

    Args:
        store: who sends them.
    """

    def __init__(self, store: AsyncStore) -> None:
        self._store = store
        self._queue: list[Command] = []

    def execute_command(self, *command: Any) -> AsyncPipeline:
        """Send this with the others."""
        self._queue.append(command)
        return self

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send them; their replies in order."""
        queue, self._queue = self._queue, []
        replies = await self._store.run(queue) if queue else []
        return or_raise(replies) if raise_on_error else replies

    async def __aenter__(self) -> AsyncPipeline:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._queue.clear()
