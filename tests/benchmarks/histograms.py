"""Latencies as HdrHistograms: what was seen, whole, beside the table of a benchmark."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import msgspec
from hdrh.histogram import HdrHistogram

from tests.benchmarks.report import FOLDER

LEAST_US, MOST_US, DIGITS = 1, 60_000_000, 3
PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99, 100.0)


@dataclasses.dataclass
class Latencies:
    """One histogram, in µs.

    Args:
        name: of what.
        values_us: the latencies.
    """

    name: str
    histogram: HdrHistogram

    @classmethod
    def of(cls, name: str, values_us: Iterable[float]) -> Latencies:
        """From single values."""
        histogram = HdrHistogram(LEAST_US, MOST_US, DIGITS)
        for value_us in values_us:
            histogram.record_value(max(int(value_us), LEAST_US))
        return cls(name, histogram)

    @classmethod
    def decode(cls, name: str, encoded: str) -> Latencies:
        """From its bytes."""
        return cls(name, HdrHistogram.decode(encoded))

    def ms(self, percentile: float) -> float:
        """A percentile, ms."""
        return self.histogram.get_value_at_percentile(percentile) / 1e3


def keep(name: str, latencies: Iterable[Latencies]) -> None:
    """Write ``var/bench/NAME-latencies.json``: percentiles, and the histograms as any HdrHistogram reads them (V2, base64)."""
    found = {
        one.name: {
            "count": one.histogram.get_total_count(),
            "ms": {f"{p:g}": one.ms(p) for p in PERCENTILES},
            "hdr": one.histogram.encode().decode(),
        }
        for one in latencies
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}-latencies.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2))
