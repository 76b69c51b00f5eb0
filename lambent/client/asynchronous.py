"""The client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any

import redis.asyncio
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from lambent.client.reading import ASK, Command, Found, Reader, Reading, commands_of, found_by, partitions_of
from lambent.client.routed import checked, commands_for, note
from lambent.client.sync import FAILURES
from lambent.errors import StoreError
from lambent.routing import REDIRECTS, Queued
from lambent.slots import ASK_SLOTS, Address


class AsyncIntentClient(Reader):
    """Reads intents, as ``IntentClient`` does, on one event loop.

    Whoever asks while a round trip is under way travels with the next one: a crowd of tasks costs few round trips and one
    connection.

    See ``Reader`` for the arguments.
    """

    def _open(self, url: str) -> None:
        named = parse_url(url)
        kind = named.pop("connection_class", redis.asyncio.Connection)
        # Its own timeouts are off: the ones here span a whole read.
        own: dict[str, Any] = {
            "protocol": 2,
            "driver_info": None,
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": None,
        }
        self._make: Any = partial(kind, **{**named, **own})
        self._line: Any = self._make()
        self._nodes: dict[Address, Any] = {}
        self._trip: asyncio.Task[Found] | None = None
        self._next: asyncio.Task[Found] | None = None
        self._asked: dict[str, None] = {}

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
                found = await asyncio.shield(self._join(users))
        except FAILURES as error:
            return self._unavailable(users, error)
        return self._readings(users, found)

    def _join(self, users: Sequence[str]) -> asyncio.Task[Found]:
        """The next round trip, with these on board."""
        self._asked.update(dict.fromkeys(users))
        if self._next is None:
            self._next = asyncio.create_task(self._travel(self._trip))
            self._next.add_done_callback(_heard)
        return self._next

    async def _travel(self, before: asyncio.Task[Found] | None) -> Found:
        """A round trip for all who have joined by the time that the one before is over."""
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._trip, self._next = self._next, None
        users, self._asked = self._asked, {}
        async with asyncio.timeout(self._timeout_s):
            if self._must_meet:
                await self._meet()
            plan = self._plan(users)
            return found_by(plan, await self._ask(commands_of(plan)) if plan else [])

    async def _meet(self) -> None:
        """Find out what the store is: one server or a Cluster, and P."""
        slots, about = await self._first_that_answers((ASK_SLOTS, ASK))
        self._met(slots)
        (about,) = checked([about]) if self._router is None else await self._ask([ASK])
        self._partitions = partitions_of(about)

    async def _first_that_answers(self, commands: Sequence[Command]) -> list[Any]:
        failed: Exception | None = None
        for line in (self._line, *self._nodes.values()):
            try:
                return await _ask(line, commands)
            except FAILURES as error:
                failed = failed or error
        raise failed or StoreError("no node is known")

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        """Replies in order; of a Cluster each from its node, all of which work at the same time."""
        if self._router is None:
            return checked(await _ask(self._line, commands))
        queue: list[Queued] = [(command, {}) for command in commands]
        replies: list[Any] = [None] * len(queue)
        sent = self._router.plan(queue)
        for _ in range(REDIRECTS):
            asked = (_ask(self._node(address), commands_for(queue, rows)) for address, rows in sent.items())
            found = await asyncio.gather(*asked, return_exceptions=True)
            for rows, own in zip(sent.values(), found, strict=True):
                if isinstance(own, BaseException):
                    raise own
                note(replies, rows, own)
            sent = self._router.again(queue, sent, replies)
            if not sent:
                break
        return checked(replies)

    def _node(self, address: Address) -> Any:
        if address not in self._nodes:
            self._nodes[address] = self._make(host=address[0], port=address[1])
        return self._nodes[address]

    async def aclose(self) -> None:
        """Close the connections."""
        for line in (self._line, *self._nodes.values()):
            await line.disconnect(nowait=True)

    async def __aenter__(self) -> AsyncIntentClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()


async def _ask(line: Any, commands: Sequence[Command]) -> list[Any]:
    """Replies in order, an error being a reply too."""
    try:
        return await _ask_once(line, commands)
    except redis.exceptions.ConnectionError:  # perhaps closed while it lay idle
        return await _ask_once(line, commands)


async def _ask_once(line: Any, commands: Sequence[Command]) -> list[Any]:
    try:
        await line.connect()
        await line.send_packed_command(line.pack_commands(commands))
        return [await _reply(line) for _ in commands]
    except BaseException:  # what is still to come would be taken for the reply to something else
        await line.disconnect(nowait=True)
        raise


async def _reply(line: Any) -> Any:
    try:
        return await line.read_response(disconnect_on_error=False)
    except redis.exceptions.ResponseError as error:
        return error


def _heard(trip: asyncio.Task[Found]) -> None:
    """Whoever joined hears of a failure, unless his own time was over before: then nobody need."""
    if not trip.cancelled():
        trip.exception()
