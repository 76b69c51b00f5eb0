"""The worker on a real Valkey: exactly once, whatever is killed when."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambent import keys
from lambent.errors import StoreError
from lambent.events import Event, encode_event
from realtime import process
from realtime.store import Store, open_store
from tests.chaos.crashes import CrashError, FlakyStore, Fuse
from tests.chaos.rig import TILE_MS, Rig, events_of, in_background, make_rig, wait_until
from tests.histories import START_MS, logs
from tests.stores import server, valkey  # noqa: F401
from tests.valkey import Valkey, flush

pytestmark = pytest.mark.integration
CHAOS = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path)


@given(log=logs(), data=st.data())
@CHAOS
def test_crashes_publishes_and_rollbacks_at_any_point_leave_the_oracles_profiles_and_one_intent_an_event(
    valkey: Valkey,  # noqa: F811
    log: list[tuple[Event, int]],
    data: st.DataObject,
) -> None:
    flush(valkey)
    rig = make_rig(valkey, Path(tempfile.gettempdir()), partitions=2)
    worker = rig.worker()
    while log:
        size = data.draw(st.integers(1, len(log)))
        rig.feed(log[:size])
        log = log[size:]
        if data.draw(st.booleans()):
            tile = data.draw(st.integers(-3, 0))
            rig.publish(max(START_MS, *rig.published[:1], rig.log[-1][1] // TILE_MS * TILE_MS + tile * TILE_MS))
        worker = rig.worker(FlakyStore(rig.url, Fuse(data.draw(st.integers(1, 12)), data.draw(st.booleans()))))
        try:
            for _ in range(data.draw(st.integers(0, 3))):
                worker.turn(block_ms=0)
        except CrashError:
            pass
    rig.drain()
    rig.check()


def test_two_workers_on_the_same_partitions_double_nothing(rig: Rig) -> None:
    workers = [rig.worker(Store(rig.url)) for _ in range(2)]
    ends = [in_background(worker.run) for worker in workers]
    for start in range(0, 600, 20):
        rig.feed_now(events_of(9, 20, start))
    wait_until(lambda: rig.store.positions(rig.last) == list(rig.last.values()))
    for end in ends:
        end()
    rig.check()


def test_the_fence_lets_one_worker_win_and_the_other_goes_on_from_its_position(rig: Rig) -> None:
    slow, quick = rig.worker(Store(rig.url)), rig.worker(Store(rig.url))
    rig.feed_now(events_of(5, 40))
    slow.turn(block_ms=0)
    rig.feed_now(events_of(5, 40, start=40))
    batch = slow._read(block_ms=0)
    outcome = slow._answer(batch)
    rig.drain(quick)
    slow._commit(batch, outcome)
    assert slow.metrics.tally["fenced"] == len(batch.slices)
    rig.drain(slow)
    rig.check()


def test_a_lost_reply_to_a_commit_is_settled_by_the_position(rig: Rig) -> None:
    class LostReply(Store):
        lost = False

        def commit(self, commits):  # type: ignore[no-untyped-def]
            reply = super().commit(commits)
            if not self.lost:
                self.lost = True
                raise ConnectionError
            return reply

    worker = rig.worker(LostReply(rig.url))
    rig.feed_now(events_of(5, 30))
    end = in_background(worker.run)
    wait_until(lambda: rig.store.positions(rig.last) == list(rig.last.values()))
    wait_until(lambda: worker.metrics.tally["batches"] > 0)  # the position moves before the worker knows that it did
    end()
    rig.check()
    assert worker.metrics.tally["events"] == 30


def test_the_worker_survives_a_store_that_forgets_its_scripts(rig: Rig) -> None:
    worker = rig.worker()
    for start in (0, 10):
        rig.feed_now(events_of(3, 10, start))
        rig.store.call("SCRIPT", "FLUSH")
        rig.drain(worker)
    rig.check()


def test_every_entry_is_applied_rejected_a_duplicate_or_dead(rig: Rig) -> None:
    events = events_of(4, 60)
    rig.feed_now([*events, *events[20:40]])
    broken = [b"{", b'{"user":"x"}', encode_event(events[0]).replace(b'"view"', b'"hover"')]
    rig.store.append((0, b"e", data) for data in broken)
    stray = next(one for one in events if keys.partition(one.user, rig.meta.partitions) != 1)
    rig.store.append([(1, b"e", encode_event(stray)), (1, b"m", b""), (2, b"?", b"")])
    report = rig.drain().metrics.report()
    assert report["events"] == 60
    assert report["duplicates"] == 20
    assert report["rejected"] == {"malformed": 1, "missing": 1, "type": 1, "kind": 1}
    assert report["dead"] == 1


def test_copies_within_a_long_session_are_dropped(rig: Rig) -> None:
    events = events_of(1, 300)
    rig.feed_now(events)
    rig.feed_now(events[:5])
    worker = rig.drain()
    assert worker.metrics.tally["duplicates"] == 5
    rig.check()


def test_an_event_that_cannot_be_folded_is_given_up_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    real = process.encode_events

    def poisoned(events, *rest):  # type: ignore[no-untyped-def]
        if any(event.product == "poison" for event in events):
            raise ValueError("poison")
        return real(events, *rest)

    monkeypatch.setattr(process, "encode_events", poisoned)
    events = events_of(4, 50)
    poison = Event(user=events[7].user, type="view", event_ms=events[7].event_ms, id="bad", product="poison")
    rig.feed_now([*events[:7], poison, *events[7:]])
    report = rig.drain().metrics.report()
    assert (report["events"], report["dead"]) == (50, 1)
    p = keys.partition(poison.user, rig.meta.partitions)
    ((_, pairs),) = rig.store.call("XRANGE", keys.dead(p), "-", "+")
    assert pairs[3] == b"ValueError: poison"
    assert pairs[5] == encode_event(poison)
    rig.log = [one for one in rig.log if one[0] is not poison]
    rig.check()


def test_a_worker_whose_stream_was_trimmed_beyond_its_position_stops_in_words(rig: Rig) -> None:
    rig.store.call("SET", keys.trimmed(2), "5-0")
    with pytest.raises(StoreError, match="Partition 2 stands at 0-0, but its stream was trimmed up to 5-0"):
        rig.worker().turn(block_ms=0)


def test_a_store_made_with_other_partitions_is_refused_in_words(rig: Rig) -> None:
    other = rig.settings.model_copy(update={"partitions": 5})
    with pytest.raises(StoreError, match="made with partitions=4; LAMBENT_PARTITIONS is 5"):
        open_store(other)


def test_a_lease_keeps_a_second_worker_away_until_the_first_one_leaves(rig: Rig) -> None:
    first, second = rig.worker(lease_ms=60_000), rig.worker(Store(rig.url), lease_ms=60_000)
    first.partitions.keep()
    second.partitions.keep()
    assert (len(first.partitions.held), len(second.partitions.held)) == (4, 0)
    stopped = threading.Event()
    stopped.set()
    first.run(stopped)
    second.partitions._due_s = 0
    second.partitions.keep()
    assert len(second.partitions.held) == 4
