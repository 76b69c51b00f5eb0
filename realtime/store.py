"""The store as the realtime layer sees it: streams, positions, users' keys, and the commit of a batch."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import redis

from lambent import keys
from lambent.cluster import nodes_of
from lambent.control import ControlEntry, encode_control
from lambent.errors import FencedError, StoreError
from lambent.keys import SCHEMA
from lambent.routing import or_raise
from lambent.settings import Settings
from realtime import ids
from realtime.commit import SCRIPT, Commit, Dead
from realtime.connection import connect, in_words

SCANNED = 10_000
SHA = hashlib.sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()

Entry = tuple[bytes, bytes, bytes]
"""A stream entry: id, field (``e`` an event, ``c`` a control entry, ``m`` a marker), bytes."""


DeadEntry = tuple[bytes, Dead]
"""An entry of ``dead:{p}``: its own id, and what was given up."""
Made = TypeVar("Made")


@dataclasses.dataclass(frozen=True)
class Meta:
    """``lambent:meta``.

    Attributes:
        partitions: P, fixed when the store is made.
        tile_ms: tile width on the ingest clock, fixed too.
        floor_ms: tiles that start before it are in every snapshot that may be rolled back to.
        cutoff_ms: T of the newest publish; 0: none.
        schema: of what the store holds.
        published: every T that was published, in order.
        users_version: of the table ``users``, which the newest publish has seen; -1: none.
    """

    partitions: int
    tile_ms: int
    floor_ms: int = 0
    cutoff_ms: int = 0
    schema: int = SCHEMA
    published: tuple[int, ...] = ()
    users_version: int = -1


@dataclasses.dataclass(frozen=True)
class Standing:
    """Where a partition stands.

    Attributes:
        position: id of the last entry whose effects are in the store.
        control: what the control entries up to it have set, as JSON; empty: nothing.
        trimmed: id up to which the stream has been trimmed.
    """

    position: bytes
    control: bytes
    trimmed: bytes


# Say that a worker (ARGV[1]) is there for so many ms (0: it is gone), and forget those that are; who is there. Of scripts that
# may go beyond maxmemory: see ``room``.
_ANNOUNCE = b"""#!lua flags=allow-oom
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if ARGV[2] == '0' then redis.call('ZREM', KEYS[1], ARGV[1])
else redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1]) end
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""

_TAKE = b"""#!lua flags=allow-oom
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
"""

# Renew (ARGV[2] > 0) or give up (0) a lease that is still one's own.
_HOLD = b"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


class Store:
    """A connection to a store in Valkey or Redis: a ``stores.FullStore``. Its replies are bytes.

    Args:
        url: redis://, rediss:// or unix://; of a Cluster any node.
        client: what to send commands by; None connects to the URL.

    Every method raises redis-py's ``ConnectionError`` or ``TimeoutError`` when the store is gone
    (``connection.GONE``), or one of ``NO_WRITES`` where it takes none; nothing is sent twice behind the caller's back.
    """

    def __init__(self, url: str, client: Any = None) -> None:
        self.client = connect(url) if client is None else client

    def call(self, *command: bytes | str | int) -> Any:
        """Send one command; the server's reply as it is."""
        return self.client.execute_command(*command)

    def pipe(self, commands: Iterable[Sequence[bytes | str | int]]) -> list[Any]:
        """Send commands together; their replies in order, an error being a reply too."""
        pipeline = self.client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        replies: list[Any] = pipeline.execute(raise_on_error=False) if len(pipeline) else []
        return replies

    def pipe_or_raise(self, commands: Iterable[Sequence[bytes | str | int]]) -> list[Any]:
        """The same, raising the first error."""
        return or_raise(self.pipe(commands))

    def now_ms(self) -> int:
        """The server's clock, which stamps what it is given."""
        seconds, micros = self.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def nodes(self) -> list[Any]:
        """A client for the server, or for each node of a Cluster that has keys, for what has to be asked of each."""
        return nodes_of(self.client)

    def scan(self, pattern: str) -> Iterator[bytes]:
        """The keys that match, of all nodes. One may come twice, and one that comes or goes meanwhile may be missed."""
        for node in self.nodes():
            cursor: Any = b"0"
            while True:
                cursor, names = node.execute_command("SCAN", cursor, "MATCH", pattern, "COUNT", SCANNED)
                yield from names
                if cursor == b"0":
                    break

    # Meta

    def meta(self) -> Meta | None:
        """What ``lambent:meta`` says; None where no store has been made."""
        flat = self.call("HGETALL", keys.META)
        found = {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
        if "partitions" not in found:
            return None
        published = msgspec.json.decode(found.get("published", b"[]"), type=tuple[int, ...])
        numbers = {
            name: int(found.get(name, 0)) for name in ("partitions", "tile_ms", "floor_ms", "cutoff_ms", "schema")
        }
        return Meta(**numbers, published=published, users_version=int(found.get("users_version", -1)))

    def create_meta(self, partitions: int, tile_ms: int) -> None:
        """Make the store, unless it is made."""
        values = {"partitions": partitions, "tile_ms": tile_ms, "schema": SCHEMA, "floor_ms": 0}
        self.pipe_or_raise(("HSETNX", keys.META, name, value) for name, value in values.items())

    # The log

    def read(
        self,
        positions: Mapping[int, bytes],
        count: int,
        block_ms: int = 0,
        stream: Callable[[int], str] = keys.events,
    ) -> dict[int, list[Entry]]:
        """Entries of many partitions' streams after ``positions``, at most ``count`` of each.

        Waits up to ``block_ms`` for the first one; 0 does not wait.
        """
        return self._read(positions, count, block_ms, stream, entry)

    def read_dead(self, positions: Mapping[int, bytes], count: int) -> dict[int, list[DeadEntry]]:
        """The same of what workers gave up."""
        return self._read(positions, count, 0, keys.dead, dead_entry)

    def _read(
        self, positions: Mapping[int, bytes], count: int, block_ms: int, stream: Callable[[int], str],
        parse: Callable[[Any], Made],
    ) -> dict[int, list[Made]]:  # fmt: skip
        if not positions:
            return {}
        wait: list[bytes | str | int] = ["BLOCK", block_ms] if block_ms else []
        streams = [stream(p) for p in positions]
        reply = self.call("XREAD", "COUNT", count, *wait, "STREAMS", *streams, *positions.values())
        return {partition_of(key): [parse(one) for one in found] for key, found in reply or ()}

    def append(self, entries: Iterable[tuple[int, bytes, bytes]]) -> list[bytes]:
        """Add (partition, field, bytes) to the streams, in order; the ids that they got."""
        return self.pipe_or_raise(("XADD", keys.events(p), "*", field, data) for p, field, data in entries)

    def publish_control(self, control: ControlEntry, partitions: int) -> list[bytes]:
        """Put a control entry into every partition's log; the ids that it got."""
        data = encode_control(control)
        return self.append((p, b"c", data) for p in range(partitions))

    def last_ids(self, partitions: Sequence[int]) -> list[bytes]:
        """The id of each stream's last entry ever added; ``0-0`` where there is none."""
        replies = self.pipe(("XINFO", "STREAM", keys.events(p)) for p in partitions)
        return [ids.START if isinstance(r, Exception) else _pairs(r)[b"last-generated-id"] for r in replies]

    # The worker

    def standing(self, partitions: Sequence[int]) -> list[Standing]:
        """Where each partition stands."""
        commands = (("GET", key(p)) for p in partitions for key in (keys.position, keys.control, keys.trimmed))
        replies = self.pipe_or_raise(commands)
        triples = zip(replies[0::3], replies[1::3], replies[2::3], strict=True)
        return [
            Standing(position or ids.START, control or b"", trimmed or ids.START)
            for position, control, trimmed in triples
        ]

    def take(self, leases: Sequence[str], name: str, ttl_ms: int) -> list[bool]:
        """Take leases that are free, by their keys; true for each that is ``name``'s now."""
        return [bool(reply) for reply in self.pipe_or_raise(("EVAL", _TAKE, 1, key, name, ttl_ms) for key in leases)]

    def hold(self, leases: Sequence[str], name: str, ttl_ms: int) -> list[bool]:
        """Renew leases that are ``name``'s, or give them up (``ttl_ms`` 0); true for each that was."""
        return [bool(reply) for reply in self.pipe_or_raise(("EVAL", _HOLD, 1, key, name, ttl_ms) for key in leases)]

    def announce(self, worker: str, ttl_ms: int) -> list[bytes]:
        """Say that a worker is there, or gone (``ttl_ms`` 0); the members of ``lambent:workers`` that are there."""
        members: list[bytes] = self.call("EVAL", _ANNOUNCE, 1, keys.WORKERS, worker, ttl_ms)
        return members

    def holders(self, partitions: Iterable[int]) -> list[bytes | None]:
        """Who holds each partition's lease."""
        return self.pipe_or_raise(("GET", keys.lease(p)) for p in partitions)

    def positions(self, partitions: Iterable[int]) -> list[bytes]:
        """The position of each partition."""
        replies = self.pipe_or_raise(("GET", keys.position(p)) for p in partitions)
        return [reply or ids.START for reply in replies]

    def users(self, wanted: Mapping[int, Sequence[str]]) -> list[bytes | None]:
        """The profile and the live record of users by partition: two values a user, in the mapping's order."""
        commands = (
            ["MGET", *(key for user in users for key in (keys.profile(p, user), keys.live(p, user)))]
            for p, users in wanted.items()
        )
        return [value for reply in self.pipe_or_raise(commands) for value in reply]

    def shadows(self, wanted: Mapping[int, Sequence[str]]) -> list[bytes | None]:
        """See ``WorkerStore``."""
        commands = (["MGET", *(keys.shadow(p, user) for user in users)] for p, users in wanted.items())
        return [value for reply in self.pipe_or_raise(commands) for value in reply]

    def commit(self, commits: Sequence[Commit]) -> list[FencedError | None]:
        """Commit batches, each in one transaction; for each None, or why nothing of it was written."""
        replies = self.pipe(commit.command(SHA) for commit in commits)
        if any(map(_unknown, replies)):  # a server knows the script once it was sent
            rest = iter(self.pipe(_in_full(c) for c, r in zip(commits, replies, strict=True) if _unknown(r)))
            replies = [next(rest) if _unknown(reply) else reply for reply in replies]
        return [_outcome(commit, reply) for commit, reply in zip(commits, replies, strict=True)]


def _unknown(reply: Any) -> bool:
    return isinstance(reply, redis.exceptions.NoScriptError)


def _in_full(commit: Commit) -> list[bytes | str | int]:
    return ["EVAL", SCRIPT, *commit.command(SHA)[2:]]


def _outcome(commit: Commit, reply: Any) -> FencedError | None:
    if isinstance(reply, Exception):
        raise reply
    if reply == 1:
        return None
    return FencedError(
        f"Partition {commit.partition} stands at {reply.decode()}, not at {commit.start.decode()}: another worker moved it."
    )


def partition_of(key: bytes) -> int:
    """The partition that a key's hash tag names."""
    return int(key[key.index(b"{") + 1 : key.index(b"}")])


def entry(raw: Any) -> Entry:
    """One entry of a reply: its id and first field; an entry with no field is of no known kind."""
    entry_id, pairs = raw
    return (entry_id, pairs[0], pairs[1]) if pairs else (entry_id, b"", b"")


def dead_entry(raw: Any) -> DeadEntry:
    """One entry of a reply about ``dead:{p}``."""
    entry_id, flat = raw
    found = _pairs(flat)
    return entry_id, Dead(found[b"id"], found[b"reason"].decode(errors="replace"), found[b"bytes"])


def _pairs(flat: Sequence[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def open_store(settings: Settings, *, create: bool = True) -> tuple[Store, Meta]:
    """Connect, and check the store against the settings.

    Args:
        settings: name the URL, P and the tile width.
        create: make the store where there is none.

    Raises:
        StoreError: it cannot be reached, was not made, or was made by a newer version, with other partitions or another
            tile width.
    """
    with in_words():
        store = Store(settings.store_url.get_secret_value())
        meta = store.meta()
        if meta is None and create:
            store.create_meta(settings.partitions, settings.tile_ms)
            meta = store.meta()
    if meta is None:
        raise StoreError("There is no Lambent store at this URL.", "Start a worker or a server once: it makes one.")
    if meta.schema > SCHEMA:
        cause = f"The store has schema {meta.schema}; this version knows schemas up to {SCHEMA}."
        raise StoreError(cause, "Upgrade Lambent on this machine; nothing was changed.")
    for name in ("partitions", "tile_ms"):
        made, asked = getattr(meta, name), getattr(settings, name)
        if made != asked:
            setting = f"LAMBENT_{name.upper()}"
            remedy = f"Set it to {made}, or name another store."
            raise StoreError(f"The store was made with {name}={made}; {setting} is {asked}.", remedy)
    return store, meta
