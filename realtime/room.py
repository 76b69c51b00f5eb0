"""How full the store's memory is, and when it takes no more events.

The server refuses events (429) once these and the answers to all that wait would take nine tenths of ``maxmemory``. The last
tenth is for what else those write who drain the streams: workers records, the archiver how far it is. Their scripts are flagged
``allow-oom``, so that the store lets them write even beyond ``maxmemory``, which others who write to the streams may have filled:
a full store is always worked off, and nothing is evicted.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

import msgspec
import redis

NEAR, FULL = 0.75, 0.9
"""Shares of ``maxmemory`` from which on it is said that there is little left, and from which on no events are taken."""
ASK_S = 0.1
"""How often a server looks; what it has added since is counted."""
ASK_WAITING_S = 1.0
"""The same for what is waiting, which costs the store a few milliseconds …"""
IDLE = 0.2
"""… and is of no matter below this share: an entry is no more than four times as large once it is answered."""
ANSWER_BYTES = 400
"""What an entry leaves in the stream of intents until that is archived, about (``forecast``): room is kept for it. Records of
users who are new come out of the last tenth."""


class Memory(msgspec.Struct, frozen=True):
    """Of the store, in bytes: what counts against ``maxmemory``, that (0: none is set), and its machine's."""

    used_bytes: int
    limit_bytes: int
    machine_bytes: int

    @property
    def share(self) -> float:
        """How much of ``maxmemory`` is used; 0 where none is set."""
        return self.used_bytes / self.limit_bytes if self.limit_bytes else 0.0


def memory_of(info: Mapping[str, str]) -> Memory:
    """What ``INFO`` says: buffers for replicas and for the append-only file do not count."""
    uncounted = int(info.get("mem_not_counted_for_evict", 0))
    return Memory(
        max(int(info["used_memory"]) - uncounted, 0),
        int(info.get("maxmemory", 0)),
        int(info.get("total_system_memory", 0)),
    )


def fullest(memories: Iterable[Memory]) -> Memory:
    """Of a Cluster's nodes the one that has used the largest share of what it may."""
    return max(memories, key=lambda one: (one.share, one.used_bytes))


def parse_info(text: bytes) -> dict[str, str]:
    """``INFO``'s lines by name."""
    lines = text.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


class Room:
    """Whether a server may add events.

    Args:
        ask: asks every node of the store for ``INFO memory``.
        waiting: asks how many entries no worker has seen yet, at most.
    """

    def __init__(self, ask: Callable[[], Awaitable[list[bytes]]], waiting: Callable[[], Awaitable[int]]) -> None:
        self._ask, self._ask_waiting = ask, waiting
        self._memory, self._due_s, self._added_bytes = Memory(0, 0, 0), 0.0, 0
        self._waiting, self._waiting_due_s = 0, 0.0

    async def short(self) -> bool:
        """Whether the store has no room for more events and what will be made of those that wait. One that does not say
        (its ACL) has room until it refuses them."""
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + ASK_S
            await self._look(now_s)
        needed_bytes = self._memory.used_bytes + self._added_bytes + self._waiting * ANSWER_BYTES
        return bool(self._memory.limit_bytes) and needed_bytes >= FULL * self._memory.limit_bytes

    async def _look(self, now_s: float) -> None:
        try:
            self._memory, self._added_bytes = fullest(memory_of(parse_info(one)) for one in await self._ask()), 0
        except redis.exceptions.NoPermissionError:
            self._memory = Memory(0, 0, 0)
        if self._memory.share >= IDLE and now_s >= self._waiting_due_s:
            self._waiting_due_s = now_s + ASK_WAITING_S
            self._waiting = await self._ask_waiting()

    def add(self, events: int, size: int) -> None:
        """Count what was added since the last look, in bytes."""
        self._waiting += events
        self._added_bytes += size
