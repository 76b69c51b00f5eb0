"""What the typed client adds to reading one key."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import redis

from lambent import keys
from lambent.client import IntentClient
from lambent.events import Intent
from tests.benchmarks.report import Row
from tests.valkey import Valkey, free_port, start_valkey, stop_valkey

USER_KEY = bytes.fromhex("5a" * 32)
PARTITIONS = 64
USERS = 10_000
ROUNDS, READS = 40, 500
"""Rounds in which each side reads in turn, so that both see the same machine."""


def typed_client(folder: Path) -> Row:
    """One visitor by the typed client, and the same value by redis-py's GET, on a server of their own."""
    valkey = start_valkey(folder, free_port())
    try:
        return _compare(valkey)
    finally:
        stop_valkey(valkey)


def _compare(valkey: Valkey) -> Row:
    shoppers = [f"shopper-{n}" for n in range(USERS)]
    names = fill(valkey, shoppers)
    with IntentClient(valkey.url, USER_KEY, timeout_ms=1_000) as client, redis.Redis.from_url(valkey.url) as bare:
        if client.get(shoppers[0]).is_default:
            raise SystemExit(f"Nothing is read: {client.get(shoppers[0]).detail}")
        theirs, ours = in_turn((bare.get, names), (client.get, shoppers))
    return Row(
        "typed client, one user / GET by redis-py: p50", float(np.median(ours) / np.median(theirs)), "×", "<= 1.5",
        f"GET {np.median(theirs):.0f} µs, p99 {np.percentile(theirs, 99):.0f} µs",
        f"{np.median(ours):.0f} µs, p99 {np.percentile(ours, 99):.0f} µs; goal 1.1",
    )  # fmt: skip


def fill(valkey: Valkey, shoppers: Sequence[str]) -> list[str]:
    """Intents as a worker writes them; their keys."""
    valkey.client.hset(keys.META, "partitions", PARTITIONS)
    names = []
    for shopper in shoppers:
        user = keys.pseudonym(shopper, USER_KEY)
        intent = Intent(
            user=user, event_id=f"{len(names):024x}", event_ms=1_735_898_400_000, ingest_ms=1_735_898_400_140,
            probabilities={"browse": 0.61, "purchase": 0.23, "consult": 0.15, "review": 0.01}, model="1",
            cutoff_ms=1_735_894_800_000, actions=("recommend",), session_events=5,
        )  # fmt: skip
        names.append(keys.intent(keys.partition(user, PARTITIONS), user))
        valkey.client.set(names[-1], msgspec.json.encode(intent))
    return names


def in_turn(*sides: tuple[Callable[[str], object], Sequence[str]]) -> list[np.ndarray]:
    """Microseconds of each call of each side; every side is asked for other values from round to round."""
    found: list[list[float]] = [[] for _ in sides]
    for start in range(0, ROUNDS * READS, READS):
        for own, (read, asked) in zip(found, sides, strict=True):
            for n in range(start, start + READS):
                began_ns = time.perf_counter_ns()
                read(asked[n % len(asked)])
                own.append((time.perf_counter_ns() - began_ns) / 1_000)
    return [np.array(own) for own in found]
