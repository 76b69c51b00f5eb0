"""What the store says of the system that runs on it. Read in a few round trips, whatever the number of partitions; nothing is written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import redis

from lambent import keys
from realtime.gateway import SERVER
from realtime.lag import Place, look
from realtime.node_checks import described, read_infos
from realtime.predict import Control, read_control
from realtime.room import Memory, fullest, memory_of
from realtime.stores import FullStore


class Profiles(msgspec.Struct, frozen=True):
    """The published profiles.

    Attributes:
        version: of the table ``profiles``; -1: none is published.
        publishing: the version that is being written, or whose publish was stopped; -1: none.
        cutoff_ms: T of the snapshot; 0: of files alone, or none is published.
        age_ms: how long ago T is; 0 where there is none.
    """

    version: int
    publishing: int
    cutoff_ms: int
    age_ms: int


class Rates(msgspec.Struct, frozen=True):
    """Entries of the log a second, over a short sample; None where they could not be counted.

    Attributes:
        seconds: the sample's length.
        added: by servers and producers.
        worked, archived: seen by workers, by the archiver.
    """

    seconds: float
    added: float
    worked: float | None
    archived: float | None


class Status(msgspec.Struct, frozen=True):
    """One look.

    Attributes:
        store: the server's name and version.
        memory: the store's.
        workers: by name, how many partitions they hold; one that has just come may hold none yet.
        servers: those that have a connection to the store; None: the store does not say so to this user.
        archiver: who archives; empty: nobody.
        partitions: each partition's log.
        unheld: partitions that no worker holds.
        profiles: what is published.
        models: how many partitions have come to each model version; "none" before the first.
        catalogues: the same for catalogues, by day.
        dead: entries that workers gave up and that are not archived yet, or were in the last minutes.
        rates: None if no sample was asked for.
    """

    store: str
    memory: Memory
    workers: dict[str, int]
    servers: tuple[str, ...] | None
    archiver: str
    partitions: list[Place]
    unheld: tuple[int, ...]
    profiles: Profiles
    models: dict[str, int]
    catalogues: dict[str, int]
    dead: int
    rates: Rates | None


def read_status(
    store: FullStore, partitions: int, sample_s: float = 0, sleep: Callable[[float], None] = time.sleep
) -> Status:
    """Look once; and once more after ``sample_s`` for the rates, if that is not 0."""
    infos = read_infos(store)
    clients = [_or_error(node, "CLIENT", "LIST") for node in store.nodes()]
    archiver, said, now, there = store.pipe_or_raise(
        [
            ("GET", keys.ARCHIVER),
            ("HGETALL", keys.META),
            ("TIME",),
            ("ZRANGE", keys.WORKERS, 0, -1, "WITHSCORES"),
        ]
    )
    every = range(partitions)
    commands = ((read, key(p)) for p in every for read, key in _OF_PARTITION)
    replies = store.pipe_or_raise(commands)
    leases, controls, dead = (replies[i :: len(_OF_PARTITION)] for i in range(len(_OF_PARTITION)))
    in_force = [read_control(control) for control in controls]
    started_s, places = time.monotonic(), look(store, every)
    rates = None
    if sample_s:
        sleep(sample_s)
        rates = _rates(places, places := look(store, every), time.monotonic() - started_s)
    return Status(
        store=described(infos),
        memory=fullest(map(memory_of, infos)),
        workers=_workers(there, int(now[0]) * 1000, leases),
        servers=_servers(clients),
        archiver=(archiver or b"").decode(),
        partitions=places,
        unheld=tuple(p for p, lease in zip(every, leases, strict=True) if not lease),
        profiles=_profiles(dict(zip(said[::2], said[1::2], strict=True)), int(time.time() * 1000)),
        models=dict(Counter(map(_model, in_force))),
        catalogues=dict(Counter(one.catalogue.day if one.catalogue else "none" for one in in_force)),
        dead=sum(dead),
        rates=rates,
    )


def _model(control: Control) -> str:
    """What sessions that begin run on."""
    champion, rollout = str(control.newest or "none"), control.rollout
    if rollout is None or rollout.model is None:
        return champion
    what = "shadow" if rollout.shadow else "challenger"
    return f"{champion} and {what} {rollout.model.version} for {rollout.share:.0%} of the users"


_OF_PARTITION: tuple[tuple[str, Callable[[int], str]], ...] = (
    ("GET", keys.lease),
    ("GET", keys.control),
    ("XLEN", keys.dead),
)


def _workers(there: Sequence[bytes], now_ms: int, leases: Sequence[bytes | None]) -> dict[str, int]:
    members = zip(there[::2], there[1::2], strict=True)
    names = [member.decode().partition(" ")[0] for member, gone_ms in members if float(gone_ms) > now_ms]
    return {**dict.fromkeys(names, 0), **Counter(lease.decode() for lease in leases if lease)}


def _or_error(node: Any, *command: str) -> Any:
    try:
        return node.execute_command(*command)
    except redis.exceptions.ResponseError as error:
        return error


def _servers(clients: Sequence[Any]) -> tuple[str, ...] | None:
    if any(isinstance(one, Exception) for one in clients):
        return None
    words = (part for one in clients for part in one.decode().split() if part.startswith(f"name={SERVER}"))
    return tuple(sorted({part.removeprefix(f"name={SERVER}") for part in words}))


def _profiles(said: Mapping[bytes, bytes], now_ms: int) -> Profiles:
    version, publishing = (int(said.get(name, -1)) for name in (b"profiles_version", b"publishing"))
    cutoff_ms = int(said.get(b"cutoff_ms", 0))
    return Profiles(version, publishing, cutoff_ms, max(now_ms - cutoff_ms, 0) if cutoff_ms else 0)


def _rates(before: Sequence[Place], after: Sequence[Place], seconds: float) -> Rates:
    added = sum(place.added for place in after) - sum(place.added for place in before)

    def seen(who: str) -> float | None:
        """What was behind before and what was added, less what is behind now."""
        behind = [getattr(place, who) for place in (*before, *after)]
        if not all(one and one.exact for one in behind):
            return None
        entries = [one.entries for one in behind]
        return (sum(entries[: len(before)]) + added - sum(entries[len(before) :])) / seconds

    return Rates(seconds, added / seconds, seen("worker"), seen("archive"))
