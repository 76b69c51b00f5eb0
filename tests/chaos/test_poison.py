"""One event in a hundred is poison: the others are worked off, and every one of these is counted and kept."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from lambent import keys, tables
from lambent.events import Event, encode_event
from realtime.archiver import Archiver
from realtime.dead import read_dead
from tests.chaos.conftest import Report
from tests.chaos.rig import Rig, events_of, make_rig
from tests.valkey import Valkey, server, valkey  # noqa: F401

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]
EVENTS, USERS, CHUNK = 1_000_000, 20_000, 20_000
EVERY = 400
"""Of each kind of poison one among so many: four kinds, one in a hundred."""


def poisoned(rig: Rig, event: Event, number: int) -> tuple[int, bytes]:
    """The partition and the bytes of an event, some of which are poison."""
    p, data = keys.partition(event.user, rig.meta.partitions), encode_event(event)
    match number % EVERY:
        case 0:
            return p, data[:-1]  # no JSON
        case 100:
            return p, data.replace(b'"view"', b'"hover"')
        case 200:
            return p, data.replace(b'"user":"', b'"user":"!')
        case 300:
            return (p + 1) % rig.meta.partitions, data  # a producer that counts partitions wrong
    return p, data


def test_one_in_a_hundred_among_a_million_is_counted_exactly(
    valkey: Valkey,  # noqa: F811
    tmp_path: Path,
    report: Report,
) -> None:
    rig = make_rig(valkey, tmp_path)
    worker, archiver = rig.worker(), Archiver(rig.store, rig.meta, rig.settings, name="archiver")
    for start in range(0, EVENTS, CHUNK):
        events = enumerate(events_of(USERS, CHUNK, start=start), start)
        rig.store.append((p, b"e", data) for p, data in (poisoned(rig, event, n) for n, event in events))
        rig.drain(worker)
        archiver.round()
    archiver.round()
    told, each = worker.metrics.report(), EVENTS // EVERY
    assert told["events"] == EVENTS - 4 * each
    assert told["rejected"] == {"malformed": each, "type": each, "user": each}
    assert told["dead"] == each
    log = DeltaTable(rig.settings.table(tables.LOG)).to_pyarrow_table(columns=["kind"])
    assert pc.sum(pc.equal(log["kind"], "e")).as_py() == EVENTS
    said = DeltaTable(rig.settings.table(tables.INTENTS)).to_pyarrow_table(columns=["event_id"])["event_id"]
    assert len(said) == pc.count_distinct(said).as_py() == EVENTS - 4 * each
    assert sum(map(len, read_dead(rig.settings, rig.store, rig.meta.partitions).values())) == each
    report.counted("poison among a million events", 4 * each, "events", ">= 10000", "each counted by its reason")
