"""The client for threads."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

import redis

from lambent.client.lines import Lines
from lambent.client.reading import ASK, Reader, Reading, commands_of, found_by, partitions_of
from lambent.errors import StoreError

FAILURES = (redis.exceptions.RedisError, OSError, StoreError)
"""What a store that is gone, slow, or not Lambent's raises."""


class IntentClient(Reader):
    """Reads intents. Any number of threads may share one; it connects at the first read, and survives a fork.

    See ``Reader`` for the arguments.
    """

    def _open(self, url: str) -> None:
        self._lines = Lines(url, self._timeout_s)

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
            if not self._partitions:
                self._partitions = partitions_of(self._lines.ask([ASK], until_s)[0])
            plan = self._plan(users)
            replies = self._lines.ask(commands_of(plan), until_s) if plan else []
        except FAILURES as error:
            return self._unavailable(users, error)
        return self._readings(users, found_by(plan, replies))

    def close(self) -> None:
        """Close the connections."""
        self._lines.close()

    def __enter__(self) -> IntentClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
