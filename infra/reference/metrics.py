"""The page of the metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric

from infra.reference.markdown import code, table
from realtime.archiver_metrics import ArchiverMetrics
from realtime.lag_metrics import LagCollector
from realtime.law import Report
from realtime.law_metrics import law_registry
from realtime.metrics import WorkerMetrics
from realtime.server_metrics import ServerMetrics


def registries() -> dict[str, CollectorRegistry]:
    """What each part exports, by the part's name."""
    worker, archiver = WorkerMetrics().registry, ArchiverMetrics().registry
    for who, registry in (("worker", worker), ("archiver", archiver)):
        LagCollector(registry, who, None, lambda: ())
    return {"worker": worker, "archiver": archiver, "server": ServerMetrics().registry, "law": law_registry(Report())}


def families(registry: CollectorRegistry) -> Iterator[tuple[Metric, tuple[str, ...]]]:
    """Each family of a registry, with its labels' names."""
    for collector in registry._collector_to_names:
        labels = tuple(getattr(collector, "_labelnames", ("partition",)))
        yield from ((family, labels) for family in collector.describe())  # type: ignore[attr-defined]


def exported_name(family: Metric) -> str:
    """Its name on the page ``/metrics``: a counter's ends in ``_total``."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def metrics_page() -> str:
    """Every metric."""
    where = {
        "worker": "Served at `metrics_port`, on loopback.",
        "archiver": "Served at `metrics_port`, on loopback.",
        "server": "Served at `/metrics` of the HTTP API.",
        "law": "Written by `lambent law --metrics FILE`, for the node exporter's textfile collector.",
    }
    parts = (
        f"\n## {part}\n\n{where[part]}\n\n"
        + table(
            ("metric", "type", "labels", "meaning"),
            (
                (code(exported_name(family)), family.type, ", ".join(map(code, labels)), family.documentation)
                for family, labels in families(registry)
            ),
        )
        for part, registry in registries().items()
    )
    return f"""# Metrics

In Prometheus's text format. Counters end in `_total`, and count since the part was started; durations are in seconds. No label holds a
user. [See how it runs](../how-to/see-how-it-runs.md) says which to look at.
{"".join(parts)}"""
