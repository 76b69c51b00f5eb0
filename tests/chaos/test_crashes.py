"""A crash at each call that worker and archiver make, to the store and to Delta tables, before it and after it, ten times each."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambent import keys
from realtime.archiver import Archiver
from realtime.store import Store
from realtime.verify.command import show, verify
from tests.chaos.conftest import Report
from tests.chaos.crashes import CrashError, FlakyStore, Fuse, fuse_tables
from tests.chaos.rig import FEATURES, Rig, events_of, make_rig
from tests.valkey import Valkey, server, valkey  # noqa: F401

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]
TIMES = 10
LEAST_POINTS = 20


def work(rig: Rig, store: Store) -> None:
    """Two turns of a worker that has just started."""
    rig.store.call("DEL", *(keys.lease(p) for p in range(rig.meta.partitions)))
    worker = rig.worker(store, name="worker", lease_ms=60_000)
    worker.turn(block_ms=0)
    rig.feed_now(events_of(5, 5, start=len(rig.log)))
    worker.turn(block_ms=0)


def archive(rig: Rig, store: Store) -> None:
    """Two rounds of an archiver that has just started."""
    rig.store.call("DEL", keys.ARCHIVER)
    archiver = Archiver(store, rig.meta, rig.settings, name="archiver")
    archiver.round()
    rig.feed_now(events_of(5, 5, start=len(rig.log)))
    archiver.round()


def crash_at_each_call(rig: Rig, fuse: Fuse, part: Callable[[Rig, Store], None]) -> Iterator[tuple[str, bool]]:
    """Crash a part at its first call, the next one at its second, and so on until one comes through; where they crashed."""
    for after in (False, True):
        for at in itertools.count(1):
            rig.feed_now(events_of(5, 5, start=len(rig.log)))
            fuse.at, fuse.after, fuse.calls = at, after, []
            try:
                part(rig, FlakyStore(rig.url, fuse))
                break
            except CrashError:
                yield f"{at}: {fuse.calls[-1]}", after
    fuse.at = 0


@pytest.mark.parametrize("part", [work, archive], ids=["worker", "archiver"])
def test_a_crash_at_any_call_repeats_and_loses_nothing(
    valkey: Valkey,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    report: Report,
    part: Callable[[Rig, Store], None],
) -> None:
    rig, fuse = make_rig(valkey, tmp_path, partitions=2), Fuse()
    fuse_tables(monkeypatch, fuse)
    crashed = Counter[tuple[str, bool]]()
    for _ in range(TIMES):
        crashed.update(crash_at_each_call(rig, fuse, part))
        work(rig, rig.store)
        archive(rig, rig.store)
    rig.drain()
    archive(rig, rig.store)
    rig.drain()
    points = sum(times >= TIMES - 1 for times in crashed.values())
    report.counted(f"crash points, {part.__name__}", points, "points", f">= {LEAST_POINTS}", f"{TIMES} times each")
    assert points >= LEAST_POINTS, crashed
    found = verify(rig.store, rig.meta, rig.settings, FEATURES)
    assert not found.differences, "\n".join(show(found))
    assert found.verified.tally.events == len(rig.log)
