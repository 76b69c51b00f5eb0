"""Who may do what in the store: its ACL users, one a role, made from the keys' own rights (``keys.KEYS``).

Names of commands are those of Redis 7.0, the oldest server that is supported: a server refuses a file that names another.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

from lambent.keys import KEYS, Key

_CONNECT = "ping hello client|setname cluster|slots"
_LOOK = "eval_ro get exists xinfo|stream xlen xrange hgetall time info"
"""What tells how far behind somebody is."""
_MAKE = "hgetall hsetnx"
"""Whoever comes first makes the store."""
_ON_DISK = "waitaof config|get"
"""What a server needs that acknowledges from the disk (``LAMBENT_ACKNOWLEDGE``); no Redis before 7.2 knows it."""


@dataclasses.dataclass(frozen=True)
class Role:
    """A part, and what its user may call.

    Attributes:
        meaning: who it is.
        commands: names, with blanks between them; of those that all need see ``rules``.
        keys: every key (``*``); "": those that name the role in their rights.
    """

    meaning: str
    commands: str
    keys: str = ""


ROLES: dict[str, Role] = {
    "collector": Role(
        "producers that write to the streams, and a server that only takes events", f"hget hmget xadd wait {_LOOK}"
    ),
    "server": Role("`lambent server`", f"hget hmget xadd wait mget xread xrevrange {_MAKE} {_LOOK}"),
    "worker": Role(
        "`lambent worker`",
        f"mget xread xadd set del pexpire eval evalsha zadd zrem zrange zremrangebyscore {_MAKE} {_LOOK}",
    ),
    "archiver": Role("`lambent archiver`", f"xread xadd xtrim set del pexpire hset eval {_MAKE} {_LOOK}"),
    "publisher": Role(
        "batch jobs and models: publish, the catalogue, the quarantine's retries, register and promote",
        "hget hmget hset hdel watch unwatch multi exec discard get mget set mset pexpire del unlink scan eval sadd expire xadd xlen "
        f"{_MAKE}",
    ),
    "reader": Role("systems that act on intents", "hget hmget get mget xread"),
    "operator": Role(
        "people: `lambent status`, `doctor`, `law`, `verify`, `rebuild`, `replay`, `intent`, and what all other roles may",
        "@read @write @scripting client|list watch unwatch multi exec discard wait time info",
        "~*",
    ),
    "replica": Role("the server's own replicas (`masteruser`)", "psync replconf"),
    "admin": Role("whoever administers the server", "@all", "~* &*"),
}


def patterns(role: str) -> list[str]:
    """The keys that a role's user may read (``%R~``), write (``%W~``) or both (``~``)."""
    if ROLES[role].keys:
        return ROLES[role].keys.split()
    marks = {"R": "%R~", "W": "%W~", "RW": "~"}
    return [marks[key.rights[role]] + glob(key) for key in KEYS if role in key.rights]


def glob(key: Key) -> str:
    """What matches a key, or all keys of a family."""
    return key.pattern.replace("{p}", "{*}").replace("USER", "*")


def rules(role: str, *, on_disk: bool = False) -> str:
    """What ``ACL SETUSER`` takes, but for the password."""
    own = f"{ROLES[role].commands} {_ON_DISK if on_disk and role == 'server' else ''}"
    commands = [f"+{name}" for name in dict.fromkeys(f"{_CONNECT} {own}".split())]
    return " ".join([*patterns(role), "-@all", *commands])


def acl_file(hashes: Mapping[str, str] | None = None, *, on_disk: bool = False) -> str:
    """The server's ``aclfile``.

    Args:
        hashes: by role the SHA-256 of its password, in hex; a user without one is off.
        on_disk: events are acknowledged from the store's disk.
    """
    known = hashes or {}
    users = (
        f"user {role} {f'on #{known[role]}' if role in known else 'off'} {rules(role, on_disk=on_disk)}"
        for role in ROLES
    )
    return "\n".join(["user default off resetpass", *users, ""])


def hashed(password: str) -> str:
    """What the file has of a password."""
    return hashlib.sha256(password.encode()).hexdigest()
