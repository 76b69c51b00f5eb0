"""What 202 means: how an event is kept before its producer hears of it.

The store answers ``XADD`` when the event is in its memory. ``WAITAOF`` and ``WAIT``, sent behind it on the same connection,
answer when it is on the store's disk, or in a replica's memory. What they cost and what each can lose stands in
``docs/explanation/what-202-means.md``.

Valkey up to 9.1 and some Redis 7.4 answer ``WAITAOF`` too early where they sync once a second
(https://github.com/redis/redis/pull/13793), so ``disk`` asks for ``appendfsync always``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import redis

from lambent.doctor import Finding, ok, problem
from lambent.errors import SettingsError
from lambent.settings import Settings
from realtime.connection import in_words
from realtime.node_checks import place_of
from realtime.store import Store

PLACES = {"memory": "in its memory", "disk": "on its disk", "replica": "in a replica's memory"}
"""By ``acknowledge``: where an event is when it is acknowledged."""


class NotKeptError(Exception):
    """Events were added to the log, and not all of them, or not in time, are kept as ``acknowledge`` asks."""


@dataclasses.dataclass(frozen=True)
class Promise:
    """What is waited for behind each append.

    Args:
        acknowledge: a key of ``PLACES``.
        wait_ms: how long.
    """

    acknowledge: str
    wait_ms: int

    @property
    def commands(self) -> list[tuple[str | int, ...]]:
        """What is sent behind the events; its reply begins with how many keep them."""
        known: dict[str, list[tuple[str | int, ...]]] = {
            "disk": [("WAITAOF", 1, 0, self.wait_ms)],
            "replica": [("WAIT", 1, self.wait_ms)],
        }
        return known.get(self.acknowledge, [])

    @property
    def wait_s(self) -> float:
        """How much longer than others an append may take."""
        return self.wait_ms / 1000 if self.commands else 0.0

    def check(self, replies: list[Any]) -> None:
        """Look at the replies to ``commands``.

        Raises:
            NotKeptError: the wait was over first.
        """
        for reply in replies:
            if isinstance(reply, Exception):
                raise NotKeptError(f"The store cannot say whether the events are {PLACES[self.acknowledge]} ({reply}).")
            if not (reply[0] if isinstance(reply, list) else reply):
                raise NotKeptError(
                    f"The store has the events in its memory, and did not say within {self.wait_ms} ms that they are "
                    f"{PLACES[self.acknowledge]}."
                )


def promise_of(settings: Settings) -> Promise:
    """The promise that the settings ask for."""
    return Promise(settings.acknowledge, settings.acknowledge_ms)


def refuse_promise(store: Store, settings: Settings) -> None:
    """Refuse a promise that this store can never keep.

    A replica that is away may come back, so its absence is told by ``lambent doctor`` and by each answer of 503 only.

    Raises:
        SettingsError: the store does not know what is on its disk, or does not sync before it answers.
        StoreError: it cannot be reached.
    """
    if settings.acknowledge != "disk":
        return
    with in_words():
        for node in store.nodes():
            _refuse_promise_of(node)


def _refuse_promise_of(node: Any) -> None:
    try:
        node.execute_command("WAITAOF", 1, 0, 1)
        _, policy = node.execute_command("CONFIG", "GET", "appendfsync")
    except redis.exceptions.ResponseError as error:
        raise SettingsError(
            f"LAMBENT_ACKNOWLEDGE is disk, and the store at {place_of(node)} cannot say what is on its disk ({error}).",
            "That takes Valkey, or Redis from 7.2 on, with appendonly yes, and a user that may ask for it (infra.acl --disk). "
            "Or set LAMBENT_ACKNOWLEDGE=memory.",
        ) from error
    if policy != b"always":
        raise SettingsError(
            f"LAMBENT_ACKNOWLEDGE is disk, and appendfsync of the store at {place_of(node)} is {policy.decode()}: "
            "it may lose what it acknowledged.",
            "Set it, and in the store's file too: CONFIG SET appendfsync always. Or set LAMBENT_ACKNOWLEDGE=memory.",
        )


def check_promise(store: Store, settings: Settings, replicas: int) -> Iterator[Finding]:
    """``lambent doctor``: whether the store can keep what 202 promises."""
    try:
        refuse_promise(store, settings)
    except SettingsError as error:
        yield problem("202", error.cause, error.remedy)
        return
    if settings.acknowledge == "replica" and not replicas:
        yield problem(
            "202", "LAMBENT_ACKNOWLEDGE is replica, and the store has none: every event is answered with 503",
            "Connect one (REPLICAOF on it), or set LAMBENT_ACKNOWLEDGE=memory.",
        )  # fmt: skip
        return
    yield ok("202", f"an event is acknowledged when the store has it {PLACES[settings.acknowledge]}")
