"""A reader of server-sent events, for tests."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import httpx


@dataclasses.dataclass
class Event:
    """An event of a stream: its name, data, id, and the comment before it."""

    name: str = ""
    data: Any = None
    id: str = ""
    comment: str = ""

    @property
    def event_id(self) -> str:
        """Of the intent."""
        return str(self.data["intent"]["event_id"])


@contextlib.contextmanager
def following(client: httpx.Client, last_id: str = "", **parameters: Any) -> Iterator[Iterator[Event]]:
    """A stream's events after the one that opens it."""
    with opened(client, last_id, **parameters) as events:
        assert next(events).id
        yield events


@contextlib.contextmanager
def opened(client: httpx.Client, last_id: str = "", **parameters: Any) -> Iterator[Iterator[Event]]:
    """A stream's events."""
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with client.stream("GET", "/v1/stream", params=parameters, headers=headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"] == "text/event-stream"
        yield parsed(response.iter_lines())


def parsed(lines: Iterator[str]) -> Iterator[Event]:
    event = Event()
    for line in lines:
        name, _, value = line.partition(": ")
        if not line:
            yield event
            event = Event()
        elif name == "event":
            event.name = value
        elif name == "data":
            event.data = json.loads(value)
        elif name == "id":
            event.id = value
        elif not name:
            event.comment = value


def some(events: Iterator[Event], count: int) -> list[Event]:
    """The next intents."""
    found: list[Event] = []
    while len(found) < count:
        event = next(events)
        if event.data and not event.name:
            found.append(event)
    return found
