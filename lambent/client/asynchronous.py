"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from lambent.client.reading import ASK_PARTITIONS, Command, Reader, Reading, commands_of, partitions_of
from lambent.client.sync import FAILURES


class AsyncIntentClient(Reader):
    """Reads intents, as ``IntentClient`` does, on one event loop.
    See ``Reader`` for the arguments.
    """

    def _open(self, url: str) -> None:
        # Its own timeouts are off: the one here spans a whole read, also the wait for a connection that is free.
        self._pool = redis.asyncio.BlockingConnectionPool.from_url(
            url, protocol=2, driver_info=None, socket_timeout=None, timeout=None, retry=Retry(NoBackoff(), 0)
        )
        self._pool.make_connection()  # an option that it does not know is refused here, and not at the first read

    async def get(self, user_id: str) -> Reading:
        """What the visitor whose id in the shop is ``user_id`` is about to do.

        Raises:
            StoreError, DataError: the store cannot be read, or holds no intent there; only if strict.
        """
        return (await self.get_many([user_id]))[0]

    async def get_many(self, user_ids: Sequence[str]) -> list[Reading]:
        """The same for many visitors, in their order, by one round trip."""
        users = self._users(user_ids)
        try:
            async with asyncio.timeout(self._timeout_s):
                if not self._partitions:
                    self._partitions = partitions_of((await self._ask([ASK_PARTITIONS]))[0])
                plan = self._plan(users)
                replies = await self._ask(commands_of(plan)) if plan else []
        except FAILURES as error:
            return self._unavailable(users, error)
        return self._readings(users, plan, replies)

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return await self._ask_once(commands)
        except redis.exceptions.ConnectionError:  # perhaps closed while it lay idle, which a busy loop sees late
            return await self._ask_once(commands)

    async def _ask_once(self, commands: Sequence[Command]) -> list[Any]:
        line = await self._pool.get_connection()
        try:
            await line.send_packed_command(line.pack_commands(commands))
            return [await line.read_response() for _ in commands]
        except BaseException:  # what is still to come would be taken for the reply to something else
            await line.disconnect(nowait=True)
            raise
        finally:
            await self._pool.release(line)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def __aenter__(self) -> AsyncIntentClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()
