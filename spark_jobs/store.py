"""The store as batch jobs see it: who it is, the profile keys in it, and what it says of them."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lambent import keys
from lambent.errors import StoreError
from lambent.records import VERSION
from lambent.settings import Settings

if TYPE_CHECKING:
    import redis
    from deltalake import DeltaTable

    from spark_jobs.builds import Built

ROLLBACKS = 3
"""How many of the last published cut-offs may be rolled back to; the worker keeps the tiles since the oldest."""
PUBLISHER_MS = 30_000
"""So long after its last batch a publish that was killed still counts as running."""
SCANNED = 10_000
_POLL_S = 0.1
ORIGIN = ("profiles_table", "features", "record_version")
"""Fields of ``lambent:meta``: the table that the profiles are from, what they are made for, and in which format."""


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[redis.Redis]:
    """A connection to the store.

    Raises:
        StoreError: it cannot be reached.
    """
    import redis

    from lambent.cluster import connect
    from lambent.refusal import refusal

    url = settings.store_url.get_secret_value()
    try:
        with contextlib.closing(connect(url, socket_timeout=30, socket_connect_timeout=5)) as store:
            yield store
    except (redis.ConnectionError, redis.exceptions.NoPermissionError) as error:
        raise refusal(error) from error


def meet_store(store: redis.Redis, settings: Settings, *, create: bool = True) -> int:
    """The store's number of partitions.

    Args:
        store: the store.
        settings: what it is, or is to be, made with.
        create: make it where there is none.

    Raises:
        StoreError: its tiles have another width than the cut-offs are aligned to.
    """
    asked = {"partitions": settings.partitions, "tile_ms": settings.tile_ms, "schema": 1}
    for name, value in asked.items() if create else ():
        store.hsetnx(keys.META, name, str(value))
    names = ("partitions", "tile_ms")
    partitions, tile_ms = (
        int(value or asked[name]) for name, value in zip(names, store.hmget(keys.META, *names), strict=True)
    )
    if tile_ms != settings.tile_ms:
        cause = f"The store was made with tile_ms={tile_ms}; LAMBENT_TILE_MS is {settings.tile_ms}."
        raise StoreError(cause, f"Set it to {tile_ms}, or name another store.")
    return partitions


# --- the profile keys --------------------------------------------------------------------------------------------------


def stored_profiles(store: redis.Redis, partitions: int, users: Sequence[str]) -> list[bytes | None]:
    """[n] what the users' profile keys hold."""
    places = keys.by_partition(users, partitions)
    pipeline = store.pipeline(transaction=False)
    for p, own in places.items():
        pipeline.mget([keys.profile(p, users[place]) for place in own])
    values: list[bytes | None] = [None] * len(users)
    for own, reply in zip(places.values(), pipeline.execute(), strict=True):
        for place, value in zip(own, reply, strict=True):
            values[place] = value
    return values


def write_profiles(store: redis.Redis, partitions: int, values: Mapping[str, bytes]) -> None:
    """Set the users' profile keys. Each is whole at any moment: a reader gets the old value or the new one."""
    users = list(values)
    pipeline = store.pipeline(transaction=False)
    for p, own in keys.by_partition(users, partitions).items():
        pipeline.mset({keys.profile(p, users[place]): values[users[place]] for place in own})
    pipeline.execute()


def keys_of(users: Iterable[str], partitions: int) -> set[str]:
    """The users' profile keys."""
    return {keys.profile(keys.partition(user, partitions), user) for user in users}


def is_bare(store: redis.Redis) -> bool:
    """Whether the store has no profile key."""
    return next(store.scan_iter(match=keys.profile_pattern(), count=SCANNED), None) is None


def profile_keys(store: redis.Redis, at_once: int) -> Iterator[dict[str, str]]:
    """User by profile key, of all profile keys of the store."""
    found = store.scan_iter(match=keys.profile_pattern(), count=SCANNED)
    while own := [key.decode() for key in itertools.islice(found, at_once)]:
        yield {key: key.rpartition(":")[2] for key in own}


def delete_keys(store: redis.Redis, names: Sequence[str]) -> None:
    """Delete keys of any partitions."""
    pipeline = store.pipeline(transaction=False)
    for name in names:
        pipeline.unlink(name)
    pipeline.execute()


# --- what it says of them ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Held:
    """What the store says of its profiles.

    Attributes:
        origin: the id of the table, the feature set and the format of what is published.
        version: of the table ``profiles`` that is published; -1: none.
        publishing: the version whose publish has begun and not ended; -1: none.
        published: the newest distinct cut-offs that were published, oldest first.
        floor_ms: tiles that start before it may be gone.
    """

    origin: tuple[str, ...]
    version: int
    publishing: int
    published: tuple[int, ...]
    floor_ms: int

    @classmethod
    def read(cls, store: redis.Redis) -> Held:
        """As the store says it now."""
        meta: dict[Any, Any] = store.hgetall(keys.META)
        said = {name.decode(): value.decode() for name, value in meta.items()}
        return cls(
            origin=tuple(said.get(name, "") for name in ORIGIN),
            version=int(said.get("profiles_version", -1)),
            publishing=int(said.get("publishing", -1)),
            published=tuple(json.loads(said.get("published", "[]"))),
            floor_ms=int(said.get("floor_ms", 0)),
        )

    def with_cutoff(self, cutoff_ms: int) -> tuple[int, ...]:
        """What is ``published`` once a snapshot with this cut-off is too."""
        return tuple(sorted({*self.published, cutoff_ms})[-ROLLBACKS:])


def origin_of(table: DeltaTable, built: Built) -> tuple[str, ...]:
    """The ``Held.origin`` of a build of a table."""
    return str(table.metadata().id), built.features, str(VERSION)


def begin(store: redis.Redis, version: int, *, goes_on: bool) -> None:
    """Say which version is being written.

    Args:
        store: the store.
        version: of the table ``profiles``.
        goes_on: only rows that changed since the version that is published; if not, what the store says of itself holds no
            more from now on, so that a publish that dies half-way is followed by one that looks at every key.
    """

    def say(pipeline: Any) -> None:
        pipeline.multi()
        pipeline.hset(keys.META, "publishing", str(version))
        if not goes_on:
            pipeline.hdel(keys.META, "profiles_version")

    store.transaction(say, keys.META)


def announce(store: redis.Redis, table: DeltaTable, built: Built) -> int:
    """Say that a build is published; returns the floor, before which no tile is needed.

    Raises:
        StoreError: the store was emptied while it was written.
    """

    def say(pipeline: Any) -> None:
        held = Held.read(pipeline)
        if held.publishing != built.version:
            raise StoreError("The store was emptied while it was published to.", "Run it again.")
        published = held.with_cutoff(built.snapshot.cutoff_ms)
        said = {
            **dict(zip(ORIGIN, origin_of(table, built), strict=True)),
            **dataclasses.asdict(built.snapshot),
            "profiles_version": built.version,
            "published": json.dumps(published),
            "floor_ms": published[0],
        }
        pipeline.multi()
        pipeline.hset(keys.META, mapping=said)
        pipeline.hdel(keys.META, "publishing")

    store.transaction(say, keys.META)
    return Held.read(store).floor_ms


@contextlib.contextmanager
def alone(store: redis.Redis) -> Iterator[Callable[[], None]]:
    """While it lasts nobody else publishes; what it gives says that this one is still at it, and is to be called often.

    Raises:
        StoreError: another publish is running, or has taken over.
    """
    own = secrets.token_hex(8).encode()
    end_s = time.monotonic() + PUBLISHER_MS / 1_000 + 1  # by then a publish that was killed counts no more
    while not store.set(keys.PUBLISHER, own, nx=True, px=PUBLISHER_MS):
        if time.monotonic() >= end_s:
            raise StoreError("Another publish is running.", "Run this one when that has ended.")
        time.sleep(_POLL_S)

    def stay() -> None:
        if store.get(keys.PUBLISHER) != own:
            raise StoreError("The store was emptied, or another publish has begun.", "Run it again.")
        store.pexpire(keys.PUBLISHER, PUBLISHER_MS)

    try:
        yield stay
    finally:
        if store.get(keys.PUBLISHER) == own:
            store.delete(keys.PUBLISHER)
