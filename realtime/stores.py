"""What the parts ask of a store. ``store.Store`` is Valkey or Redis, ``replayed.ReplayStore`` a log in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lambent import keys

if TYPE_CHECKING:
    from lambent.errors import FencedError
    from realtime.commit import Commit
    from realtime.store import DeadEntry, Entry, Meta, Standing

Command = Sequence[bytes | str | int]
"""A command's name and arguments."""


class WorkerStore(Protocol):
    """What a worker asks.

    Every method raises one of ``connection.UNAVAILABLE`` while the store cannot be reached or takes no writes.
    """

    def meta(self) -> Meta | None:
        """What the store says of itself; None where none has been made."""

    def read(
        self,
        positions: Mapping[int, bytes],
        count: int,
        block_ms: int = 0,
        stream: Callable[[int], str] = keys.events,
    ) -> dict[int, list[Entry]]:
        """Entries of many partitions' streams after ``positions``, at most ``count`` of each.

        Waits up to ``block_ms`` for the first one; 0 does not wait.
        """

    def users(self, wanted: Mapping[int, Sequence[str]]) -> list[bytes | None]:
        """The profile and the live record of users by partition: two values a user, in the mapping's order."""

    def shadows(self, wanted: Mapping[int, Sequence[str]]) -> list[bytes | None]:
        """What is kept of shadows of users by partition, in the mapping's order; asked only while there is one."""

    def commit(self, commits: Sequence[Commit]) -> list[FencedError | None]:
        """Commit batches, each whole or not at all; for each None, or why nothing of it was written."""

    def standing(self, partitions: Sequence[int]) -> list[Standing]:
        """Where each partition stands."""

    def take(self, leases: Sequence[str], name: str, ttl_ms: int) -> list[bool]:
        """Take leases that are free, by their keys; true for each that is ``name``'s now."""

    def hold(self, leases: Sequence[str], name: str, ttl_ms: int) -> list[bool]:
        """Renew leases that are ``name``'s, or give them up (``ttl_ms`` 0); true for each that was."""

    def announce(self, worker: str, ttl_ms: int) -> list[bytes]:
        """Say that a worker is there, or gone (``ttl_ms`` 0); the members of ``lambent:workers`` that are there."""

    def holders(self, partitions: Iterable[int]) -> list[bytes | None]:
        """Who holds each partition's lease."""


class FullStore(WorkerStore, Protocol):
    """What archiver, rebuild, law and status ask besides: the whole log, the clock, and any command."""

    def call(self, *command: bytes | str | int) -> Any:
        """Send one command; the server's reply as it is."""

    def pipe(self, commands: Iterable[Command]) -> list[Any]:
        """Send commands together; their replies in order, an error being a reply too."""

    def pipe_or_raise(self, commands: Iterable[Command]) -> list[Any]:
        """The same, raising the first error."""

    def nodes(self) -> list[Any]:
        """A client for each server, for what has to be asked of each."""

    def scan(self, pattern: str) -> Iterator[bytes]:
        """The keys that match. One may come twice, and one that comes or goes meanwhile may be missed."""

    def now_ms(self) -> int:
        """The server's clock, which stamps what it is given."""

    def append(self, entries: Iterable[tuple[int, bytes, bytes]]) -> list[bytes]:
        """Add (partition, field, bytes) to the streams, in order; the ids that they got."""

    def last_ids(self, partitions: Sequence[int]) -> list[bytes]:
        """The id of each stream's last entry ever added; ``0-0`` where there is none."""

    def read_dead(self, positions: Mapping[int, bytes], count: int) -> dict[int, list[DeadEntry]]:
        """Entries of ``dead:{p}`` of many partitions after ``positions``, at most ``count`` of each."""

    def positions(self, partitions: Iterable[int]) -> list[bytes]:
        """The position of each partition."""
