"""All parts of Lambent as processes under a generator's traffic, to be killed one by one; and how long each takes to recover."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from lambent import keys
from realtime import ids
from realtime.connection import UNAVAILABLE
from realtime.verify.command import show, verify
from realtime.verify.sent import read_sent
from tests.chaos.processes import spawn
from tests.chaos.rig import FEATURES, Rig, make_rig, wait_until
from tests.chaos.traffic import Traffic
from tests.valkey import Valkey, free_port, start_valkey

DURABLE = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
COMMANDS = {
    "worker": ("worker", "--lease-ms", "500"),
    "archiver": ("archiver", "--interval-ms", "100"),
    "server": ("server",),
}
PATIENCE_S = 180
TRIES = 400
"""How often it is looked whether work is waiting, before a strike is void."""


class VoidError(Exception):
    """Nothing was waiting for what was to be struck: the run shows nothing."""


@dataclasses.dataclass
class Crew:
    """The parts.

    Args:
        folder: for all their files.
        port: the store's own.
        environment: of every process but the generator and the store.
        store_environment: of the store.
        store_port: where the parts find the store; None: at its own.
        options: of the store.
        commands: the parts besides the store, by name.

    Attributes:
        rig: the system, from beside it.
        processes: by name: ``valkey`` and those of ``commands``.
    """

    folder: Path
    port: int = dataclasses.field(default_factory=free_port)
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    store_environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    store_port: int | None = None
    options: tuple[str, ...] = DURABLE
    commands: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=lambda: COMMANDS)

    def __post_init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        valkey = self._start_valkey()
        self.rig = make_rig(valkey, self.folder, http_port=free_port())
        url = f"redis://127.0.0.1:{self.store_port or self.port}/0"
        self._settings = self.rig.settings.model_copy(update={"store_url": type(self.rig.settings.store_url)(url)})

    def start(self, name: str) -> None:
        """Start a part, or start it again."""
        if name == "valkey":
            self._start_valkey()
        else:
            self.processes[name] = spawn(self._settings, *self.commands[name], environment=self.environment)

    def _start_valkey(self) -> Valkey:
        valkey = start_valkey(self.folder, self.port, *self.options, environment=self.store_environment)
        self.processes["valkey"] = valkey.process
        return valkey

    def kill(self, name: str) -> None:
        """``kill -9``."""
        self.processes[name].kill()
        self.processes[name].wait()

    def strike(self, name: str, traffic: Traffic) -> Recovery:
        """Kill a part in the midst of its work.

        Raises:
            VoidError: it never had any.
        """
        recovery = self.stop(name, traffic)
        self.kill(name)
        return recovery

    def stop(self, name: str, traffic: Traffic) -> Recovery:
        """Stop a part (SIGSTOP) in the midst of its work, which is there still for as long as it is stopped.

        Raises:
            VoidError: it never had any.
        """
        for _ in range(TRIES):
            marks = self.last()
            self.processes[name].send_signal(signal.SIGSTOP)
            if self.has_work(name, traffic):
                return Recovery(self, name, traffic, marks)
            self.processes[name].send_signal(signal.SIGCONT)
            time.sleep(0.01)
        raise VoidError(f"nothing waited for {name}, {TRIES} times")

    def recovery(self, name: str, traffic: Traffic) -> Recovery:
        """What is waiting for a part now, to be waited for."""
        return Recovery(self, name, traffic, self.last())

    def has_work(self, name: str, traffic: Traffic) -> bool:
        """Whether something waits for this part just now: requests for store and server, entries for worker and archiver."""
        if name in ("valkey", "server"):
            return traffic.waiting > 0
        return behind(self.seen(name), self.last())

    def last(self) -> list[bytes]:
        """The last id of each partition."""
        return self.rig.store.last_ids(range(self.rig.meta.partitions))

    def seen(self, name: str) -> list[bytes]:
        """How far worker or archiver is in each partition."""
        if name != "archiver":
            return self.rig.store.positions(range(self.rig.meta.partitions))
        return [self.rig.store.call("HGET", keys.ARCHIVED, p) or ids.START for p in range(self.rig.meta.partitions)]

    def settle(self, traffic: Traffic) -> None:
        """Wait until all is folded and archived, stop everything but the store, and compare all with the oracle.

        Raises:
            AssertionError: something differs.
        """
        for name in self.commands:
            assert self.processes[name].poll() is None, f"{name} has ended: see {self.folder}/{name}.log"
        for name in sorted(self.commands, key=("server", "archiver").__contains__, reverse=True):
            if name != "server":  # the archiver's last markers are for the worker
                self._catch_up(name)
            self.end(name)
        check(self.rig, traffic)

    def _catch_up(self, name: str) -> None:
        last = self.last()
        wait_until(lambda: not behind(self.seen(name), last), PATIENCE_S)

    def end(self, name: str) -> None:
        """Stop a part as a service manager would."""
        self.processes[name].terminate()
        code = self.processes[name].wait(30)
        assert code == 0, f"{name} ended with {code}:\n{(self.folder / f'{name}.log').read_text()[-3_000:]}"

    def close(self) -> None:
        """End all processes."""
        for process in self.processes.values():
            process.kill()
            process.wait()


@dataclasses.dataclass
class Recovery:
    """From a kill until the work that was waiting then is done.

    Args:
        crew: of whom ``name`` was killed.
        name: the part.
        traffic: what comes meanwhile.
        marks: the last entries of each partition at the kill.
    """

    crew: Crew
    name: str
    traffic: Traffic
    marks: list[bytes]

    def __post_init__(self) -> None:
        self._began_s, self._accepted = time.monotonic(), self.traffic.accepted

    def wait(self) -> float:
        """Wait for it; how long it took, in seconds."""
        wait_until(self._done, PATIENCE_S)
        return time.monotonic() - self._began_s

    def _done(self) -> bool:
        try:
            if self.name in ("server", "valkey") and self.traffic.accepted <= self._accepted:
                return False
            if self.name == "server":  # what its predecessor accepted may be told late
                return ready(self.crew.rig)
            return not behind(self.crew.seen(self.name), self.marks)
        except UNAVAILABLE:
            return False


def behind(seen: list[bytes], last: list[bytes]) -> bool:
    """Whether some partition has entries that were not seen."""
    return any(ids.parse(a) < ids.parse(b) for a, b in zip(seen, last, strict=True))


@contextmanager
def working(folder: Path, **options: object) -> Iterator[Crew]:
    """A crew that takes events while the block runs."""
    crew = Crew(folder, **options)  # type: ignore[arg-type]
    try:
        for name in crew.commands:
            crew.start(name)
        wait_until(lambda: ready(crew.rig), PATIENCE_S)
        yield crew
    finally:
        crew.close()


def ready(rig: Rig) -> bool:
    """Whether the server can take events."""
    try:
        return httpx.get(f"http://127.0.0.1:{rig.settings.http_port}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def check(rig: Rig, *traffic: Traffic) -> None:
    """All that is stored is what the log gives, and the log is what was sent: see ``lambent verify``."""
    sent = [line for one in traffic for line in read_sent(one.path)]
    meta = rig.store.meta()
    assert meta is not None
    report = verify(rig.store, meta, rig.settings, FEATURES, wait_s=PATIENCE_S, sent=sent)
    assert report.sent is not None and report.sent.accepted > 0
    assert not report.differences, "\n".join(show(report))
