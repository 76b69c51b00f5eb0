"""How far worker and archive are behind the log: one look at each partition, for ``lambent status`` and for the metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from lambent import keys
from realtime import ids
from realtime.stores import FullStore

COUNTED = 100
"""Entries that are counted before or after a place, at most: a count holds up the store, so many for a few milliseconds."""

# One partition at one moment. A place's lag is what lies after it, or the stream's length less what lies before: whichever
# can be counted. The first entry after it says how long it has waited.
_LOOK = b"""
local function range(first, last) return redis.call('XRANGE', KEYS[1], first, last, 'COUNT', ARGV[2]) end
local length, most = redis.call('XLEN', KEYS[1]), tonumber(ARGV[2])
local function behind(at)
  local after = range('(' .. at, '+')
  if #after < most then return {#after, 1, after[1] and after[1][1] or ''} end
  local before = #range('-', at)
  if before < most then return {length - before, 1, after[1][1]} end
  return {most, 0, after[1][1]}
end
local added = 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  local said = redis.call('XINFO', 'STREAM', KEYS[1])
  for i = 1, #said, 2 do if said[i] == 'entries-added' then added = said[i + 1] end end
end
local position = redis.call('GET', KEYS[2]) or '0-0'
return {length, added, position, behind(position), ARGV[1] ~= '' and behind(ARGV[1]) or {}}
"""


class Behind(msgspec.Struct, frozen=True):
    """What somebody has not seen of a partition's log.

    Attributes:
        entries: how many.
        exact: whether that is all; false: there are more.
        waiting_ms: how long the oldest of them has waited, by the store's clock; 0: there is none.
    """

    entries: int
    exact: bool
    waiting_ms: int


class Place(msgspec.Struct, frozen=True):
    """Where a partition's log stands, and who has seen how much of it.

    Attributes:
        partition: p.
        entries: in the stream.
        added: that were ever added to it.
        worker: what the worker has not seen; None: the partition is being rebuilt.
        archive: what the archive has not seen; None: no archiver has said where it is.
    """

    partition: int
    entries: int
    added: int
    worker: Behind | None
    archive: Behind | None


def look(store: FullStore, partitions: Iterable[int]) -> list[Place]:
    """Look at partitions, in two round trips."""
    wanted = list(partitions)
    flat = store.call("HGETALL", keys.ARCHIVED)
    archived = dict(zip(map(int, flat[::2]), flat[1::2], strict=True))
    commands = (look_command(p, archived) for p in wanted)
    (seconds, micros), *replies = store.pipe_or_raise([("TIME",), *commands])
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    return [_place(p, reply, now_ms) for p, reply in zip(wanted, replies, strict=True)]


def look_command(p: int, archived: Mapping[int, bytes]) -> tuple[bytes | str | int, ...]:
    """What looks at a partition; its reply is for ``most_waiting``, or one of those from which ``look`` makes places."""
    return ("EVAL_RO", _LOOK, 2, keys.events(p), keys.position(p), archived.get(p, b""), COUNTED)


def most_waiting(reply: Any) -> int:
    """How many entries the worker has not seen, at most: all that there are, where it is far behind."""
    entries, _, _, (waiting, exact, _), _ = reply
    return int(waiting if exact else entries)


def _place(p: int, reply: Any, now_ms: int) -> Place:
    entries, added, position, worker, archive = reply
    return Place(p, entries, added, None if position == ids.HELD else _behind(worker, now_ms), _behind(archive, now_ms))


def _behind(reply: Any, now_ms: int) -> Behind | None:
    if not reply:
        return None
    entries, exact, oldest = reply
    return Behind(entries, bool(exact), max(now_ms - ids.ingest_ms(oldest), 0) if oldest else 0)
