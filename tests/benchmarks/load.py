"""Load generators and readers as processes of their own. All are open-loop but ``get``: latency counts from when something was *due*.

    python -m tests.benchmarks.load KIND URL OPTIONS     (OPTIONS: JSON, see the functions)

Each prints ``ready``, waits for a line on its input, and prints one line of JSON at its end: ``Took``.
"""

from __future__ import annotations

import http.client
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import hiredis
import msgspec
from hdrh.histogram import HdrHistogram

from lambent import keys
from tests.benchmarks.wire import Wire

MOST_US = 60_000_000
IDLE_S = 2.0
"""A reader gives up what has not come so long after the last event was sent."""
READ_ENTRIES = 1_000
READ_TOGETHER = 8
"""Streams that a reader's connection waits for: the store looks at each again whenever one of them has something."""
TICK_S = 0.0005
"""The generator sends what is due so often, and is as much late: to wake for each event costs all sides more than to take it."""
PART_BYTES = 1 << 16


class Took(msgspec.Struct):
    """What a process saw.

    Attributes:
        done: events, intents or answers.
        seconds: from the first to the last; cpu_s of this process.
        late_us: how much later than due the generator sent, at most.
        histogram: of latencies in µs, as HdrHistogram encodes it; empty: none.
        times: of what arrived, by number: (number, ns on the monotonic clock); of the reader only.
    """

    done: int
    seconds: float
    cpu_s: float
    late_us: float = 0.0
    start_ns: int = 0
    histogram: str = ""
    times: list[tuple[int, int]] = []


class Process:
    """One of these, from outside.

    Args:
        kind: which.
        url: of the store or server.
        options: for it.
    """

    def __init__(self, kind: str, url: str, **options: Any) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.load", kind, url, msgspec.json.encode(options).decode()]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout
        if self._process.stdout.readline() != b"ready\n":
            raise SystemExit(f"The load generator {kind} did not start.")

    def go(self) -> None:
        """Let it begin."""
        assert self._process.stdin
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()

    def end(self) -> Took:
        """What it saw, once it ends."""
        out, _ = self._process.communicate()
        return msgspec.json.decode(out, type=Took)


def events(url: str, names: str, rate: float, count: int) -> Callable[[], Took]:
    """Add events to the log at a rate. ``names`` is a file with one ``partition event`` a line, in JSON."""
    wire = Wire(url)
    packed = [
        hiredis.pack_command(("XADD", keys.events(int(p)), "*", "e", data))
        for p, _, data in (line.rstrip(b"\n").partition(b" ") for line in open(names, "rb"))  # noqa: SIM115, PTH123
    ][:count]

    def run() -> Took:
        wire.socket.setblocking(False)
        start_ns, sent, late_ns = time.monotonic_ns(), 0, 0
        while sent < count:
            now_ns = time.monotonic_ns()
            due = min(int((now_ns - start_ns) * rate / 1e9) + 1, count)
            if due > sent:
                late_ns = max(late_ns, now_ns - start_ns - int(sent * 1e9 / rate))
                _send(wire.socket, b"".join(packed[sent:due]))
                sent = due
            _discard(wire.socket)
            wait_s = (start_ns + sent * 1e9 / rate - time.monotonic_ns()) / 1e9
            time.sleep(max(wait_s, TICK_S))
        return Took(sent, (time.monotonic_ns() - start_ns) / 1e9, time.process_time(), late_ns / 1e3, start_ns)

    return run


def _send(connection: socket.socket, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[connection.send(view) :]
        except BlockingIOError:
            _discard(connection)


def _discard(connection: socket.socket) -> None:
    """Take in replies: whether each event was answered is what the reader says."""
    try:
        while len(connection.recv(PART_BYTES)) == PART_BYTES:
            pass
    except BlockingIOError:
        return


class _Said(msgspec.Struct):
    event_id: str


class _Reader:
    """A connection that waits for new intents of some partitions.

    Args:
        url: of the store.
        partitions: which.
    """

    def __init__(self, url: str, partitions: Sequence[int]) -> None:
        self.wire, self._names = Wire(url), [keys.intents(p) for p in partitions]
        replies = self.wire.exchange([("XREVRANGE", name, "+", "-", "COUNT", 1) for name in self._names])
        self._at = {
            name.encode(): reply[0][0] if reply else b"0-0" for name, reply in zip(self._names, replies, strict=True)
        }

    def wait(self) -> None:
        """Ask for what comes next."""
        places = self._at.values()
        self.wire.send([("XREAD", "COUNT", READ_ENTRIES, "BLOCK", 0, "STREAMS", *self._names, *places)])

    def take(self) -> list[bytes]:
        """What came: the intents of entries, each a JSON array."""
        (reply,) = self.wire.receive(1)
        for key, entries in reply:
            self._at[key] = entries[-1][0]
        return [pairs[1] for _, entries in reply for _, pairs in entries]


def intents(url: str, partitions: int, first: int, count: int) -> Callable[[], Took]:
    """Read all new intents as they become readable: in the transaction that adds them, the users' keys are set."""
    decode = msgspec.json.Decoder(list[_Said]).decode
    selector = selectors.DefaultSelector()
    for at in range(0, partitions, READ_TOGETHER):
        reader = _Reader(url, range(at, min(at + READ_TOGETHER, partitions)))
        selector.register(reader.wire.socket, selectors.EVENT_READ, reader)

    def run() -> Took:
        began_s, times = time.monotonic(), list[tuple[int, int]]()
        for key in selector.get_map().values():
            key.data.wait()
        while len(times) < count and (ready := selector.select(IDLE_S)):
            for key, _ in ready:
                came, now_ns = key.data.take(), time.monotonic_ns()
                key.data.wait()
                times += [(int(one.event_id, 16) - first, now_ns) for data in came for one in decode(data)]
        return Took(len(times), time.monotonic() - began_s, time.process_time(), times=times)

    return run


def post(url: str, clients: int, rate: float, seconds: float, users: list[str], first: int) -> Callable[[], Took]:
    """``POST /v1/events?wait`` by so many clients, each with a connection of its own; they take turns."""
    parts, count = urlsplit(url), int(rate * seconds)
    histogram, lock = HdrHistogram(1, MOST_US, 3), threading.Lock()
    connections = [http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20) for _ in range(clients)]
    for connection in connections:
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def run() -> Took:
        start_ns, failed, late_ns = time.monotonic_ns() + 100_000_000, [0], [0]

        def client(own: int) -> None:
            for n in range(own, count, clients):
                due_ns = start_ns + int(n * 1e9 / rate)
                time.sleep(max(due_ns - time.monotonic_ns(), 0) / 1e9)
                sent_ns = time.monotonic_ns()
                data = {
                    "user": users[n % len(users)],
                    "type": "view",
                    "id": f"{first + n:024x}",
                    "product": f"product-{n}",
                }
                connections[own].request("POST", "/v1/events?wait=2000", msgspec.json.encode(data))
                answer = connections[own].getresponse()
                body = answer.read()
                took_us = (time.monotonic_ns() - due_ns) / 1e3
                with lock:
                    failed[0] += answer.status != 202 or b'"probabilities"' not in body
                    late_ns[0] = max(late_ns[0], sent_ns - due_ns)
                    histogram.record_value(int(took_us))

        threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
        _together(threads)
        seconds_took = (time.monotonic_ns() - start_ns) / 1e9
        return Took(
            count - failed[0],
            seconds_took,
            time.process_time(),
            late_ns[0] / 1e3,
            start_ns,
            histogram.encode().decode(),
        )

    return run


def get(url: str, paths: list[str], clients: int, seconds: float) -> Callable[[], Took]:
    """GET as fast as the server answers, by so many connections; the paths in turn."""
    parts = urlsplit(url)
    requests = [f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode() for path in paths]

    def run() -> Took:
        began_s, done = time.monotonic(), [0] * clients

        def client(own: int) -> None:
            connection = socket.create_connection((parts.hostname, parts.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while time.monotonic() < began_s + seconds:
                connection.sendall(requests[(done[own] * clients + own) % len(requests)])
                _answered(connection)
                done[own] += 1
            connection.close()

        _together([threading.Thread(target=client, args=(n,)) for n in range(clients)])
        return Took(sum(done), time.monotonic() - began_s, time.process_time())

    return run


def _together(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _answered(connection: socket.socket) -> None:
    """Read one answer that says 200 and how long it is."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += connection.recv(PART_BYTES)
    if not data.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(data[:200])
    head = data[:end].lower()
    at = head.index(b"content-length:") + len(b"content-length:")
    length = int(head[at:].split(b"\r", 1)[0])
    while len(data) < end + 4 + length:
        data += connection.recv(PART_BYTES)


KINDS: dict[str, Callable[..., Callable[[], Took]]] = {"events": events, "intents": intents, "post": post, "get": get}


def main() -> None:
    """Prepare, say so, wait, run, say what was seen."""
    kind, url, options = sys.argv[1:]
    run = KINDS[kind](url, **msgspec.json.decode(options))
    print("ready", flush=True)
    sys.stdin.readline()
    sys.stdout.buffer.write(msgspec.json.encode(run()))


if __name__ == "__main__":
    main()
