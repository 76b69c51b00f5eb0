"""How far behind a worker or an archiver is, as Prometheus asks for it: also while its loop stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import redis
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily

from realtime.connection import GONE
from realtime.lag import look
from realtime.stores import FullStore


class LagCollector:
    """Looks at the store whenever the page is asked for, by a connection of its own.

    Args:
        registry: where it is registered.
        who: ``worker`` or ``archiver``.
        store: the store; None: nothing is known, as for the reference.
        partitions: those that are looked at; none while somebody else has them.
    """

    def __init__(
        self, registry: CollectorRegistry, who: str, store: FullStore | None, partitions: Callable[[], Iterable[int]]
    ) -> None:
        self._who, self._store, self._partitions = who, store, partitions
        registry.register(self)

    def describe(self) -> list[GaugeMetricFamily]:
        """The two families, without looking."""
        entries = "Entries of the log that were not seen yet, by partition; where many are waiting, at least so many."
        seconds = "How long the oldest entry that was not seen has waited, by partition."
        return [
            GaugeMetricFamily(f"lambent_{self._who}_lag_{unit}", text, labels=["partition"])
            for unit, text in (("entries", entries), ("seconds", seconds))
        ]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The two families; without samples where the store is away."""
        entries, seconds = self.describe()
        for p, n, waiting_ms in self._look():
            entries.add_metric([str(p)], n)
            seconds.add_metric([str(p)], waiting_ms / 1000)
        yield from (entries, seconds)

    def _look(self) -> Iterator[tuple[int, int, int]]:
        wanted = list(self._partitions())
        if self._store is None or not wanted:
            return
        try:
            places = look(self._store, wanted)
        except (*GONE, redis.exceptions.RedisError):  # the other metrics are worth a page
            return
        for place in places:
            behind = place.worker if self._who == "worker" else place.archive
            if behind is not None:
                yield place.partition, behind.entries, behind.waiting_ms
