"""A worker as a process of its own that works when it is told to, and says what it used.

Lines on its input are commands, each answered by one line of JSON (``Drained``):

    drain   work until nothing is left
    record  the same, keeping every command and in which round trips they went
    floor   send what was recorded again, byte for byte, and do nothing else
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from lambent import keys
from lambent.features import shop_features
from realtime.lanes import undisturbed
from realtime.store import Store
from realtime.worker import Worker
from tests.benchmarks.wire import Command, Wire

MOST_CROSSED = 3
"""Of all partitions, those that the two lanes of a floor may finish in another order than the worker did."""


class Drained(msgspec.Struct):
    """What a command took.

    Attributes:
        events: entries that were worked through.
        seconds: on the clock, and cpu_s of this process.
        rss_bytes: held at the end.
        trips: round trips; of the floor only.
        sent_bytes: of commands; of the floor only.
    """

    events: int
    seconds: float
    cpu_s: float
    rss_bytes: int
    trips: int = 0
    sent_bytes: int = 0

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time an event, microseconds."""
        return self.cpu_s / self.events * 1e6


class RecordingStore(Store):
    """A store that can keep what is sent to it, as round trips."""

    trips: list[list[Command]] | None = None

    def call(self, *command: Any) -> Any:
        if self.trips is not None:
            self.trips.append([command])
        return super().call(*command)

    def pipe(self, commands: Any) -> list[Any]:
        own = list(commands)
        if self.trips is not None and own:
            self.trips.append(own)
        return super().pipe(own)


class Process:
    """The worker's process, from outside.

    Args:
        url: of the store.
        partitions: that it takes.
    """

    def __init__(self, url: str, partitions: Sequence[int]) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.drainer", url, f"{partitions[0]}-{partitions[-1]}"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def start(self, command: str) -> None:
        """Give a command."""
        assert self._process.stdin
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()

    def answer(self) -> Drained:
        """What the command that was given took."""
        assert self._process.stdout
        return msgspec.json.decode(self._process.stdout.readline(), type=Drained)

    def ask(self, command: str) -> Drained:
        """Both."""
        self.start(command)
        return self.answer()

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)


class Drainer:
    """The process, from inside: a worker of two lanes."""

    def __init__(self, url: str, partitions: Sequence[int]) -> None:
        self.url, self.partitions = url, partitions
        self.stores = [RecordingStore(url) for _ in range(2)]
        meta = self.stores[0].meta()
        if meta is None:
            raise SystemExit(f"No store at {url}")
        leader = Worker(self.stores[0], meta, shop_features(), partitions=partitions)
        self.lanes = [leader, Worker(self.stores[1], meta, shop_features(), beside=leader)]
        self.span: tuple[list[bytes], list[bytes]] = [], []
        self.recorded: list[list[list[Command]]] = []
        self.done = Drained(0, 0, 0, 0)

    def drain(self) -> Drained:
        """Work until nothing is left."""
        self.lanes[0].partitions.keep()
        self.lanes[0].helped.set()  # there is a backlog
        began = time.perf_counter(), time.process_time()
        events = sum(together([lambda lane=lane: work(lane) for lane in self.lanes]))  # type: ignore[misc]
        return Drained(events, time.perf_counter() - began[0], time.process_time() - began[1], rss_bytes())

    def record(self) -> Drained:
        """The same, and keep what is sent. Leases and looks at ``lambent:meta`` are part of it."""
        started = self.stores[0].positions(self.partitions)
        self.recorded = []
        for store in self.stores:
            store.trips = []
            self.recorded.append(store.trips)
        self.done = self.drain()
        for store in self.stores:
            store.trips = None
        self.span = started, self.stores[0].positions(self.partitions)
        return self.done

    def floor(self) -> Drained:
        """Set the positions back and send again what was recorded last, lane by lane at once; the store ends as it was.

        Where a partition went from one lane to the other, the second's commit may come before the first's now, and is refused, as it
        should be: of a few partitions the position is put right.
        """
        wires = [Wire(self.url) for _ in self.recorded]
        sent = sum(_size(part) for trips in self.recorded for trip in trips for command in trip for part in command)
        self._put(wires[0], self.span[0])
        began = time.perf_counter(), time.process_time()
        both = list(zip(wires, self.recorded, strict=True))
        read = sum(together([lambda wire=wire, trips=trips: send(wire, trips) for wire, trips in both]))  # type: ignore[misc]
        took = time.perf_counter() - began[0], time.process_time() - began[1]
        crossed = sum(a != b for a, b in zip(self.stores[0].positions(self.partitions), self.span[1], strict=True))
        if read != self.done.events or crossed > MOST_CROSSED:
            raise SystemExit("The floor did not read and commit what the worker did.")
        self._put(wires[0], self.span[1])
        for wire in wires:
            wire.close()
        return Drained(read, *took, rss_bytes(), sum(map(len, self.recorded)), sent)

    def _put(self, wire: Wire, positions: Sequence[bytes]) -> None:
        pairs = zip(self.partitions, positions, strict=True)
        wire.send_all(("SET", keys.position(p), position) for p, position in pairs)


def work(lane: Worker) -> int:
    """Entries that one lane works through until there are none."""
    events = 0
    while entries := lane.turn(block_ms=0):
        events += entries
    return events


def send(wire: Wire, trips: list[list[Command]]) -> int:
    """Send a lane's round trips; how many entries it read."""
    read = 0
    for trip in trips:
        replies = wire.exchange(trip)
        if trip[0][0] == "XREAD":
            read += sum(len(entries) for _, entries in replies[0] or ())
    return read


def together(jobs: Sequence[Callable[[], int]]) -> list[int]:
    """Run each in a thread of its own."""
    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def _size(part: bytes | str | int) -> int:
    return len(str(part) if isinstance(part, int) else part)


def rss_bytes() -> int:
    """What this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def main() -> None:
    """Serve commands until the input ends."""
    url, span = sys.argv[1:]
    first, last = span.split("-")
    drainer = Drainer(url, range(int(first), int(last) + 1))
    commands = {"drain": drainer.drain, "record": drainer.record, "floor": drainer.floor}
    with undisturbed():
        for line in sys.stdin:
            sys.stdout.buffer.write(msgspec.json.encode(commands[line.strip()]()) + b"\n")
            sys.stdout.flush()
    drainer.lanes[0].leave()


if __name__ == "__main__":
    main()
