"""The law on real shops' logs: the second half is replayed live over a published history of the first, batch builds and publishes
in its midst, and then the store is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from lambent.events import Event
from lambent.features import FeatureSet
from lambent.mapping import load_mapping, read_events
from lambent.settings import Settings
from realtime.archiver import Archiver
from realtime.doors import StreamDoor
from realtime.law import Report, check_law
from realtime.pacing import at_rate, paced
from realtime.rebuild import rebuild
from realtime.store import Store, open_store
from realtime.worker import Worker
from spark_jobs import ingest, profiles, publish
from tests.chaos.rig import in_background, wait_until
from tests.spark import shared_file
from tests.valkey import Valkey, flush, server, valkey  # noqa: F401

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.law, pytest.mark.spark, pytest.mark.long]

LOGS = {
    "rees46": ("rees46-2019-oct-slice/2019-Oct.csv.gz", 4_504),
    "taobao": ("taobao-983-users/UserBehavior.csv.gz", 983),
}
LIVE_S = 30
HELD_BACK = 0.1
BATCH = 500


def events_of_file(settings: Settings, mapping: str) -> list[Event]:
    rows = read_events(
        shared_file(LOGS[mapping][0]), load_mapping(mapping), settings.load_taxonomy(), settings.user_key_bytes()
    )
    return sorted((row.event for row in rows if row.event), key=lambda event: event.event_ms)


@contextmanager
def parts(settings: Settings) -> Iterator[Worker]:
    """A worker and an archiver; at the end they have seen all."""
    store, meta = open_store(settings)
    worker = Worker(store, meta, FeatureSet(settings.load_taxonomy()), lease_ms=1_000)
    ends = [in_background(worker.run), in_background(Archiver(Store(url(settings)), meta, settings, 200).run)]
    try:
        yield worker
    finally:
        for end in ends:
            end()


def url(settings: Settings) -> str:
    return settings.store_url.get_secret_value()


def refresh(settings: Settings) -> int:
    """What the DAG of the profiles does; the published cut-off."""
    ingest.ingest_log(settings)
    profiles.build(settings)
    publish.publish(settings)
    return open_store(settings)[1].cutoff_ms


def law(settings: Settings, wait_s: float = 0) -> Report:
    store, meta = open_store(settings)
    return check_law(store, meta, settings, FeatureSet(settings.load_taxonomy()), wait_s)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mapping", LOGS)
def test_it_holds_for_every_user_with_batch_built_in_its_midst_and_again_after_a_rebuild_of_the_lost_store(
    spark: SparkSession,
    settings: Settings,
    valkey: Valkey,  # noqa: F811
    mapping: str,
) -> None:
    settings = settings.model_copy(update={"store_url": SecretStr(valkey.url)})
    events = events_of_file(settings, mapping)
    half_ms = events[len(events) // 2].event_ms
    ingest.ingest_files(settings, [shared_file(LOGS[mapping][0])], mapping, half_ms)
    profiles.build(settings)
    publish.publish(settings)
    live = [event for event in events if event.event_ms >= half_ms]
    sent, rest = [0], threading.Event()

    def send(_: object) -> None:
        """The last share waits until batch has built, so that every cut-off has live events on both sides."""
        store, meta = open_store(settings)
        door = StreamDoor(store, meta.partitions, settings.stream_max_events)
        held = int(len(live) * (1 - HELD_BACK))
        for own, rate in ((live[:held], held / LIVE_S), (live[held:], len(live))):
            for batch in paced(own, at_rate(rate), BATCH):
                door.send(batch)
                sent.append(len(batch))
            rest.wait()

    with parts(settings) as worker:
        end = in_background(send)
        wait_until(lambda: sum(sent) > len(live) // 4, seconds=120)
        cutoffs_ms = {refresh(settings), refresh(settings)}
        rest.set()
        wait_until(lambda: sum(sent) == len(live), seconds=120)
        end()
        found = law(settings, wait_s=60)
        assert worker.metrics.tally["dead"] == 0
    assert len(cutoffs_ms - {0}) == 2
    assert (found.users, found.differences) == (LOGS[mapping][1], 0), found
    assert found.crossing > 100

    flush(valkey)  # the store is lost
    store, meta = open_store(settings)
    publish.publish(settings, full=True)
    report = rebuild(store, open_store(settings)[1], settings, FeatureSet(settings.load_taxonomy()))
    assert (report.partitions, report.lost) == (meta.partitions, 0)
    again = law(settings)
    assert (again.users, again.events, again.differences) == (found.users, found.events, 0), again
