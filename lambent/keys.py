"""Every key of the store, and how a user is found there: one definition each.

All keys of partition ``p`` carry the hash tag ``{p}``, so that they lie in one slot of a Cluster and can change in one
transaction.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hmac
from collections.abc import Callable, Sequence
from typing import TypeVar

SLOTS = 16384
USER_KEY_BYTES = 32
"""Of the key that makes the pseudonyms."""
SCHEMA = 1
"""Of what the store holds, for all who read it: ``schema`` in ``lambent:meta``."""

Make = TypeVar("Make", bound=Callable[..., str])


@dataclasses.dataclass(frozen=True)
class Key:
    """A key, or a family of keys, for those who read about it. ``KEYS`` has them all.

    Attributes:
        pattern: with ``{p}`` for the partition and ``USER`` for the pseudonym.
        kind: what Valkey calls its type.
        meaning: what it holds.
        written_by, read_by: parts, with commas between them.
        lives: how long it, or an entry of it, stays.
        rights: by role (``rights.ROLES``) whether its user may read (``R``) or write (``W``) it, or both. A key that a script is
            given counts as both. An operator may both everywhere.
        public: whether readers of other making may count on it (``reference/redis.md``); all others may change.
    """

    pattern: str
    kind: str
    meaning: str
    written_by: str
    read_by: str
    lives: str = "for good"
    public: bool = False
    rights: dict[str, str] = dataclasses.field(default_factory=dict)


KEYS: list[Key] = []


def _one(
    name: str, kind: str, meaning: str, written_by: str, read_by: str, lives: str = "for good", *, rights: str
) -> str:
    KEYS.append(Key(name, kind, meaning, written_by, read_by, lives, rights=_rights(rights)))
    return name


def _rights(text: str) -> dict[str, str]:
    return dict(one.split("=") for one in text.split())


def _family(
    kind: str, written_by: str, read_by: str, lives: str = "for good", *, public: bool = False, rights: str
) -> Callable[[Make], Make]:
    """Enter a function into ``KEYS``; its docstring is the meaning."""

    def enter(make: Make) -> Make:
        arguments = ("p", "USER")[: make.__code__.co_argcount]
        KEYS.append(
            Key(make(*arguments), kind, make.__doc__ or "", written_by, read_by, lives, public, _rights(rights))
        )
        return make

    return enter


META = _one(
    "lambent:meta",
    "hash",
    "``partitions`` (P, fixed when the store is made), ``tile_ms``, ``schema``. Of the snapshot that is published: "
    "``profiles_table``, ``profiles_version``, ``features``, ``record_version``, ``events_version``, ``cutoff_ms``, "
    "``users_version``; "
    "``publishing`` (the version that is being written). ``catalogue`` (the control entry that was announced last). ``published`` (the newest cut-offs), ``floor_ms`` (the oldest of "
    "them: tiles that start before it are in every snapshot that may be rolled back to)",
    "the first part that starts, publish",
    "all",
    rights="collector=R server=RW worker=RW archiver=RW publisher=RW reader=R",
)
PUBLISHER = _one(
    "lambent:publisher",
    "string",
    "Who publishes: one at a time.",
    "publish",
    "publish",
    "30 s after its last batch",
    rights="publisher=RW",
)
ARCHIVER = _one(
    "lambent:archiver",
    "string",
    "Who archives. It only saves double work; the transactions of the Delta tables are the fence.",
    "archiver",
    "archiver, status",
    "3 s, or 3 commits",
    rights="archiver=RW",
)
WORKERS = _one(
    "lambent:workers",
    "zset",
    "The workers that live: name, a blank, the partitions that it may take (``0-7,12``). The score is when it counts as gone "
    "unless it says again that it is there, in ms by the store's clock. From it each works out its share.",
    "worker",
    "worker, status",
    rights="worker=RW",
)
ARCHIVED = _one(
    "lambent:archived",
    "hash",
    "For each partition the id of the last entry that is archived, as of the archiver's last round, for those who look on. "
    "The archiver itself goes by the tables.",
    "archiver",
    "status, metrics",
    rights="worker=R archiver=RW",
)


def pseudonym(raw_id: str, key: bytes) -> str:
    """A visitor's pseudonym: ``base64url(HMAC-SHA-256(key, raw id)[:16])`` without padding, 22 characters (RFC 2104, RFC 4648).

    The raw id never goes past a door: producers and readers hold the key, the store and the tables do not.
    """
    digest = hmac.digest(key, raw_id.encode(), "sha256")[:16]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def partition(user: str, partitions: int) -> int:
    """A visitor's partition: Redis Cluster's own key slot (CRC16/XMODEM mod 16384) mod P."""
    return binascii.crc_hqx(user.encode(), 0) % SLOTS % partitions


def by_partition(users: Sequence[str], partitions: int) -> dict[int, list[int]]:
    """The places of each partition's users in the list: their keys lie in one slot, so one command can read or set them."""
    found: dict[int, list[int]] = {}
    for place, user in enumerate(users):
        found.setdefault(partition(user, partitions), []).append(place)
    return found


@_family(
    "stream",
    "server, producers, replay, archiver (markers), model register and promote, publish-catalogue",
    "worker, archiver",
    "until worker and archive have seen it",
    rights="collector=RW server=RW worker=R archiver=RW publisher=RW",
)
def events(p: int) -> str:
    """Stream of partition ``p``. An entry has one field: ``e`` an event, ``c`` a control entry, ``m`` a marker."""
    return f"events:{{{p}}}"


@_family(
    "stream",
    "worker",
    "archiver, server, whoever follows intents",
    "archived, and 10 minutes old; in a full store archived",
    public=True,
    rights="server=R worker=RW archiver=RW reader=R",
)
def intents(p: int) -> str:
    """Stream of what was predicted; one entry a batch, field ``i``: a JSON array of intents."""
    return f"intents:{{{p}}}"


@_family(
    "stream",
    "worker, rebuild",
    "archiver, law, rebuild, status",
    "archived, and 10 minutes old; in a full store archived",
    rights="worker=RW archiver=RW",
)
def dead(p: int) -> str:
    """Stream of what a worker had to give up: fields ``id``, ``reason``, ``bytes``."""
    return f"dead:{{{p}}}"


@_family(
    "string",
    "worker, rebuild",
    "worker, archiver, server, status",
    public=True,
    rights="collector=R server=R worker=RW archiver=RW reader=R",
)
def position(p: int) -> str:
    """Id of the last stream entry whose effects are in the store: the fence. ``0-1`` while the partition is rebuilt."""
    return f"position:{{{p}}}"


@_family("string", "worker, rebuild", "worker, server, status", rights="server=R worker=RW")
def control(p: int) -> str:
    """What the control entries up to the position have set, as JSON."""
    return f"control:{{{p}}}"


@_family("string", "worker", "worker, status", "3 s", rights="worker=RW")
def lease(p: int) -> str:
    """Who works on the partition. It only saves double work; the position is the fence. ``lambent:workers`` says who else might."""
    return f"lease:{{{p}}}"


@_family("string", "publish", "worker, server, law", rights="server=R worker=R publisher=RW")
def profile(p: int, user: str) -> str:
    """The batch profile, with its own cut-off; only ``publish`` writes it."""
    return f"profile:{{{p}}}:{user}"


def profile_pattern() -> str:
    """What matches every profile key, as ``SCAN`` has it."""
    return "profile:{*}:*"


@_family("string", "worker, rebuild", "worker, server, law", "14 d after the last event", rights="server=R worker=RW")
def live(p: int, user: str) -> str:
    """The live record; only the worker writes it, and what a rebuild makes by the worker's code."""
    return f"live:{{{p}}}:{user}"


def live_pattern() -> str:
    """What matches every live record, as ``SCAN`` has it."""
    return "live:{*}:*"


@_family("string", "worker, rebuild", "worker", "14 d after the last event in a shadow", rights="worker=RW")
def shadow(p: int, user: str) -> str:
    """The state of the challenger that predicts in the shadow of the user's session; only while there is one."""
    return f"shadow:{{{p}}}:{user}"


@_family(
    "string",
    "worker, rebuild",
    "server, systems that act",
    "14 d after the last event",
    public=True,
    rights="server=R worker=RW reader=R",
)
def intent(p: int, user: str) -> str:
    """The newest intent, as JSON; only the worker writes it, and a rebuild where it is missing."""
    return f"intent:{{{p}}}:{user}"


def intent_pattern() -> str:
    """What matches every newest intent, as ``SCAN`` has it."""
    return "intent:{*}:*"


def user_of(key: str) -> tuple[int, str]:
    """The partition and the pseudonym that a key of one user names."""
    p, _, user = key[key.index("{") + 1 :].partition("}:")
    return int(p), user


@_family("string", "archiver", "worker, archiver", rights="worker=R archiver=RW")
def trimmed(p: int) -> str:
    """Id up to which the stream has been trimmed: a worker whose position is before it has lost entries."""
    return f"trimmed:{{{p}}}"


@_family("hash", "rebuild", "rebuild", "while the partition is rebuilt", rights="")
def rebuild(p: int) -> str:
    """Where the partition stood before (``position``), and which rebuild works on it (``owner``)."""
    return f"rebuild:{{{p}}}"


@_family(
    "set",
    "quarantine retry, dead retry",
    "quarantine retry, dead retry",
    "30 d after the last retry",
    rights="publisher=RW",
)
def retried(p: int) -> str:
    """Set of the quarantined places whose mended entry is in the stream: what makes a retry exactly-once."""
    return f"retried:{{{p}}}"
