"""How much memory Valkey will need for so many users: the real encoders on a typical user, and what a key costs besides.

What is assumed, and errs on the large side:

* Every user has all three keys: a profile, a live record and a newest intent. The last two are of those alone who did
  something in the last 14 days.
* A user has done ``HISTORY`` events of all types in turn, with ``VARIETY`` products and fewer categories and brands. What
  never happened takes no room in a profile.
* A live record holds ``TILES`` tiles of ``TILE_EVENTS`` events: the running one, and one that no published profile has. The
  events are among the last ones, so that no sums of them are stored.
* Streams come on top. They are trimmed to what worker and archive have not seen, so a healthy one is short.

A key costs more than its bytes: Valkey keeps key and header in one block and the value in another, each rounded up to a
size of jemalloc's, and a slot in its table of keys (and of expiries). A Valkey that uses libc's allocator, as the embedded
one does, rounds less: it needs about a tenth less than is said here.
"""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np

from lambent import keys
from lambent.encoding import Events, encode_events
from lambent.events import Event, Intent
from lambent.features import FeatureSet
from lambent.fold import fold_profiles
from lambent.profile import Profiles
from lambent.records import LAST_EVENTS, RECENT_IDS, LiveRecords, encode_live, encode_profiles, kept_fields, last_dtype
from lambent.tiles import Ragged, Tiles, rows_of, stack

HISTORY = 40
VARIETY = 15
TILES, TILE_EVENTS = 2, 6
SESSION_EVENTS = 5

USER = "A" * 22
TIME_MS = 1_700_000_000_000
STEP_MS = 3_600_000

OBJECT_BYTES = 16
EXPIRY_BYTES = 8
SLOT_BYTES = 12  # a bucket of 64 bytes holds 7 keys, and tables are three quarters full


@dataclasses.dataclass(frozen=True)
class Entry:
    """One key of a user: its name, its value, and whether it expires."""

    key: str
    value: bytes
    expires: bool

    @property
    def stored_bytes(self) -> int:
        """What Valkey allocates for it."""
        head = OBJECT_BYTES + (EXPIRY_BYTES if self.expires else 0) + _string_bytes(len(self.key)) + 1
        slots = SLOT_BYTES * (2 if self.expires else 1)
        return allocated(head) + allocated(_string_bytes(len(self.value))) + slots


def _string_bytes(length: int) -> int:
    """A string with its header and its NUL."""
    return length + 1 + (1 if length < 32 else 3 if length < 256 else 5)


def allocated(size: int) -> int:
    """A size rounded up to one that jemalloc has: by 16 bytes up to 128, then four steps to each doubling."""
    step = 16 if size <= 128 else 1 << ((size - 1).bit_length() - 3)
    return -(-size // step) * step


def typical_user(features: FeatureSet, partitions: int) -> list[Entry]:
    """The keys of a typical user, encoded as they will be.

    Args:
        features: the feature set.
        partitions: P; the last partition's number is the longest.
    """
    p = partitions - 1
    (profile,) = encode_profiles(features, _aggregates(features, HISTORY), TIME_MS)
    (live,) = encode_live(features, _live_record(features))
    return [
        Entry(keys.profile(p, USER), profile, expires=False),
        Entry(keys.live(p, USER), live, expires=True),
        Entry(keys.intent(p, USER), _intent(features), expires=True),
    ]


def user_bytes(features: FeatureSet, partitions: int) -> int:
    """What Valkey needs for one typical user."""
    return sum(entry.stored_bytes for entry in typical_user(features, partitions))


def _live_record(features: FeatureSet) -> LiveRecords:
    """[1] with ids and events, and no byte of its fixed part that is 0."""
    record, events = LiveRecords.empty(features, 1), _events(features, LAST_EVENTS)
    rows_of(record.fixed)[:] = 1
    last = np.zeros(LAST_EVENTS, last_dtype(features.taxonomy))
    for name in kept_fields(features):
        last[name] = events[name]
    last["clock_ms"], last["change"] = events["t_ms"], 0.1
    starts_ms, profiles = TIME_MS + STEP_MS * np.arange(TILES), stack([_aggregates(features, TILE_EVENTS)] * TILES)
    record.tiles = Tiles(np.zeros(TILES, np.int64), starts_ms, profiles, np.full(TILES, TILE_EVENTS))
    record.recent = Ragged(np.arange(RECENT_IDS, dtype=np.uint64), np.array([RECENT_IDS]))
    record.last = Ragged(last, np.array([LAST_EVENTS]))
    return record


def _aggregates(features: FeatureSet, number: int) -> Profiles:
    """[1] profile that has seen so many typical events."""
    return fold_profiles(features, features.profile.identity(1), np.zeros(number, np.int64), _events(features, number))


def _events(features: FeatureSet, number: int) -> Events:
    """Events of all types in turn, each a session of its own."""
    types = [event_type.name for event_type in features.taxonomy.types]
    events = [
        Event(
            user=USER,
            type=types[i % len(types)],
            event_ms=TIME_MS + i * STEP_MS,
            id=str(i),
            product=f"product {i % VARIETY}",
            category=f"category {i % VARIETY // 3}",
            brand=f"brand {i % VARIETY // 3}",
            price=9.99,
            dwell_ms=20_000,
        )
        for i in range(number)
    ]
    return encode_events(events, [event.event_ms for event in events], features.taxonomy)


def _intent(features: FeatureSet) -> bytes:
    """A newest intent, its probabilities written in full."""
    probabilities = dict.fromkeys(features.taxonomy.intents, 0.1234567890123456)
    intent = Intent(
        user=USER,
        event_id="0" * 24,
        event_ms=TIME_MS,
        ingest_ms=TIME_MS,
        probabilities=probabilities,
        model="12",
        cutoff_ms=TIME_MS,
        actions=("recommend",),
        session_events=SESSION_EVENTS,
    )
    return msgspec.json.encode(intent)
