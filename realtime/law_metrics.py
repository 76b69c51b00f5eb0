"""What a check of the law has found, as a file for Prometheus: a command that ends has no page that could be asked for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from lambent.errors import DataError

if TYPE_CHECKING:
    from realtime.law import Report


def law_registry(report: Report) -> CollectorRegistry:
    """The report's numbers, and when they were found."""
    registry = CollectorRegistry()
    for name, text, value in (
        ("users", "Users that the last check of the law compared.", report.users),
        ("differences", "Users of them whose live profile is not the fold of their events.", report.differences),
        ("timestamp_seconds", "When that was, in seconds since 1970.", time.time()),
    ):
        Gauge(f"lambent_law_{name}", text, registry=registry).set(value)
    return registry


def write_law_metrics(report: Report, path: Path) -> None:
    """Write the file, whole or not at all, for the node exporter's textfile collector.

    Raises:
        DataError: it cannot be written.
    """
    try:
        write_to_textfile(str(path), law_registry(report))
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}).") from error
