"""New intents for all who follow them: one reader of the partitions' streams for all of a server's followers.

The reader runs while somebody follows. It hands each batch to every follower's own buffer and waits for none: a buffer that
is full is let go of, and its follower told.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import msgspec

from lambent import keys
from lambent.events import UNDECODABLE
from realtime import ids
from realtime.connection import UNAVAILABLE, connect_async
from realtime.logs import fields, get_logger
from realtime.places import Ids
from realtime.store import entry, partition_of

BLOCK_MS = 1_000
ENTRIES = 16
"""Entries of each partition that one read brings at most; an entry holds the intents of a worker's batch."""
AGAIN_S = 0.5
"""How long a store that is gone is left alone."""
SLOW, STOPPING = "slow", "stopping"
"""Why a follower is sent away."""

log = get_logger("feed")


class FullError(Exception):
    """As many follow as may."""


class _Said(msgspec.Struct):
    """What of an intent a filter looks at."""

    probabilities: dict[str, float]
    ingest_ms: int


_decode_entry = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_said = msgspec.json.Decoder(_Said).decode


@dataclasses.dataclass(frozen=True)
class News:
    """One entry of a partition's stream.

    Attributes:
        partition: p.
        id: as ``ids.to_version`` has it.
        intents: for each its probabilities, when the log took its event, and its JSON.
    """

    partition: int
    id: int
    intents: list[tuple[dict[str, float], int, bytes]]


Wanted = Callable[[int, dict[str, float]], bool]
"""Whether a follower wants an intent, by its partition and probabilities."""


@dataclasses.dataclass
class Share:
    """What a follower gets of one read: ``entries`` (partition, id, the wanted intents), and where the reader was after it."""

    entries: list[tuple[int, int, list[tuple[int, bytes]]]]
    heads: dict[int, int]
    count: int = 0


class Follower:
    """One who follows: a bounded buffer that the reader fills.

    Args:
        wanted: what of it.
        most: intents that the buffer holds.
        start: where the reader was when it began to fill it.
    """

    def __init__(self, wanted: Wanted, most: int, start: Ids) -> None:
        self.wanted, self.start = wanted, start
        self.ended = ""
        self._most, self._held = most, 0
        self._shares: deque[Share] = deque()
        self._news = asyncio.Event()

    def push(self, news: Sequence[News]) -> None:
        """Add what is wanted of a read; never waits."""
        if self.ended:
            return
        share = self.share(news)
        if not share.count and self._shares:
            self._shares[-1].heads |= share.heads
        else:
            self._shares.append(share)
        self._held += share.count
        if self._held > self._most:
            self.end(SLOW)
        self._news.set()

    def share(self, news: Iterable[News]) -> Share:
        """What is wanted of some entries."""
        share = Share([], {})
        for one in news:
            share.heads[one.partition] = one.id
            wanted = [(ms, data) for said, ms, data in one.intents if self.wanted(one.partition, said)]
            if wanted:
                share.entries.append((one.partition, one.id, wanted))
                share.count += len(wanted)
        return share

    def end(self, reason: str) -> None:
        """No more comes; what was not fetched is dropped."""
        self.ended = self.ended or reason
        self._shares.clear()
        self._news.set()

    async def next(self, wait_s: float) -> Share | None:
        """The next share; None if it has ended, or nothing came in time."""
        if not self._shares and not self.ended:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
        if not self._shares:
            return None
        share = self._shares.popleft()
        self._held -= share.count
        return share


class Feed:
    """The reader.

    Args:
        url: of the store.
        partitions: P.
        most_followers: how many may follow at once.
        most_held: intents that a follower's buffer holds.
    """

    def __init__(self, url: str, partitions: int, most_followers: int, most_held: int) -> None:
        self._client = connect_async(url)
        self._partitions = partitions
        self._most_followers, self._most_held = most_followers, most_held
        self._at: Ids = []
        self._reader: asyncio.Task[None] | None = None
        self._entering = 0
        self._closed = False
        self.followers: set[Follower] = set()
        self.unreadable = 0

    @contextlib.asynccontextmanager
    async def follow(self, wanted: Wanted) -> AsyncIterator[Follower]:
        """Be one of the followers for a while.

        Raises:
            FullError: as many follow as may, or the server stops.
            One of ``UNAVAILABLE``: the store cannot be reached.
        """
        if self._closed or len(self.followers) + self._entering >= self._most_followers:
            raise FullError
        self._entering += 1
        try:
            ends = await self._ends() if self._reader is None else []
        finally:
            self._entering -= 1
        if self._reader is None:  # of several first followers one starts it
            self._at = ends
            self._reader = asyncio.create_task(self._read())
        follower = Follower(wanted, self._most_held, list(self._at))
        self.followers.add(follower)
        try:
            yield follower
        finally:
            self.followers.discard(follower)

    async def history(self, follower: Follower, at: Ids) -> AsyncIterator[Share]:
        """What came after ``at`` up to where the follower's buffer begins; whoever takes a share moves ``at``."""
        while behind := [p for p in range(self._partitions) if at[p] < follower.start[p] and not follower.ended]:
            # redis-py can swallow a cancellation, and the stream of a reader that has left would never end.
            news = await asyncio.shield(self._entries({p: at[p] for p in behind}))
            share = follower.share(news)
            yield share
            for p in behind:
                if p not in share.heads:  # what is missing has been trimmed meanwhile
                    at[p] = follower.start[p]

    async def close(self) -> None:
        """End all followers and the reader."""
        self._closed = True
        for follower in self.followers:
            follower.end(STOPPING)
        if self._reader is not None:
            await asyncio.wait([self._reader])
        await self._client.aclose()

    async def _read(self) -> None:
        try:
            while self.followers and not self._closed:
                try:
                    news = await self._entries(dict(enumerate(self._at)), BLOCK_MS)
                except UNAVAILABLE as error:
                    log.warning(fields("store-unavailable", reason=f"{type(error).__name__}: {error}"))
                    await asyncio.sleep(AGAIN_S)
                    continue
                for one in news:
                    self._at[one.partition] = one.id
                for follower in self.followers if news else ():
                    follower.push(news)
        except Exception as error:  # a mistake of ours must not leave followers who hear nothing
            log.error(fields("feed-failed", error=type(error).__name__), exc_info=error)
            for follower in self.followers:
                follower.end(STOPPING)
        finally:
            self._reader = None

    async def _ends(self) -> Ids:
        """Where each stream ends."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for p in range(self._partitions):
                pipeline.execute_command("XREVRANGE", keys.intents(p), "+", "-", "COUNT", 1)
            replies = await pipeline.execute()
        return [ids.to_version(reply[0][0]) if reply else 0 for reply in replies]

    async def _entries(self, after: dict[int, int], block_ms: int = 0) -> list[News]:
        wait: list[Any] = ["BLOCK", block_ms] if block_ms else []
        streams = [keys.intents(p) for p in after]
        places = [ids.from_version(one) for one in after.values()]
        reply = await self._client.execute_command("XREAD", "COUNT", ENTRIES, *wait, "STREAMS", *streams, *places)
        return [self._news(partition_of(key), *entry(raw)) for key, found in reply or () for raw in found]

    def _news(self, partition: int, entry_id: bytes, _: bytes, data: bytes) -> News:
        try:
            raw = [bytes(one) for one in _decode_entry(data)]
            said = [_decode_said(one) for one in raw]
        except UNDECODABLE as error:
            self.unreadable += 1
            log.error(fields("intents-not-readable", partition=partition, id=entry_id.decode(), reason=error))
            raw, said = [], []
        found = [(one.probabilities, one.ingest_ms, text) for one, text in zip(said, raw, strict=True)]
        return News(partition, ids.to_version(entry_id), found)
