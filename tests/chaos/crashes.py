"""A crash at one call to the store or to a Delta table, before it was made or after it was done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import deltalake
import pytest

from realtime.store import Store


class CrashError(Exception):
    """The process is gone."""


@dataclasses.dataclass
class Fuse:
    """Counts calls, and crashes at one of them.

    Attributes:
        at: which; 0: none.
        after: after it was done.
        calls: what was called so far.
    """

    at: int = 0
    after: bool = False
    calls: list[str] = dataclasses.field(default_factory=list)

    def around(self, name: str, call: Callable[[], Any]) -> Any:
        """Make a call, or crash."""
        self.calls.append(name)
        crash = len(self.calls) == self.at
        if crash and not self.after:
            raise CrashError
        reply = call()
        if crash:
            raise CrashError
        return reply


class FlakyStore(Store):
    """A store whose calls go through a fuse."""

    def __init__(self, url: str, fuse: Fuse) -> None:
        super().__init__(url)
        self.fuse = fuse

    def call(self, *command: Any) -> Any:
        return self.fuse.around(str(command[0]), lambda: super(FlakyStore, self).call(*command))

    def pipe(self, commands: Any) -> list[Any]:
        commands = list(commands)
        if not commands:
            return []
        name = " ".join(dict.fromkeys(str(command[0]) for command in commands))
        return self.fuse.around(name, lambda: super(FlakyStore, self).pipe(commands))


TABLE_CALLS = ("__init__", "create", "version", "transaction_version")


def fuse_tables(monkeypatch: pytest.MonkeyPatch, fuse: Fuse) -> None:
    """Let all calls to Delta tables go through a fuse."""

    def fused(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **named: fuse.around(f"Delta {name}", lambda: real(*args, **named))

    write = fused("write", deltalake.write_deltalake)
    monkeypatch.setattr(deltalake, "write_deltalake", write)
    for name in TABLE_CALLS:
        real = getattr(deltalake.DeltaTable, name)
        patched: Any = fused(name, real)
        monkeypatch.setattr(deltalake.DeltaTable, name, staticmethod(patched) if name == "create" else patched)
