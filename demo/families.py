"""Which processes belong to one that was started here, and how to end all of them.

A part may start processes of its own, in groups and sessions of their own, and be gone before them. They are found by
three signs: the session that the part leads, the mark in the environment that its processes inherit, and who started
whom. One sign alone is not enough: a server in a new session loses the first, a program that writes its title over its
environment (Valkey does both) the second, an orphan the third. So whoever was seen once as one of the family stays one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

MARK = "SUPERVISED_PART"
"""Variable that every process of a part inherits."""
ROUNDS = 50
ROUND_SECONDS = 0.02

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None)


class _Process(NamedTuple):
    parent: int
    session: int
    born: str


def end_with_parent() -> None:
    """Called in a new process before its program starts: SIGTERM comes when its parent dies, however that happens."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def adopt_orphans() -> None:
    """From now on, whoever loses its parent below this process becomes its child, so that ``end_children`` finds it."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_children() -> None:
    """Kill every child of this process, and take leave of the dead, which some containers leave to nobody."""
    for _ in range(ROUNDS):
        for pid, one in _table().items():
            if one.parent == os.getpid():
                _kill(pid)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:  # none is left
            return
        time.sleep(ROUND_SECONDS)


class Family:
    """The processes of a part.

    Args:
        leader: its first process, which leads a session; it need not live any more.
        mark: value of ``MARK`` in its environment.
    """

    def __init__(self, leader: int, mark: str) -> None:
        self._leader, self._mark = leader, f"{MARK}={mark}".encode()
        self._seen: dict[int, str] = {}

    def members(self) -> set[int]:
        """Those that live; call it now and then, so that one is known before it can lose its signs."""
        table = _table()
        found = {pid for pid, one in table.items() if self._is_ours(pid, one)}
        while born := {pid for pid, one in table.items() if one.parent in found} - found:
            found |= born
        self._seen = {pid: table[pid].born for pid in found}
        return found

    def kill(self) -> None:
        """Kill all, and those that they start meanwhile, until none lives."""
        for _ in range(ROUNDS):
            members = self.members()
            if not members:
                return
            for pid in members:
                _kill(pid)
            time.sleep(ROUND_SECONDS)

    def _is_ours(self, pid: int, one: _Process) -> bool:
        # A number can be another process's by now: the time of birth tells.
        return one.session == self._leader or self._seen.get(pid) == one.born or self._has_mark(pid)

    def _has_mark(self, pid: int) -> bool:
        try:
            return self._mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:  # it ended, or is another user's
            return False


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _table() -> dict[int, _Process]:
    """All processes that live, this one left out."""
    table = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):  # it ended meanwhile
                # pid (name) state parent group session …, where the name may hold anything; the 22nd is its birth
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if fields[0] not in "ZX":
                    table[int(folder.name)] = _Process(int(fields[1]), int(fields[3]), fields[19])
    return table
