"""Traffic over HTTP while the store goes away and comes back: who sends it asks again until each event is taken."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
from deltalake import DeltaTable

from lambent import tables
from lambent.events import admit, encode_event
from tests.chaos.processes import Process, running
from tests.chaos.rig import FEATURES, Rig, events_of, in_background, wait_until
from tests.valkey import Valkey

BATCH = 20
DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")


@dataclasses.dataclass
class Traffic:
    """A producer.

    Attributes:
        rig: whose server it sends to.
        sent: ids of the events that were taken.
        statuses: how often the server answered what.
        without_retry_after: how many answers of 503 did not say when to ask again.
    """

    rig: Rig
    sent: set[str] = dataclasses.field(default_factory=set)
    statuses: Counter[int] = dataclasses.field(default_factory=Counter)
    without_retry_after: int = 0

    def run(self, stop: threading.Event) -> None:
        """Send until ``stop`` is set; a request that was not taken is sent again as it is."""
        url = f"http://127.0.0.1:{self.rig.settings.http_port}/v1/events?pseudonymous=true"
        with httpx.Client(timeout=30) as client:
            while not stop.is_set():
                events = events_of(9, BATCH, start=len(self.sent))
                body = b"\n".join(encode_event(event) for event in events)
                while not self._taken(client.post(url, content=body)):
                    time.sleep(0.1)
                self.sent |= {event.id for event in events}
                time.sleep(0.02)

    def _taken(self, answer: httpx.Response) -> bool:
        self.statuses[answer.status_code] += 1
        if answer.status_code == 503:
            self.without_retry_after += "retry-after" not in answer.headers
        return answer.status_code == 202

    def wait_for_more(self, batches: int = 3) -> None:
        """Wait until so many more requests were taken."""
        wanted = self.statuses[202] + batches
        wait_until(lambda: self.statuses[202] >= wanted, seconds=30)


@contextmanager
def flowing(rig: Rig) -> Iterator[Traffic]:
    """Traffic while the block runs."""
    traffic = Traffic(rig)
    end = in_background(traffic.run)
    try:
        yield traffic
    finally:
        end()


@contextmanager
def all_parts(rig: Rig) -> Iterator[list[Process]]:
    """Server, worker and archiver as processes."""
    with ExitStack() as stack:
        commands = (["server"], ["worker", "--lease-ms", "500"], ["archiver", "--interval-ms", "100"])
        processes = [stack.enter_context(running(rig.settings, *command)) for command in commands]
        wait_until(lambda: _ready(rig), seconds=30)
        yield processes


def _ready(rig: Rig) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{rig.settings.http_port}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def frozen(valkey: Valkey) -> Iterator[None]:
    """The server hangs: connections stand, and nobody answers."""
    valkey.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        valkey.process.send_signal(signal.SIGCONT)


@contextmanager
def refusing_writes(valkey: Valkey) -> Iterator[None]:
    """The server answers, and takes nothing."""
    valkey.client.config_set("min-replicas-to-write", 1)
    try:
        yield
    finally:
        valkey.client.config_set("min-replicas-to-write", 0)


def wait_until_settled(rig: Rig, sent: set[str]) -> None:
    """Wait until every event is answered and archived."""
    wait_until(lambda: {intent.event_id for intent in rig.said()} >= sent, seconds=60)
    wait_until(lambda: {event.id for event, _ in archived(rig)} >= sent, seconds=60)


def archived(rig: Rig) -> list[tuple]:  # type: ignore[type-arg]
    """The log as the table has it: events, in each partition's order, with their ingest times."""
    if not DeltaTable.is_deltatable(path := rig.settings.table(tables.LOG)):
        return []  # the archiver makes the folder before its first commit
    rows = DeltaTable(path).to_pyarrow_table().to_pylist()
    rows = sorted((row for row in rows if row["kind"] == "e"), key=lambda r: (r["partition"], r["ingest_ms"], r["seq"]))
    places = [(row["partition"], row["ingest_ms"], row["seq"]) for row in rows]
    assert len(set(places)) == len(places), "an entry is in the table twice"
    return [(admit(row["bytes"], FEATURES.taxonomy), row["ingest_ms"]) for row in rows]


def check_nothing_lost_or_doubled(rig: Rig, traffic: Traffic) -> None:
    """What was taken is in the table and in the profiles, once; nobody said 500."""
    rig.log = archived(rig)
    assert {event.id for event, _ in rig.log} == traffic.sent
    rig.check()
    assert set(traffic.statuses) <= {202, 503}
    assert not traffic.without_retry_after
