"""How long it takes from an event to its intent, with the worker and the server as the processes that they are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil

from lambent.events import encode_event
from realtime.store import Store
from tests.benchmarks import load
from tests.benchmarks.explain_row import explained
from tests.benchmarks.histograms import Latencies
from tests.benchmarks.report import Row
from tests.benchmarks.shop import PARTITIONS, Shop
from tests.chaos.processes import Process, running

FAST, SLOW = ((50, 3.0, 1.5), (99, 12.0, 5.0)), ((99, 3.0, None),)
RATES = ((15_000, FAST), (8_000, FAST), (4_000, FAST), (2_000, FAST), (100, SLOW))
"""Events a second, and of each which percentile must be how many ms, and the goal. The bars of the first rate are those of the next
ones too: so the table says which rate two cores carry, generator and reader included."""
POSTS = 200
"""Requests a second."""
CLIENTS = 16
EXPLAINED_USERS, SEEN_EVENTS = 50, 20_000
"""Whose intents are explained: who acts most, once so many events were seen."""
START_S = 120.0
WARM_S = 2.0
"""Of the events at the start, which are not counted: the worker's caches are filled."""


def from_log_to_intent(shop: Shop, seconds: float) -> tuple[list[Row], list[Latencies]]:
    """Event due → intent readable."""
    rows, kept = [], []
    with running(shop.settings, "worker") as worker:
        _until_answered(shop)
        for rate, bars in RATES:
            latencies, said = _open_loop(shop, worker, rate, seconds)
            kept.append(latencies)
            for percentile, bar, goal in bars:
                note = f"p50 {latencies.ms(50):.2f}, p99.9 {latencies.ms(99.9):.1f} ms; {said}"
                rows.append(
                    Row(f"due → intent readable, {rate:,}/s: p{percentile}", latencies.ms(percentile), "ms", f"<= {bar:g}", "",
                        note + (f"; goal {goal}" if goal else ""))
                )  # fmt: skip
    return rows, kept


def _open_loop(shop: Shop, worker: Process, rate: int, seconds: float) -> tuple[Latencies, str]:
    count, first, url = int(rate * (seconds + WARM_S)), shop.sent, shop.valkey.url
    lines = Path(shop.settings.root) / "events"
    with lines.open("wb") as file:
        file.writelines(b"%d %s\n" % (p, encode_event(one)) for p, one in shop.events(count))
    sender = load.Process("events", url, names=str(lines), rate=rate, count=count)
    reader = load.Process("intents", url, partitions=PARTITIONS, first=first, count=count)
    processes = {"worker": worker.pid, "Valkey": shop.valkey.process.pid}
    _write_file_anew(shop)
    before = {name: _cpu_s(pid) for name, pid in processes.items()}
    reader.go()
    sender.go()
    sent, read = sender.end(), reader.end()
    used = {name: _cpu_s(pid) - before[name] for name, pid in processes.items()}
    used |= {"generator": sent.cpu_s, "reader": read.cpu_s}
    number, at_ns = np.array(read.times).T
    took_us = (at_ns - sent.start_ns - number * 1e9 / rate) / 1e3
    latencies = Latencies.of(f"due → intent readable, {rate}/s", took_us[number >= rate * WARM_S])
    cores = ", ".join(f"{name} {cpu_s / sent.seconds:.2f}" for name, cpu_s in used.items())
    said = f"{read.done:,} of {sent.done:,} answered; sent {sent.late_us / 1e3:.1f} ms late at most; cores: {cores}"
    return latencies, said


def _write_file_anew(shop: Shop) -> None:
    """What filling the store has added to its file is not this load's; Valkey writes it anew by itself at the next GiB."""
    client = shop.valkey.client
    client.bgrewriteaof()
    while client.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.1)


def _until_answered(shop: Shop, events: int = 4 * PARTITIONS) -> None:
    """Some events, and wait until the worker has seen them: it has started, and loaded its model."""
    shop.fill(events)
    store, every, end_s = Store(shop.valkey.url), range(PARTITIONS), time.monotonic() + START_S
    while store.positions(every) != store.last_ids(every):
        if time.monotonic() > end_s:
            raise SystemExit(f"The worker did not start; see {shop.settings.root / 'worker.log'}")
        time.sleep(0.1)


def over_http(shop: Shop, seconds: float) -> tuple[list[Row], list[Latencies]]:
    """``POST /v1/events?wait``, ``GET …/intent``, and the same with ``?explain=true``."""
    url = f"http://127.0.0.1:{shop.settings.http_port}"
    with running(shop.settings, "worker"), _served(shop, url):
        _until_answered(shop, SEEN_EVENTS)
        users = [f"shopper-{n}" for n in range(200)]
        options = {"clients": CLIENTS, "rate": POSTS, "users": users}
        _run(load.Process("post", url, seconds=WARM_S, first=shop.sent + (1 << 40), **options))
        posted = _run(load.Process("post", url, seconds=seconds, first=shop.sent + (1 << 41), **options))
        reads, empties = [], []
        paths = [f"/v1/users/{user}/intent" for user in users]
        for _ in range(3):
            reads.append(_rate(url, paths, seconds / 6))
            empties.append(_rate(url, ["/healthz"], seconds / 6))
        told, explaining = explained(url, shop.users[:EXPLAINED_USERS], seconds)
    latencies = Latencies.decode(f"POST ?wait, {POSTS}/s", posted.histogram)
    read, empty = float(np.median(reads)), float(np.median(empties))
    rows = [
        Row(f"POST /v1/events?wait, {CLIENTS} clients, {POSTS}/s: p99", latencies.ms(99), "ms", "<= 12", "",
            f"p50 {latencies.ms(50):.2f}, p99.9 {latencies.ms(99.9):.1f} ms; {posted.done:,} answered, "
            f"sent {posted.late_us / 1e3:.1f} ms late at most; goal 6"),
        Row("GET …/intent / the server's empty route: rate", read / empty, "×", ">= 0.4",
            f"{empty:,.0f}/s", f"{read:,.0f}/s, {CLIENTS} connections; goal 0.7"),
        told,
    ]  # fmt: skip
    return rows, [latencies, explaining]


def _rate(url: str, paths: list[str], seconds: float) -> float:
    took = _run(load.Process("get", url, paths=paths, clients=CLIENTS, seconds=seconds))
    return took.done / took.seconds


def _run(process: load.Process) -> load.Took:
    process.go()
    return process.end()


@contextlib.contextmanager
def _served(shop: Shop, url: str) -> Iterator[None]:
    with running(shop.settings, "server"):
        end_s = time.monotonic() + 20
        while time.monotonic() < end_s:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{url}/readyz")
                break
            time.sleep(0.1)
        yield


def _cpu_s(pid: int) -> float:
    """With that of children that have ended: Valkey writes its file anew in one."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)
