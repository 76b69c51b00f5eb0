"""The client for threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import redis

from lambent.client.lines import Lines
from lambent.client.reading import ASK, Command, Reader, Reading, commands_of, found_by, partitions_of
from lambent.client.routed import checked, commands_for, note
from lambent.errors import StoreError
from lambent.routing import REDIRECTS, Queued, Sent
from lambent.slots import ASK_SLOTS, Address

FAILURES = (redis.exceptions.RedisError, OSError, StoreError)
"""What a store that is gone, slow, or not Lambent's raises."""


class IntentClient(Reader):
    """Reads intents. Any number of threads may share one; it connects at the first read, and survives a fork.

    See ``Reader`` for the arguments.
    """

    def _open(self, url: str) -> None:
        self._url = url
        self._lines = Lines(url, self._timeout_s)
        self._nodes: dict[Address, Lines] = {}

    def get(self, user_id: str) -> Reading:
        """What the visitor whose id in the shop is ``user_id`` is about to do.

        Raises:
            StoreError, DataError: the store cannot be read, or holds no intent there; only if strict.
        """
        return self.get_many([user_id])[0]

    def get_many(self, user_ids: Sequence[str]) -> list[Reading]:
        """The same for many visitors, in their order, by one round trip."""
        users = self._users(user_ids)
        until_s = time.monotonic() + self._timeout_s
        try:
            if self._must_meet:
                self._meet(until_s)
            plan = self._plan(users)
            replies = self._ask(commands_of(plan), until_s) if plan else []
        except FAILURES as error:
            return self._unavailable(users, error)
        return self._readings(users, found_by(plan, replies))

    def _meet(self, until_s: float) -> None:
        """Find out what the store is: one server or a Cluster, and P."""
        slots, about = self._first_that_answers((ASK_SLOTS, ASK), until_s)
        self._met(slots)
        (about,) = checked([about]) if self._router is None else self._ask([ASK], until_s)
        self._partitions = partitions_of(about)

    def _first_that_answers(self, commands: Sequence[Command], until_s: float) -> list[Any]:
        failed: Exception | None = None
        for lines in (self._lines, *self._nodes.values()):
            try:
                return lines.ask(commands, until_s)
            except FAILURES as error:
                failed = failed or error
        raise failed or StoreError("no node is known")

    def _ask(self, commands: Sequence[Command], until_s: float) -> list[Any]:
        """Replies in order; of a Cluster each from its node, all of which work at the same time."""
        if self._router is None:
            return checked(self._lines.ask(commands, until_s))
        queue: list[Queued] = [(command, {}) for command in commands]
        replies: list[Any] = [None] * len(queue)
        sent = self._router.plan(queue)
        for _ in range(REDIRECTS):
            self._exchange(queue, sent, replies, until_s)
            sent = self._router.again(queue, sent, replies)
            if not sent:
                break
        return checked(replies)

    def _exchange(self, queue: Sequence[Queued], sent: Sent, replies: list[Any], until_s: float) -> None:
        told: list[tuple[Lines, Any, list[tuple[int, bool]]]] = []
        try:
            for address, rows in sent.items():
                lines = self._nodes.setdefault(address, Lines(self._url, self._timeout_s, address))
                told.append((lines, lines.tell(commands_for(queue, rows), until_s), rows))
            while told:
                lines, line, rows = told.pop(0)
                note(replies, rows, lines.hear(line, len(commands_for(queue, rows)), until_s))
        finally:
            for lines, line, _ in told:
                lines.drop(line)

    def close(self) -> None:
        """Close the connections."""
        for lines in (self._lines, *self._nodes.values()):
            lines.close()

    def __enter__(self) -> IntentClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
