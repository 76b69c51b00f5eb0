"""Both typed clients for tests, and what they find: ``client_of`` is a fixture of every integration test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from lambent import keys
from lambent.client import AsyncIntentClient, IntentClient, Reading, Reason
from lambent.events import Intent
from tests.valkey import Valkey

KEY = bytes(range(32))
PARTITIONS = 64
SHOPPERS = [f"shopper-{n}" for n in range(1_000)]
DEFAULT = {"browse": 0.9, "purchase": 0.1}
PATIENT_MS = 10_000  # where something is there to be read, a busy machine may take its time


class Awaited:
    """The asynchronous client with the synchronous one's surface, so that every test tries both."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncIntentClient(*arguments, **options)
        self.tally = self._client.tally

    def get(self, user_id: str) -> Reading:
        return self._runner.run(self._client.get(user_id))

    def get_many(self, user_ids: list[str]) -> list[Reading]:
        return self._runner.run(self._client.get_many(user_ids))

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


Make = Callable[..., Any]


@pytest.fixture(params=[IntentClient, Awaited], ids=["sync", "async"])
def client_of(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a client, closed after the test."""
    made: list[Any] = []

    def one(url: str, key: bytes = KEY, **options: Any) -> Any:
        made.append(request.param(url, key, **{"timeout_ms": PATIENT_MS, "default": DEFAULT, **options}))
        return made[-1]

    yield one
    for client in made:
        client.close()


def user_of(shopper: str) -> str:
    return keys.pseudonym(shopper, KEY)


def key_of(shopper: str, partitions: int = PARTITIONS) -> str:
    return keys.intent(keys.partition(user_of(shopper), partitions), user_of(shopper))


def an_intent(shopper: str, age_ms: int = 0) -> bytes:
    now_ms = time.time_ns() // 1_000_000
    return msgspec.json.encode(
        Intent(
            user=user_of(shopper), event_id="e", event_ms=now_ms - age_ms, ingest_ms=now_ms - age_ms,
            probabilities={"browse": 0.25, "purchase": 0.75}, model="1", actions=("recommend",),
        )
    )  # fmt: skip


def fill(valkey: Valkey) -> None:
    valkey.client.hset(keys.META, mapping={"partitions": PARTITIONS, "schema": keys.SCHEMA})
    valkey.client.set(key_of("anna"), an_intent("anna"))


def warm(client: Any) -> None:
    """Read until the store is there."""
    while client.get("anna").reason != Reason.READ:
        time.sleep(0.01)
