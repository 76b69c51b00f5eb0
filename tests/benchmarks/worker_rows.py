"""What one worker does, what two do, and what it costs as users grow; each beside the floor or itself, in turn."""

from __future__ import annotations

import statistics

from tests.benchmarks.drainer import Drained, Process
from tests.benchmarks.report import Row
from tests.benchmarks.shop import PARTITIONS, Shop

EVERY = range(PARTITIONS)


def floor_and_growth(small: Shop, large: Shop | None, events: int, rounds: int) -> list[Row]:
    """One worker's rate over the floor's, and that with ten times the users over that.

    Args:
        small, large: the stores; None: growth is not measured.
        events: of a round.
        rounds: in which each side has its turn.
    """
    shops = [small, large] if large else [small]
    workers = [Process(shop.valkey.url, EVERY) for shop in shops]
    try:
        for shop, worker in zip(shops, workers, strict=True):
            shop.fill(events)
            worker.ask("drain")  # its caches and the compiled code are there from now on
        floors, found = [], [[] for _ in shops]
        for _ in range(rounds):
            for shop, worker, own in zip(shops, workers, found, strict=True):
                shop.fill(events)
                own.append(worker.ask("record"))
            floors.append(workers[0].ask("floor"))
    finally:
        for worker in workers:
            worker.close()
    rows = [_over_floor(found[0], floors)]
    return rows + ([_growth(found, shops)] if large else [])


def _over_floor(ours: list[Drained], floors: list[Drained]) -> Row:
    rate, floor = _rate(ours), _rate(floors)
    last = floors[-1]
    return Row(
        "one worker / the floor: events/s", rate / floor, "×", ">= 0.45",
        f"floor {floor:,.0f}/s, {last.cpu_us:.1f} µs of processor, {last.sent_bytes / last.events:.0f} bytes sent an event",
        f"{rate:,.0f}/s, {_median(one.cpu_us for one in ours):.1f} µs of processor an event; "
        f"{last.events * 3 / last.trips:.0f} events a batch; goal 0.75",
    )  # fmt: skip


def _growth(found: list[list[Drained]], shops: list[Shop]) -> Row:
    few, many = (_rate(own) for own in found)
    held = [own[-1].rss_bytes / 2**20 for own in found]
    return Row(
        f"{len(shops[1].users):,} users / {len(shops[0].users):,}: events/s", many / few, "×", ">= 0.85",
        f"{few:,.0f}/s; the worker holds {held[0]:.0f} MiB",
        f"{many:,.0f}/s; it holds {held[1]:.0f} MiB; goal 0.95",
    )  # fmt: skip


def two_workers(shop: Shop, events: int, rounds: int) -> Row:
    """Processor time an event of two workers on half of the partitions each, over that of one."""
    one: list[float] = []
    two: list[float] = []
    half = PARTITIONS // 2
    rate: list[float] = []
    for _ in range(rounds):
        one += [_together(shop, [EVERY], events)[0]]
        cpu_us, per_s = _together(shop, [range(half), range(half, PARTITIONS)], events)
        two.append(cpu_us)
        rate.append(per_s)
    return Row(
        "two workers / one: processor time an event", _median(two) / _median(one), "×", "<= 1.1",
        f"one {_median(one):.1f} µs", f"two {_median(two):.1f} µs, {_median(rate):,.0f} events/s; goal 1.02",
    )  # fmt: skip


def _together(shop: Shop, spans: list[range], events: int) -> tuple[float, float]:
    """Processor time an event in µs, and events a second, of workers at once."""
    workers = [Process(shop.valkey.url, span) for span in spans]
    try:
        shop.fill(events // 4)
        for worker in workers:
            worker.ask("drain")
        shop.fill(events)
        for worker in workers:
            worker.start("drain")
        found = [worker.answer() for worker in workers]
    finally:
        for worker in workers:
            worker.close()
    done = sum(one.events for one in found)
    return sum(one.cpu_s for one in found) / done * 1e6, done / max(one.seconds for one in found)


def _rate(found: list[Drained]) -> float:
    return _median(one.rate for one in found)


def _median(values: object) -> float:
    return float(statistics.median(values))  # type: ignore[call-overload]
