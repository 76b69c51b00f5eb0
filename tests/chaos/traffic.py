"""The load generator as tests use it: started, watched and stopped, and its log read."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lambent.events import Event
from tests.chaos.generator import ACCEPTED, COUNTS, MAYBE
from tests.chaos.rig import Rig, wait_until


class Told(msgspec.Struct, frozen=True):
    """What the generator was told of an event that it sent: a line of its log."""

    outcome: str
    at_ms: int
    event: Event


_decode = msgspec.json.Decoder(Told).decode


@dataclasses.dataclass
class Traffic:
    """A generator that runs, or has run.

    Attributes:
        path: its log.
    """

    path: Path

    def told(self) -> list[Told]:
        """Its log, which ``lambent verify --sent`` reads too."""
        return [_decode(line) for line in self.path.read_bytes().splitlines()]

    def ids(self, *outcomes: str) -> set[str]:
        """Ids of the events of which it was told one of these outcomes."""
        return {one.event.id for one in self.told() if one.outcome in outcomes}

    @property
    def waiting(self) -> int:
        """How many requests wait for an answer just now."""
        sent, answered, _ = self._counts()
        return sent - answered

    @property
    def answered(self) -> int:
        """How many requests were answered or given up."""
        return self._counts()[1]

    @property
    def accepted(self) -> int:
        """How many events were accepted."""
        return self._counts()[2]

    def wait_for_accepted(self, more: int = 100, seconds: float = 180) -> None:
        """Wait until so many more events are accepted."""
        wanted = self.accepted + more
        wait_until(lambda: self.accepted >= wanted, seconds)

    def _counts(self) -> tuple[int, ...]:
        file = os.open(f"{self.path}.counts", os.O_RDONLY)
        try:
            return COUNTS.unpack(os.pread(file, COUNTS.size, 0))
        finally:
            os.close(file)


@contextmanager
def producing(rig: Rig, seed: int = 0, **options: object) -> Iterator[Traffic]:
    """A generator on a rig's server while the block runs; afterwards every event has its outcome."""
    traffic = Traffic(rig.settings.root / f"produced-{seed}.jsonl")
    url = f"http://127.0.0.1:{rig.settings.http_port}"
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-m", "tests.chaos.generator", url, str(traffic.path), "--seed", str(seed), *arguments]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
    try:
        wait_until(lambda: Path(f"{traffic.path}.counts").exists())
        yield traffic
    finally:
        process.terminate()
        process.wait(60)
    assert process.returncode == 0


def check_held(traffic: Traffic, held: Set[str]) -> None:
    """What is held is what was accepted, and of the rest only what may have arrived."""
    lost, strange = traffic.ids(ACCEPTED) - held, held - traffic.ids(ACCEPTED, MAYBE)
    assert not lost, f"{len(lost)} events were acknowledged and are lost"
    assert not strange, f"{len(strange)} events were refused and are held"
