"""A machine whose clock jumps and whose power is cut, as a process on it sees them: ``machine.c``, loaded before libc."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("machine.c")


class Machine:
    """One machine. Processes that start with its ``environment`` live on it.

    Args:
        folder: for what it needs.

    Attributes:
        environment: for processes.
    """

    def __init__(self, folder: Path) -> None:
        library, self._clock, self._synced = folder / "machine.so", folder / "clock", folder / "synced"
        compile_library(library)
        self.shift_clock(0)
        self.environment = {
            "LD_PRELOAD": str(library), "CHAOS_CLOCK": str(self._clock), "CHAOS_SYNCED": str(self._synced),
        }  # fmt: skip

    def shift_clock(self, ms: int) -> None:
        """Set how far the machine's clock is ahead of the true one."""
        file = os.open(self._clock, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(file, struct.pack("q", ms), 0)  # in place: processes have mapped it
        os.close(file)

    def cut_power(self, file: Path) -> int:
        """Cut a file to what has reached the disk, after the process that wrote it is dead; when its last sync began (ms)."""
        lines = [line.split(" ", 2) for line in self._synced.read_text().splitlines()]
        ms, size = next(((int(ms), int(size)) for ms, size, path in reversed(lines) if path == str(file)), (0, 0))
        os.truncate(file, size)
        return ms


def compile_library(path: Path) -> None:
    """Make the library; skips the test where there is no C compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler (cc) to make a machine of")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(path), str(SOURCE), "-ldl"], check=True)
