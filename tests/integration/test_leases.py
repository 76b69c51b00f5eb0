"""Workers share the partitions on a real Valkey: they join, leave and die, and within a few looks each has its share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from lambent import keys
from realtime.partitions import Partitions
from realtime.status import read_status
from realtime.store import Store
from tests.chaos.processes import running, spawn
from tests.chaos.rig import Rig, events_of, make_rig, wait_until
from tests.valkey import Valkey, server, valkey  # noqa: F401

pytestmark = pytest.mark.integration
P = 16
LONG_MS = 60_000


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path, partitions=P)


def partitions(rig: Rig, name: str, wanted: Sequence[int] = range(P), lease_ms: int = LONG_MS) -> Partitions:
    return Partitions(Store(rig.url), P, wanted, name, lease_ms)


def look(*all_of_them: Partitions) -> list[int]:
    """Each looks once, now; how many each holds."""
    for one in all_of_them:
        one._due_s = 0
        one.keep()
    return [len(one.held) for one in all_of_them]


def test_a_worker_alone_has_all_and_one_that_joins_has_half_after_each_has_looked(rig: Rig) -> None:
    first, second = partitions(rig, "first"), partitions(rig, "second")
    assert look(first) == [P]
    assert look(second) == [0]
    assert look(first, second) == [8, 8]
    before = dict(first.held)
    assert look(first, second, first, second) == [8, 8, 8, 8]
    assert all(first.held[p] is own for p, own in before.items())  # nobody gave up what was to stay


def test_two_that_join_at_once_have_a_third_each(rig: Rig) -> None:
    first, second, third = (partitions(rig, name) for name in ("first", "second", "third"))
    look(first)
    look(second, third)
    look(first, second, third)
    assert sorted(look(first, second, third)) == [5, 5, 6]
    assert not set(first.held) & set(second.held) | set(first.held) & set(third.held)


def test_one_that_leaves_gives_all_back_at_once(rig: Rig) -> None:
    first, second = partitions(rig, "first"), partitions(rig, "second")
    look(first, second, first, second)
    second.release()
    assert look(first) == [P]
    assert read_status(rig.store, P).workers == {"first": P}


def test_one_that_died_counts_as_long_as_its_leases_and_no_longer(rig: Rig) -> None:
    first, second = partitions(rig, "first"), partitions(rig, "second", lease_ms=200)
    look(first, second, first, second)
    assert look(first) == [8]
    wait_until(lambda: look(first) == [P])


def test_a_worker_for_some_partitions_alone_leaves_the_others_to_those_who_may(rig: Rig) -> None:
    first, few = partitions(rig, "first"), partitions(rig, "few", wanted=range(3))
    look(first, few, first, few)
    assert look(first, few) == [13, 3]
    second = partitions(rig, "second")
    look(second, first, few)
    assert sorted(look(second, first, few)) == [3, 6, 7]


def test_a_worker_of_before_that_says_nothing_of_itself_keeps_what_it_holds(rig: Rig) -> None:
    for p in range(6):
        rig.store.call("SET", keys.lease(p), "of-before", "PX", LONG_MS)
    first, second = partitions(rig, "first"), partitions(rig, "second")
    look(first, second, first)
    assert look(first, second) == [5, 5]


def test_a_partition_that_changes_hands_is_free_only_until_the_next_look_which_comes_soon(rig: Rig) -> None:
    first, second = partitions(rig, "first", lease_ms=3_000), partitions(rig, "second", lease_ms=3_000)
    look(first, second)
    second.keep()
    assert second._due_s - time.monotonic() < 0.2  # it lacks something
    look(first)
    look(second)
    assert second._due_s - time.monotonic() > 0.8


def test_status_names_workers_that_hold_nothing_yet(rig: Rig) -> None:
    first, second = partitions(rig, "first"), partitions(rig, "second")
    look(first, second)
    assert read_status(rig.store, P).workers == {"first": P, "second": 0}


def test_real_workers_share_go_on_and_lose_nothing_while_one_joins_is_killed_and_one_leaves(rig: Rig) -> None:
    def holds() -> list[int]:
        return sorted(read_status(rig.store, P).workers.values())

    sent = 0

    def feed() -> None:
        nonlocal sent
        rig.feed_now(events_of(40, 80, start=sent))
        sent += 80

    with running(rig.settings, "worker", "--lease-ms", "600"):
        wait_until(lambda: holds() == [P])
        feed()
        doomed = spawn(rig.settings, "worker", "--lease-ms", "600")
        with running(rig.settings, "worker", "--lease-ms", "600"):
            wait_until(lambda: holds() == [5, 5, 6])
            feed()
            doomed.kill()
            doomed.wait()
            feed()
            wait_until(lambda: holds() == [8, 8])
            feed()
        wait_until(lambda: holds() == [P])
        feed()
        wait_until(lambda: rig.store.positions(rig.last) == list(rig.last.values()))
    rig.check()
    assert Counter(event.id for event, _ in rig.log).most_common(1)[0][1] == 1
