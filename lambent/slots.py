"""Which node of a Cluster has a key, and what becomes of commands for several of them. Talks to nobody.

All keys of a partition lie in one slot, so a command about one partition goes to one node. What a node refuses because a
slot has moved, or is on its way, it has not done: that may be sent again elsewhere, which of a lost reply nobody knows.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Sequence
from typing import Any

from lambent.keys import META, SLOTS

Command = Sequence[Any]
Address = tuple[str, int]

ASK_SLOTS = ("CLUSTER", "SLOTS")
"""A server that is no Cluster answers with an error."""
KEYLESS = {"PING", "TIME", "INFO", "CLIENT", "CONFIG"}
"""These are answered by the node that has ``lambent:meta``."""
FOR_ALL = {"WAIT", "WAITAOF"}
"""These speak of what was written before them, so they go to every node that was written to; the least reply counts."""
SCRIPTS = {"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"}
POLL_S, SLOW_POLL_S = 0.001, 0.005
"""How often nodes are asked for entries that are waited for: at first, and after a while. No read can wait at several."""
SOON_S = 0.05


def slot_of(key: bytes | str) -> int:
    """A key's slot: of what stands between its first braces, or of all of it."""
    name = key.encode() if isinstance(key, str) else key
    first = name.find(b"{")
    last = name.find(b"}", first + 1)
    return binascii.crc_hqx(name[first + 1 : last] if last > first + 1 > 0 else name, 0) % SLOTS


def key_of(command: Command) -> bytes | str:
    """A key that a command is about, which says where it is sent."""
    name = command[0]
    if name in KEYLESS or name in FOR_ALL:
        return META
    if name in SCRIPTS:
        return command[3]
    if name == "XREAD":
        return command[command.index("STREAMS") + 1]
    return command[2 if name == "XINFO" else 1]


class Slots:
    """Who serves which slot.

    Args:
        reply: to ``ASK_SLOTS``: first slot, last slot, the primary, its replicas.
        asked: the node that replied; nodes without an address of their own are at its host.

    Attributes:
        primaries: nodes that serve slots.
        known: they and their replicas: whoever may be asked again.
    """

    def __init__(self, reply: Sequence[Sequence[Any]], asked: Address) -> None:
        self._owners: list[Address | None] = [None] * SLOTS
        known: dict[Address, None] = {}
        for first, last, *nodes in reply:
            places = [(_text(node[0]) or asked[0], int(node[1])) for node in nodes]
            self._owners[int(first) : int(last) + 1] = [places[0]] * (int(last) - int(first) + 1)
            known.update(dict.fromkeys(places))
        self.primaries = tuple(dict.fromkeys(owner for owner in self._owners if owner))
        self.known = tuple(known)

    def owner(self, key: bytes | str) -> Address | None:
        """The node that serves a key's slot; None: none does just now."""
        return self._owners[slot_of(key)]

    def move(self, slot: int, owner: Address) -> None:
        """Believe a node that says who serves a slot."""
        self._owners[slot] = owner


def _text(name: bytes | str | None) -> str:
    return name.decode() if isinstance(name, bytes) else name or ""


def split_read(command: Command) -> tuple[int, list[list[Any]]]:
    """How long an ``XREAD`` may wait in ms, and a read for each of its streams, none of which waits."""
    words = list(command)
    at = words.index("STREAMS")
    head, names = words[:at], words[at + 1 :]
    block_ms = 0
    if "BLOCK" in head:
        where = head.index("BLOCK")
        block_ms = int(head[where + 1])
        del head[where : where + 2]
    half = len(names) // 2
    return block_ms, [[*head, "STREAMS", name, place] for name, place in zip(names[:half], names[half:], strict=True)]


def reads_many(command: Command) -> bool:
    """Whether it is an ``XREAD`` of several streams, which a Cluster answers one by one."""
    return command[0] == "XREAD" and len(command) - command.index("STREAMS") > 3


def joined(replies: Iterable[Any]) -> list[Any] | None:
    """The replies to ``split_read``'s commands as one; None where nothing was read."""
    return [stream for reply in replies if reply for stream in reply] or None


def pause_s(elapsed_s: float) -> float:
    """How long to wait before nodes are asked again."""
    return POLL_S if elapsed_s < SOON_S else SLOW_POLL_S


def least(replies: Sequence[Any]) -> Any:
    """Of several nodes' replies the one that promises least: an error, or the smallest."""
    errors = [reply for reply in replies if isinstance(reply, Exception)]
    return errors[0] if errors else min(replies)
