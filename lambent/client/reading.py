"""What a read gives, and what both clients share: whose key it is, what the bytes say, what stands in for them."""

from __future__ import annotations

import enum
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from redis.connection import parse_url

from lambent import keys
from lambent.errors import DataError, SettingsError, StoreError
from lambent.events import UNDECODABLE, Intent
from lambent.keys import USER_KEY_BYTES
from lambent.routing import Router
from lambent.slots import Address

TIMEOUT_MS = 20
"""What a page that waits for an intent can spare; a read takes a hundredth of it."""

Command = tuple[str, ...]
Plan = dict[int, dict[str, None]]
"""Pseudonyms by partition, each once, in order."""
Found = Mapping[str, bytes | None]
"""What the store holds, by pseudonym."""

ASK: Command = ("HMGET", keys.META, "partitions", "schema")
"""What has to be known of a store before it is read."""

_decode = msgspec.json.Decoder(Intent).decode


class Reason(enum.StrEnum):
    """What a reading's probabilities are."""

    READ = "read"
    """The visitor's newest intent."""
    ABSENT = "absent"
    """The default: no event of the visitor in the last 14 days, or none that was answered yet; or another key made the pseudonyms."""
    STALE = "stale"
    """The default: the intent is older than ``max_age_ms``."""
    UNAVAILABLE = "unavailable"
    """The default: the store was not there, or did not answer in time."""
    UNREADABLE = "unreadable"
    """The default: what the store holds is no intent of this version."""


class Reading(msgspec.Struct, frozen=True):
    """What one visitor is about to do, or the default and why.

    Attributes:
        user: the pseudonym.
        probabilities: by intent; the default's unless ``reason`` is ``read``.
        actions: what the policy made of the intent; a default has none.
        intent: what the store holds, also where it is stale; None where it holds nothing, or nothing that can be read.
        age_ms: how long ago the log took the event that the intent speaks of; None without an intent.
        reason: what ``probabilities`` are.
        detail: what went wrong, for a log; it names no visitor.
    """

    user: str
    probabilities: Mapping[str, float]
    reason: Reason
    actions: tuple[str, ...] = ()
    intent: Intent | None = None
    age_ms: int | None = None
    detail: str = ""

    @property
    def is_default(self) -> bool:
        """Whether the default stands in."""
        return self.reason is not Reason.READ


class Reader:
    """What both clients are made of; it talks to nobody.

    Args:
        url: redis://, rediss:// or unix://; of a Cluster any node.
        user_key: key of the pseudonyms, 32 bytes: ``bytes.fromhex`` of the setting ``user_key``.
        timeout_ms: how long a read may wait for the store, connecting included.
        default: probabilities that stand in for an intent; by default none.
        max_age_ms: an intent that is older is stale; None: any age will do.
        strict: raise where the store cannot be read, instead of giving the default.

    Raises:
        SettingsError: the key is not 32 bytes, or the URL of no known form. The URL's text is not repeated, since it may
            hold a password.

    Attributes:
        tally: how many readings were given, by reason.
    """

    def __init__(
        self,
        url: str,
        user_key: bytes,
        *,
        timeout_ms: float = TIMEOUT_MS,
        default: Mapping[str, float] | None = None,
        max_age_ms: int | None = None,
        strict: bool = False,
    ) -> None:
        if len(user_key) != USER_KEY_BYTES:
            raise SettingsError(
                f"The key of the pseudonyms has {len(user_key)} bytes, not {USER_KEY_BYTES}.",
                "Give bytes.fromhex of the setting user_key.",
            )
        self.tally: Counter[Reason] = Counter()
        self._user_key = user_key
        self._timeout_s = timeout_ms / 1000
        self._default = dict(default or {})
        self._max_age_ms = max_age_ms
        self._strict = strict
        self._partitions = 0  # what the store says, once it was asked
        self._router: Router | None = None  # of a Cluster
        self._counting = threading.Lock()
        try:
            named = parse_url(url)
            self._first: Address = (named.get("host", "localhost"), named.get("port", 6379))
            self._open(url)
        except (ValueError, TypeError) as error:
            raise SettingsError("This is not a URL of a store.", "Use redis://, rediss:// or unix://.") from error

    def _open(self, url: str) -> None:
        raise NotImplementedError

    @property
    def _must_meet(self) -> bool:
        """Whether the store has to be asked what it is; a Cluster also where a slot has moved."""
        return not self._partitions or (self._router is not None and self._router.stale)

    def _met(self, slots: Any) -> None:
        """Note the reply to ``ASK_SLOTS``: an error where the store is no Cluster, or does not say so to this user."""
        self._router = None if isinstance(slots, Exception) else Router(slots, self._first)

    def _users(self, user_ids: Sequence[str]) -> list[str]:
        """Their pseudonyms; "" for what no door takes as an id, a text that has no UTF-8."""
        return [self._pseudonym(user_id) for user_id in user_ids]

    def _pseudonym(self, user_id: str) -> str:
        try:
            return keys.pseudonym(user_id, self._user_key)
        except UnicodeEncodeError:
            return ""

    def _plan(self, users: Iterable[str]) -> Plan:
        """One MGET a partition: its keys lie in one slot of a Cluster."""
        plan: Plan = {}
        for user in users:
            if user:
                plan.setdefault(keys.partition(user, self._partitions), {})[user] = None
        return plan

    def _readings(self, users: Sequence[str], found: Found) -> list[Reading]:
        """A reading for each pseudonym.

        Raises:
            DataError: one cannot be read; only if strict.
        """
        now_ms = time.time_ns() // 1_000_000
        readings = [self._reading(user, found.get(user), now_ms) for user in users]
        self._count(readings)
        if self._strict:
            for one in readings:
                if one.reason is Reason.UNREADABLE:
                    raise DataError(one.detail, "Upgrade lambent here to the worker's version.")
        return readings

    def _reading(self, user: str, data: bytes | None, now_ms: int) -> Reading:
        if data is None:
            return self._instead(user, Reason.ABSENT)
        try:
            intent = _decode(data)
        except UNDECODABLE as error:
            return self._instead(user, Reason.UNREADABLE, f"The store holds no intent of this version ({error}).")
        age_ms = max(now_ms - intent.ingest_ms, 0)  # the clocks of two machines differ
        if self._max_age_ms is not None and age_ms > self._max_age_ms:
            return Reading(user, self._default, Reason.STALE, intent=intent, age_ms=age_ms)
        return Reading(user, intent.probabilities, Reason.READ, intent.actions, intent, age_ms)

    def _instead(self, user: str, reason: Reason, detail: str = "") -> Reading:
        return Reading(user, self._default, reason, detail=detail)

    def _unavailable(self, users: Sequence[str], error: Exception) -> list[Reading]:
        """The default for each pseudonym. The store may come back as another one: it is asked for P again.

        Raises:
            StoreError: if strict.
        """
        self._partitions = 0
        detail = f"The store cannot be read ({str(error) or 'no answer in time'})."
        readings = [self._instead(user, Reason.UNAVAILABLE, detail) for user in users]
        self._count(readings)
        if self._strict:
            raise StoreError(detail, "Is it running, and does the URL name it?") from error
        return readings

    def _count(self, readings: Sequence[Reading]) -> None:
        with self._counting:
            for one in readings:
                self.tally[one.reason] += 1


def commands_of(plan: Plan) -> list[Command]:
    """The plan as commands."""
    return [("MGET", *(keys.intent(p, user) for user in own)) for p, own in plan.items()]


def found_by(plan: Plan, replies: Sequence[Sequence[bytes | None]]) -> Found:
    """What the commands' replies say, by pseudonym."""
    return {
        user: data
        for own, values in zip(plan.values(), replies, strict=True)
        for user, data in zip(own, values, strict=True)
    }


def partitions_of(reply: Sequence[bytes | None]) -> int:
    """P, from the reply to ``ASK``.

    Raises:
        StoreError: no store has been made there, or one whose schema this version does not know.
    """
    partitions, schema = (int(value) if value and value.isdigit() else 0 for value in reply)
    if not partitions:
        raise StoreError("there is no Lambent store at this URL")
    if schema > keys.SCHEMA:
        raise StoreError(f"it has schema {schema}; this version of lambent knows schemas up to {keys.SCHEMA}")
    return partitions
