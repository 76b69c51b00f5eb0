"""A store at ``maxmemory``: the server refuses before Valkey does, worker and archiver drain it, and events are taken again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis
from deltalake import DeltaTable

from lambent import keys, tables
from lambent.events import encode_event
from realtime.archiver import Archiver
from realtime.partitions import Partitions
from realtime.room import FULL, NEAR
from realtime.status import read_status
from realtime.verdict import judge
from tests.chaos.outage import archived
from tests.chaos.rig import Rig, answered, events_of, make_rig, wait_until
from tests.http_server import serving
from tests.valkey import Valkey, free_port, start_valkey, stop_valkey

pytestmark = pytest.mark.integration
LIMIT_BYTES = 6 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Valkey]:
    """A server of its own, which a test may fill."""
    own = start_valkey(tmp_path, free_port(), "--save", "", "--maxmemory", str(LIMIT_BYTES))
    yield own
    stop_valkey(own)


@pytest.fixture
def rig(small: Valkey, tmp_path: Path) -> Rig:
    return make_rig(small, tmp_path, partitions=2, http_port=free_port())


def share(rig: Rig) -> float:
    return read_status(rig.store, 2).memory.share


def found(rig: Rig) -> dict[str, str]:
    return {one.name: one.status for one in judge(read_status(rig.store, 2), 10**9)}


def archiver(rig: Rig) -> Archiver:
    return Archiver(rig.store, rig.meta, rig.settings, name="archiver")


def fill(rig: Rig, small: Valkey) -> int:
    """As a producer who writes to the streams itself: until Valkey takes no more. How many events it took."""
    sent = 0
    while True:
        events = events_of(500, 100, start=sent)
        try:
            rig.feed_now(events)
        except redis.exceptions.OutOfMemoryError:
            return sent
        sent += 100


def test_the_server_answers_429_while_there_is_room_for_the_others_and_takes_events_again_once_they_have_drained_it(
    rig: Rig, small: Valkey
) -> None:
    sent, statuses = set[str](), set[int]()
    with serving(rig) as client:

        def post() -> httpx.Response:
            events = events_of(500, 500, start=len(sent))
            body = b"\n".join(encode_event(event) for event in events)
            answer = client.post("/v1/events?pseudonymous=true", content=body)
            statuses.add(answer.status_code)
            if answer.status_code == 202:
                sent.update(event.id for event in events)
            return answer

        while (answer := post()).status_code == 202:
            pass
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert "memory" in answer.json()["detail"]
        assert share(rig) < FULL
        own = archiver(rig)
        rig.drain()
        assert share(rig) < 1  # there was room for what the worker had to write
        own.round()
        assert share(rig) < NEAR
        wait_until(lambda: post().status_code == 202)
        rig.drain()
        own.round()
    assert statuses == {202, 429}
    rig.log = archived(rig)
    assert {event.id for event, _ in rig.log} == sent
    said = DeltaTable(rig.settings.table(tables.INTENTS)).to_pyarrow_table()["event_id"].to_pylist()
    assert sorted(said) == sorted(answered(rig.log))
    assert small.client.info("stats")["evicted_keys"] == 0


def test_a_store_that_others_have_filled_to_the_brim_is_worked_off_all_the_same(rig: Rig, small: Valkey) -> None:
    rig.feed_now(events_of(500, 200))
    first = archiver(rig)
    rig.drain()
    first.round()
    rig.log.clear()
    sent = fill(rig, small)
    assert share(rig) > 0.97
    assert {"memory": "problem"}.items() <= found(rig).items()
    partitions = Partitions(rig.store, 2, range(2), "worker")
    partitions.keep()  # a worker that starts now gets its leases
    assert len(partitions.held) == 2
    rig.drain()
    first.round()
    assert small.client.info("stats")["evicted_keys"] == 0
    assert share(rig) < FULL
    rig.feed_now(events_of(500, 200, start=sent))
    assert sum(rig.store.call("XLEN", keys.events(p)) for p in range(2)) < 210
