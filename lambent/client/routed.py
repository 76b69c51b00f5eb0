"""What both clients do with the commands and the replies of one node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lambent.client.reading import Command
from lambent.routing import Queued


def commands_for(queue: Sequence[Queued], rows: Iterable[tuple[int, bool]]) -> list[Command]:
    """What a node is sent: its commands, each behind an ``ASKING`` where it has been asked to follow."""
    return [part for row, asking in rows for part in ([("ASKING",)] if asking else []) + [tuple(queue[row][0])]]


def note(replies: list[Any], rows: Iterable[tuple[int, bool]], found: Iterable[Any]) -> None:
    """Put a node's replies in their places."""
    rest = iter(found)
    for row, asking in rows:
        if asking:
            next(rest)
        replies[row] = next(rest)


def checked(replies: list[Any]) -> list[Any]:
    """The same; raises the first error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
