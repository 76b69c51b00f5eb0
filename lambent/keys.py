"""Every key of the store, and how a user is found there: one definition each.

All keys of partition ``p`` carry the hash tag ``{p}``, so that they lie in one slot of a Cluster and can change in one
transaction.
"""

from __future__ import annotations

import base64
import binascii
import hmac

SLOTS = 16384

META = "lambent:meta"
"""Hash: ``partitions`` (P, fixed when the store is made), ``tile_ms``, ``schema``, ``floor_ms`` (tiles that start before it
are in every snapshot that may be rolled back to)."""

ARCHIVER = "lambent:archiver"
"""Who archives. It only saves double work; the transactions of the Delta tables are the fence."""


def pseudonym(raw_id: str, key: bytes) -> str:
    """The user key: ``base64url(HMAC-SHA-256(key, raw id)[:16])`` without padding, 22 characters (RFC 2104, RFC 4648).

    The raw id never goes past a door: producers and readers hold the key, the store and the tables do not.
    """
    digest = hmac.digest(key, raw_id.encode(), "sha256")[:16]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def partition(user: str, partitions: int) -> int:
    """Partition of a user: Redis Cluster's own key slot (CRC16/XMODEM mod 16384) mod P."""
    return binascii.crc_hqx(user.encode(), 0) % SLOTS % partitions


def events(p: int) -> str:
    """Stream of partition ``p``. An entry has one field: ``e`` an event, ``c`` a control entry, ``m`` a marker."""
    return f"events:{{{p}}}"


def intents(p: int) -> str:
    """Stream of what was predicted; one entry a batch, field ``i``: a JSON array of intents."""
    return f"intents:{{{p}}}"


def dead(p: int) -> str:
    """Stream of what a worker had to give up: fields ``id``, ``reason``, ``bytes``."""
    return f"dead:{{{p}}}"


def position(p: int) -> str:
    """Id of the last stream entry whose effects are in the store: the fence."""
    return f"position:{{{p}}}"


def control(p: int) -> str:
    """What the control entries up to the position have set, as JSON."""
    return f"control:{{{p}}}"


def lease(p: int) -> str:
    """Who works on the partition. It only saves double work; the position is the fence."""
    return f"lease:{{{p}}}"


def profile(p: int, user: str) -> str:
    """The batch profile; only ``publish`` writes it."""
    return f"profile:{{{p}}}:{user}"


def live(p: int, user: str) -> str:
    """The live record; only the worker writes it."""
    return f"live:{{{p}}}:{user}"


def intent(p: int, user: str) -> str:
    """The newest intent, as JSON; only the worker writes it."""
    return f"intent:{{{p}}}:{user}"


def trimmed(p: int) -> str:
    """Id up to which the stream has been trimmed: a worker whose position is before it has lost entries."""
    return f"trimmed:{{{p}}}"


def retried(p: int) -> str:
    """Set of the quarantined places whose mended entry is in the stream: what makes a retry exactly-once."""
    return f"retried:{{{p}}}"
