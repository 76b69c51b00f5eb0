"""How much an API key may ask for in a second: a token bucket each.

A request passes while a token is left, and takes one. What it turns out to cost besides is taken too, below zero if need be,
and paid back before the next one passes. So the rate holds, and nobody has to know a request's cost before reading it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

BURST_S = 2.0
"""A key that was silent may ask for what it could have had in so many seconds."""


class Rates:
    """The buckets of all keys.

    Args:
        per_s: tokens a second and key; 0: no limit.
        clock_s: a monotonic clock.
    """

    def __init__(self, per_s: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._per_s, self._clock_s = per_s, clock_s
        self._most = max(per_s * BURST_S, 1.0)
        self._buckets: dict[str, tuple[float, float]] = {}

    def enter(self, key_id: str) -> float:
        """Take one token: 0, or the seconds until there will be one."""
        if not self._per_s:
            return 0.0
        tokens = self._tokens(key_id)
        if tokens < 1:
            return (1 - tokens) / self._per_s
        self._set(key_id, tokens - 1)
        return 0.0

    def charge(self, key_id: str, cost: int) -> None:
        """Take what a request that has entered costs besides its first token."""
        if self._per_s and cost > 1:
            self._set(key_id, self._tokens(key_id) - (cost - 1))

    def _tokens(self, key_id: str) -> float:
        now_s = self._clock_s()
        tokens, then_s = self._buckets.get(key_id, (self._most, now_s))
        return min(tokens + (now_s - then_s) * self._per_s, self._most)

    def _set(self, key_id: str, tokens: float) -> None:
        self._buckets[key_id] = tokens, self._clock_s()
