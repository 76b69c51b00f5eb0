"""Where a Cluster's commands go, and where those that were refused go next. Talks to nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import AskError, ClusterDownError, MovedError

from lambent.keys import META
from lambent.slots import FOR_ALL, Address, Command, Slots, key_of, least

REDIRECTS = 8
"""So often a command is sent elsewhere before the error is believed."""

Queued = tuple[Command, dict[str, Any]]
"""A command, and what redis-py wants to know to read its reply."""
Sent = dict[Address, list[tuple[int, bool]]]
"""By node the places of commands, and whether each follows an ``ASK``."""


def or_raise(replies: list[Any]) -> list[Any]:
    """The replies, raising the first that is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


class Router:
    """Where commands go, and where those that were refused go next.

    Args:
        reply: who serves which slot.
        asked: the node that said so.
    """

    def __init__(self, reply: Any, asked: Address) -> None:
        self.slots = Slots(reply, asked)
        self.stale = False

    def plan(self, queue: Sequence[Queued]) -> Sent:
        """Where each command goes."""
        keyed = [row for row, (command, _) in enumerate(queue) if command[0] not in FOR_ALL]
        if not keyed:
            return {self.owner(META): [(row, False) for row in range(len(queue))]}
        return self._sent(queue, {row: (self.owner(key_of(queue[row][0])), False) for row in keyed})

    def again(self, queue: Sequence[Queued], sent: Sent, replies: Sequence[Any]) -> Sent:
        """What a node has refused because its slot is elsewhere, and where that is."""
        places = {}
        for address, rows in sent.items():
            for row, _ in rows:
                reply = replies[row]
                if isinstance(reply, ClusterDownError):
                    self.stale = True
                if isinstance(reply, AskError):
                    places[row] = ((reply.host or address[0], reply.port), not isinstance(reply, MovedError))
                if isinstance(reply, MovedError):
                    self.slots.move(reply.slot_id, places[row][0])
                    self.stale = True
        return self._sent(queue, dict(sorted(places.items())))

    def _sent(self, queue: Sequence[Queued], places: dict[int, tuple[Address, bool]]) -> Sent:
        sent: Sent = {}
        for row, (address, asking) in places.items():
            sent.setdefault(address, []).append((row, asking))
        every = [row for row, (command, _) in enumerate(queue) if command[0] in FOR_ALL]
        for rows in sent.values():
            rows += [(row, False) for row in every]
        return sent

    def owner(self, key: bytes | str) -> Address:
        """The node that has a key.

        Raises:
            redis.exceptions.ClusterDownError: none has just now.
        """
        owner = self.slots.owner(key)
        if owner is None:
            self.stale = True
            raise ClusterDownError("No node of the Cluster serves the slot of a key")
        return owner


def settle(queue: Sequence[Queued], replies: list[Any], row: int, reply: Any) -> None:
    """Note a reply; of a command that went to several nodes the least."""
    several = queue[row][0][0] in FOR_ALL and replies[row] is not None
    replies[row] = least([replies[row], reply]) if several else reply
