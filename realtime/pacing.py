"""When each item of a replay is due: at a rate, or as it happened."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from lambent.events import Event

if TYPE_CHECKING:
    from realtime.doors import Item

LOOK_S = 0.2
"""How long is slept at once: a progress bar moves on through a silence."""

Due = Callable[["Item"], float]
"""Seconds after the start at which an item is due; asked once for each item, in their order; never descends."""


def at_once(item: Item) -> float:
    """As fast as can be."""
    return 0.0


def at_rate(rate: float) -> Due:
    """``rate`` items a second."""
    numbers = itertools.count()
    return lambda item: next(numbers) / rate


class AsItHappened:
    """The gaps between events are those between their ``event_ms``, in the order of arrival.

    An event that is older than one before it waits for nothing, and neither does an item without a time.

    Args:
        speed: how many times as fast as it happened.
        max_gap_s: seconds that are waited between two events, at most; None: however long the log is silent.
    """

    def __init__(self, speed: float = 1.0, max_gap_s: float | None = None) -> None:
        self._speed, self._max_gap_s = speed, float("inf") if max_gap_s is None else max_gap_s
        self._log_ms: int | None = None
        self._due_s = 0.0

    def __call__(self, item: Item) -> float:
        """See ``Due``."""
        if isinstance(item, Event):
            before_ms = item.event_ms if self._log_ms is None else self._log_ms
            self._log_ms = max(item.event_ms, before_ms)
            self._due_s += min((self._log_ms - before_ms) / 1_000 / self._speed, self._max_gap_s)
        return self._due_s


def paced(
    items: Iterable[Item],
    due: Due,
    batch: int,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[list[Item]]:
    """Batches of items that are due; who falls behind catches up with full ones.

    Args:
        items: in the order in which they are sent.
        due: when each is.
        batch: items at once, at most.
        clock, sleep: seconds that pass, and how they are made to.
    """
    own: list[Item] = []
    start_s = clock()
    for item in items:
        due_s = start_s + due(item)
        if own and (len(own) == batch or due_s > clock()):
            yield own
            own = []
        while (wait_s := due_s - clock()) > 0:
            sleep(min(wait_s, LOOK_S))
        own.append(item)
    if own:
        yield own
