"""What the server counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4"
_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5)


class ServerMetrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.accepted = Counter("lambent_collector_events", "Events added to the log.", registry=registry)
        self.rejected = Counter("lambent_collector_rejected", "Events refused.", ["reason"], registry=registry)
        self.full = Counter(
            "lambent_collector_full",
            "Requests refused since there is no room: in a partition's stream, or in the store's memory.",
            ["reason"],
            registry=registry,
        )
        self.requests = Counter("lambent_http_requests", "Responses by status.", ["status"], registry=registry)
        self.streams = Gauge("lambent_http_streams", "Streams that are open.", registry=registry)
        self.streams_ended = Counter("lambent_http_streams_ended", "Why streams ended.", ["reason"], registry=registry)
        self.seconds = Histogram(
            "lambent_collector_seconds", "Taking the events of a request.", buckets=_BUCKETS, registry=registry
        )

    def text(self) -> bytes:
        """The page ``/metrics``."""
        return generate_latest(self.registry)
