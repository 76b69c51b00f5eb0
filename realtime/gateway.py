"""The store as the server sees it, on asyncio: add events, wait for the worker, read intents."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lambent import keys
from lambent.settings import Settings
from realtime import ids
from realtime.collector import Taken
from realtime.connection import SERVER_TIMEOUT_S, connect_async
from realtime.explanation import evidence_keys
from realtime.lag import look_command, most_waiting
from realtime.promise import NotKeptError, promise_of
from realtime.room import Room

SERVER = "lambent-server-"
"""What the name of a server's connections begins with: how others see that one lives."""
LOOK_MS = 10
"""How often whoever waits for a position looks at it; in between it waits for the partition's next intents."""


class Gateway:
    """Connection pools to the store: one to read, and one to append, whose replies may wait for disk or replica.

    Args:
        settings: name the URL, how much a stream may hold, and what an append promises.
        partitions: P.
    """

    def __init__(self, settings: Settings, partitions: int) -> None:
        url, name = settings.store_url.get_secret_value(), f"{SERVER}{socket.gethostname()}-{os.getpid()}"
        self._promise = promise_of(settings)
        self._client = connect_async(url, name)
        self._log = connect_async(url, name, SERVER_TIMEOUT_S + self._promise.wait_s)
        self._most = settings.stream_max_events
        self._room = Room(lambda: self._client.ask_each("INFO", "memory"), self._waiting)
        self.partitions = partitions

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()
        await self._log.aclose()

    async def ping(self) -> None:
        """Raise if the store cannot be reached."""
        await self._client.execute_command("PING")

    async def full(self, partitions: Iterable[int]) -> list[int]:
        """Which of these partitions' streams hold more than they may."""
        wanted = sorted(set(partitions))
        lengths = await self._pipe([("XLEN", keys.events(p)) for p in wanted])
        return [p for p, length in zip(wanted, lengths, strict=True) if length >= self._most]

    async def short_of_memory(self) -> bool:
        """Whether the store has no room for more events."""
        return await self._room.short()

    async def append(self, events: Sequence[Taken]) -> list[bytes]:
        """Add events to the log, in order, and wait until they are kept as ``acknowledge`` asks; the ids of their entries.

        Raises:
            NotKeptError: some of them are in the log, or all and the wait was over first.
            redis.exceptions.ResponseError: the store has taken none of them.
        """
        self._room.add(len(events), sum(len(one.data) for one in events))
        async with self._log.pipeline(transaction=False) as pipeline:
            for one in events:
                pipeline.execute_command("XADD", keys.events(one.partition), "*", "e", one.data)
            for command in self._promise.commands:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        entry_ids, kept = replies[: len(events)], replies[len(events) :]
        refused = [reply for reply in entry_ids if isinstance(reply, Exception)]
        if len(refused) == len(events):
            raise refused[0]
        if refused:
            raise NotKeptError(f"The store took {len(events) - len(refused)} of {len(events)} events ({refused[0]}).")
        self._promise.check(kept)
        return entry_ids

    async def _waiting(self) -> int:
        """How many entries no worker has seen, at most."""
        replies = await self._pipe([look_command(p, {}) for p in range(self.partitions)])
        return sum(map(most_waiting, replies))

    async def intents(self, users: Sequence[str]) -> list[bytes | None]:
        """The newest intent of each user, as JSON; None where there is none. One command a partition, one round trip."""
        rows = keys.by_partition(users, self.partitions)
        replies = await self._pipe([("MGET", *(keys.intent(p, users[row]) for row in own)) for p, own in rows.items()])
        found: list[bytes | None] = [None] * len(users)
        for own, values in zip(rows.values(), replies, strict=True):
            for row, value in zip(own, values, strict=True):
                found[row] = value
        return found

    async def evidence(self, user: str) -> list[bytes | None]:
        """A user's newest intent, live record and profile, and what the control entries have set: as of one moment."""
        (found,) = await self._pipe([("MGET", *evidence_keys(keys.partition(user, self.partitions), user))])
        return found

    async def passed(self, ends: Mapping[int, bytes], wait_ms: int) -> bool:
        """Wait until the worker has committed each partition's entry ``ends``; false if that takes too long.

        The commit that brings an intent wakes whoever waits for it. One that has none to say, of copies or of late events, is
        seen when it is looked at.
        """
        end_s, behind = time.monotonic() + wait_ms / 1000, dict(ends)
        seen = {
            p: ids.form(ids.ingest_ms(end) - 1, 0) for p, end in ends.items()
        }  # intents are newer than their events
        while behind:
            left_ms = int((end_s - time.monotonic()) * 1000)
            if left_ms > 0:
                await self._next_intents(next(iter(behind)), seen, min(left_ms, LOOK_MS))
            behind = await self._behind(behind)
            if left_ms <= 0:
                break
        return not behind

    async def _next_intents(self, p: int, seen: dict[int, bytes], wait_ms: int) -> None:
        """Wait for intents of a partition after the entry that was seen last."""
        read = ("XREAD", "COUNT", 1, "BLOCK", wait_ms, "STREAMS", keys.intents(p), seen[p])
        for _, entries in await self._client.execute_command(*read) or ():
            seen[p] = entries[-1][0]

    async def _behind(self, ends: Mapping[int, bytes]) -> dict[int, bytes]:
        """Those that the worker has not committed yet."""
        positions = await self._pipe([("GET", keys.position(p)) for p in ends])
        pairs = zip(ends.items(), positions, strict=True)
        return {p: end for (p, end), position in pairs if ids.parse(position or ids.START) < ids.parse(end)}

    async def _pipe(self, commands: Sequence[Sequence[bytes | str | int]]) -> list[Any]:
        if len(commands) == 1:
            return [await self._client.execute_command(*commands[0])]
        async with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute()
        return replies
