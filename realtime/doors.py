"""The doors into the log, for replays: the HTTP collector, the streams themselves, or both.

A door takes what a replay has: events, whose users are pseudonyms, and raw bytes, which are sent as they are.
"""

from __future__ import annotations

import binascii
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import httpx
import msgspec

from lambent import keys
from lambent.errors import StoreError
from lambent.events import Event, encode_event
from realtime.connection import in_words
from realtime.store import Store

Item = Event | bytes
Verdict = tuple[int, Counter[str]]
"""How many items were taken, and how many were refused by reason."""

MAX_REQUEST_BYTES = 900_000
PATIENCE_S = 60.0
"""How long a door that is full or gone is tried again."""


class Door(Protocol):
    """What a replay needs of a door."""

    def send(self, items: Sequence[Item]) -> Verdict:
        """Send items in order.

        Raises:
            StoreError: the door stayed shut.
        """


def encode(item: Item) -> bytes:
    """The bytes that are sent."""
    return item if isinstance(item, bytes) else encode_event(item)


class HttpDoor:
    """The collector, by JSON lines.

    Args:
        url: of the server, e.g. ``http://127.0.0.1:8642``.
        key: an API key; None: the server asks for none.
        pseudonymous: users are pseudonyms already; set it to False to replay raw lines with the shop's own user ids.
    """

    def __init__(self, url: str, *, key: str | None = None, pseudonymous: bool = True) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(base_url=url, timeout=30, headers=headers)
        self._path = f"/v1/events?pseudonymous={str(pseudonymous).lower()}"

    def send(self, items: Sequence[Item]) -> Verdict:
        """See ``Door``."""
        taken, refused = 0, Counter[str]()
        for body in _bodies([encode(item) for item in items]):
            answer = self._post(body)
            taken += answer.get("accepted", 0)
            refused.update(one["reason"] for one in answer.get("rejected") or answer.get("errors") or ())
        return taken, refused

    def _post(self, body: bytes) -> dict[str, Any]:
        answer: dict[str, Any] = {}

        def attempt() -> bool:
            try:
                response = self._client.post(self._path, content=body, headers={"Content-Type": "application/x-ndjson"})
            except httpx.TransportError:
                return False
            if response.status_code in (429, 503):
                return False
            if response.status_code not in (202, 422):
                raise StoreError(f"The server answered {response.status_code}: {response.text[:200]}")
            answer.update(msgspec.json.decode(response.content))
            return True

        patiently(attempt, f"The server at {self._client.base_url}")
        return answer


class StreamDoor:
    """The streams themselves. It judges nothing: what is no event is refused by the worker.

    Args:
        store: the store.
        partitions: P.
        most: entries that a partition's stream may hold.
    """

    def __init__(self, store: Store, partitions: int, most: int) -> None:
        self._store, self._partitions, self._most = store, partitions, most

    def send(self, items: Sequence[Item]) -> Verdict:
        """See ``Door``."""
        entries = [(partition_of(item, self._partitions), b"e", encode(item)) for item in items]
        wanted = sorted({p for p, _, _ in entries})
        with in_words():
            patiently(lambda: self._room(wanted), "The log")
            self._store.append(entries)
        return len(entries), Counter()

    def _room(self, partitions: Sequence[int]) -> bool:
        lengths = self._store.pipe_or_raise(("XLEN", keys.events(p)) for p in partitions)
        return max(lengths, default=0) < self._most


class BothDoors:
    """Half the partitions through each door, so that a user's order holds.

    Args:
        even, odd: doors of the partitions with even and odd numbers.
        partitions: P.
    """

    def __init__(self, even: Door, odd: Door, partitions: int) -> None:
        self._doors, self._partitions = (even, odd), partitions

    def send(self, items: Sequence[Item]) -> Verdict:
        """See ``Door``."""
        taken, refused = 0, Counter[str]()
        for parity, door in enumerate(self._doors):
            own = [item for item in items if partition_of(item, self._partitions) % 2 == parity]
            if own:
                accepted, reasons = door.send(own)
                taken, refused = taken + accepted, refused + reasons
        return taken, refused


def partition_of(item: Item, partitions: int) -> int:
    """The partition of an event's user; of raw bytes, which name none, some partition."""
    if isinstance(item, bytes):
        return binascii.crc_hqx(item, 0) % partitions
    return keys.partition(item.user, partitions)


def patiently(attempt: Callable[[], bool], who: str) -> None:
    """Try until it works, with waits from 50 ms to 1 s.

    Raises:
        StoreError: it did not work for ``PATIENCE_S``.
    """
    end_s, wait_s = time.monotonic() + PATIENCE_S, 0.05
    while not attempt():
        if time.monotonic() > end_s:
            raise StoreError(f"{who} took nothing for {PATIENCE_S:.0f} s.", "Do server, worker and archiver run?")
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, 1.0)


def _bodies(lines: Sequence[bytes]) -> list[bytes]:
    """Lines joined to bodies that a request may have."""
    bodies: list[bytes] = []
    own: list[bytes] = []
    size = 0
    for line in lines:
        if own and size + len(line) > MAX_REQUEST_BYTES:
            bodies.append(b"\n".join(own))
            own, size = [], 0
        own.append(line)
        size += len(line) + 1
    return [*bodies, b"\n".join(own)] if own else bodies
