"""What worker and archiver count, for Prometheus and for their report at the end."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter as Tally
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily

from lambent.errors import DataError

KEPT_LATENCIES = 100_000
UPPER_MS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 100, 200, 500, 1_000, 5_000)
_SECONDS = tuple(ms / 1000 for ms in UPPER_MS)


class ManyHistogram:
    """A histogram that counts many values at once: prometheus-client's own takes one, in 2 µs.

    Args:
        name, text: of the metric.
        bounds: the buckets' upper bounds.
        registry: where it is registered.
    """

    def __init__(self, name: str, text: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._text, self._bounds = name, text, np.array(bounds)
        self._counts, self._sum = np.zeros(len(bounds) + 1, np.int64), 0.0
        registry.register(self)

    def observe(self, values: NDArray[np.float64]) -> None:
        """Count values."""
        places = np.searchsorted(self._bounds, values)
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(values.sum())

    _labelnames = ()

    def describe(self) -> list[HistogramMetricFamily]:
        """The family without values, for the registry and the reference."""
        return [HistogramMetricFamily(self._name, self._text)]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family, for the registry."""
        names = [*map(str, self._bounds.tolist()), "+Inf"]
        buckets = list(zip(names, np.cumsum(self._counts).tolist(), strict=True))
        yield HistogramMetricFamily(self._name, self._text, buckets, self._sum)


class WorkerMetrics:
    """Counters of one worker. Latency is from the log's taking an event to its intent's being readable, in ms."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tally: Tally[str] = Tally()
        self.rejected_by: Tally[str] = Tally()
        self.latencies_ms: deque[float] = deque(maxlen=KEPT_LATENCIES)
        registry = self.registry
        self._events = Counter("lambent_worker_events", "Events applied.", registry=registry)
        self._rejected = Counter(
            "lambent_worker_rejected", "Entries that are no events.", ["reason"], registry=registry
        )
        self._duplicates = Counter("lambent_worker_duplicates", "Copies dropped.", registry=registry)
        self._late = Counter("lambent_worker_late", "Events that went to the profile only.", registry=registry)
        self._dead = Counter("lambent_worker_dead", "Entries given up.", registry=registry)
        self._unreadable = Counter(
            "lambent_worker_profiles_unreadable",
            "Users answered without their published profile, which this version cannot read, by batch.",
            registry=registry,
        )
        self._fenced = Counter(
            "lambent_worker_fenced", "Batches void because another worker was first.", registry=registry
        )
        self._missed = Counter(
            "lambent_worker_merge_misses",
            "Users answered without their published profile, which is newer than the event or older than a reset, by batch.",
            registry=registry,
        )
        self._restarted = Counter(
            "lambent_worker_sessions_restarted",
            "Sessions begun anew, since the model that they ran on is remembered no more.",
            registry=registry,
        )
        self._failures = Counter(
            "lambent_worker_model_failures", "Failures of models by kind.", ["kind"], registry=registry
        )
        self._failed: defaultdict[int, Tally[str]] = defaultdict(Tally)
        self._lock = threading.Lock()
        self._size = Histogram(
            "lambent_worker_batch_events",
            "Entries of a batch.",
            buckets=(1, 2, 4, 8, 16, 64, 256, 512, 2048),
            registry=registry,
        )
        self.step_s = Histogram(
            "lambent_worker_step_seconds", "Folding and predicting a batch.", buckets=_SECONDS, registry=registry
        )
        self.commit_s = Histogram(
            "lambent_worker_commit_seconds", "Committing a batch.", buckets=_SECONDS, registry=registry
        )
        self._latency = ManyHistogram(
            "lambent_worker_latency_seconds", "From the log to a readable intent.", _SECONDS, registry
        )
        self.cutoff_s = Gauge(
            "lambent_worker_profiles_cutoff_timestamp_seconds",
            "Cut-off of the newest publish, in seconds since 1970; 0: none, or of files alone.",
            registry=registry,
        )
        self.partitions = Gauge("lambent_worker_partitions", "Partitions held.", registry=registry)

    def committed(
        self,
        *,
        entries: int,
        applied: int,
        late: int,
        duplicates: int,
        dead: int,
        unreadable: int,
        missed: int,
        restarted: int = 0,
        rejected: Tally[str],
        answered_ms: list[int],
    ) -> None:
        """Count a batch that has just been committed; ``answered_ms`` are its intents' ingest times."""
        took_ms = time.time() * 1000 - np.array(answered_ms, np.float64)
        with self._lock:  # the lanes count at once
            self.tally.update(entries=entries, events=applied, late=late, duplicates=duplicates, dead=dead, batches=1)
            self.tally.update(unreadable_profiles=unreadable, merge_misses=missed, restarted=restarted)
            self.rejected_by.update(rejected)
            self.latencies_ms.extend(took_ms.tolist())
            self._latency.observe(took_ms / 1000)
        for counter, n in (
            (self._events, applied),
            (self._late, late),
            (self._duplicates, duplicates),
            (self._dead, dead),
            (self._unreadable, unreadable),
            (self._missed, missed),
            (self._restarted, restarted),
        ):
            counter.inc(n)
        for reason, n in rejected.items():
            self._rejected.labels(reason).inc(n)
        self._size.observe(entries)

    def fenced(self) -> None:
        """Count a batch that another worker made void."""
        self.tally["fenced"] += 1
        self._fenced.inc()

    def models(self, lane: int, failures: Tally[str]) -> None:
        """Count the failures of a lane's models; ``failures`` are all since the start."""
        for kind, n in (failures - self._failed[lane]).items():
            self._failures.labels(kind).inc(n)
        self._failed[lane] = Tally(failures)

    def report(self) -> dict[str, Any]:
        """What the worker did: counts, and exact percentiles over its last ``KEPT_LATENCIES`` answers."""
        latencies = np.array(self.latencies_ms or [0.0])
        p50, p99 = np.percentile(latencies, [50, 99]).round(3).tolist()
        edges = [0.0, *UPPER_MS, max(float(latencies.max()), UPPER_MS[-1]) + 1]
        counts = np.histogram(latencies, edges)[0].tolist() if self.latencies_ms else [0] * (len(edges) - 1)
        names = (
            "events",
            "duplicates",
            "late",
            "dead",
            "unreadable_profiles",
            "merge_misses",
            "restarted",
            "fenced",
            "batches",
        )
        return {
            **{name: self.tally[name] for name in names},
            "rejected": dict(self.rejected_by),
            "p50_ms": p50,
            "p99_ms": p99,
            "latencies_ms_histogram": [[upper, n] for upper, n in zip([*UPPER_MS, None], counts, strict=True)],
        }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON, whole or not at all.

    Raises:
        DataError: the file cannot be written.
    """
    draft = path.with_suffix(".draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(report, indent=2) + "\n")
        draft.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}).") from error
