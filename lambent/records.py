"""The two keys of a user: the published profile and the live record, as bytes.

    profile:{p}:user  = head | cut-off T in ms (6 bytes) | packed profile (short floats)
    live:{p}:user     = head | fixed part | numbers of recent ids, last events and tiles (uint16 each) | ids, 6 bytes each | events
                             | for each tile: start_ms (6 bytes), number of events (uint16)
                                              and where that is 0: length (uint16), packed profile (float64)

``head`` names the format's version and the feature set. A profile has seen all that the log took from the user before its
cut-off ``T``, and between there and the cut-off of the published snapshot there is nothing.

Of the fixed part, what comes before the model's state is a bit for each byte, whether it is not 0, and those bytes. Events are

    clock_ms        6 bytes: the user's clock after the first one
    widths          half a byte for each column: how many bytes each of its numbers takes; 0: all are 0
    columns         type, with what marks the event in the bits from 5 on; clock after that of the event before; its time before
                    the clock; price: 0 none, else 1 + its cents, or a double's bits; dwell: 0 none, else 1 + it;
                    hashes of the texts; what the event did to each intent, float16

**A tile is the fold of its events.** While these are all among the user's last ones it is kept as their number: the newest tile's
are the last, those of the tile before it come before them. Sums are for tiles that have seen more: in bytes, events cost a third
of the decayed sums that they become.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent import compiled
from lambent.codec import pack, pack_joined, unpack_joined
from lambent.encoding import EVENT_DTYPE, ID_BYTES, TEXT_FIELDS
from lambent.errors import DataError, StoreError
from lambent.features import FeatureSet
from lambent.fold import program_of
from lambent.last_packing import COLUMNS
from lambent.packing import CLOCK_BYTES
from lambent.profile import Profiles
from lambent.record_packing import COUNTS_BYTES, LENGTH_BYTES, TILE_BYTES
from lambent.sessions import session_dtype
from lambent.taxonomy import MAX_INTENTS, Taxonomy
from lambent.tiles import UNCOUNTED, Ragged, Tiles, merge_tiles, rows_of
from lambent.views import Arrays, last_columns, profile_blocks

Rows = NDArray[np.int64]

VERSION = 3
"""Of profiles …"""
LIVE_VERSION = 5
"""… and of live records."""
STATE_WIDTH = 64
"""Width of the model's recurrent state, float32, kept with the session."""
RECENT_IDS = 16
"""How many of a user's newest event ids the worker remembers at least, to drop duplicates …"""
MOST_RECENT_IDS = 1024
"""… and at most: it remembers those of the running session, which a bot's can make long."""

LAST_EVENTS = 20
"""How many of a user's last events are kept, with what they did to the intent."""
LAST_FIELDS = ("t_ms", "clock_ms", "type", "opens", "late", "decides", "returns", *TEXT_FIELDS, "price", "dwell_ms")
"""What may be kept of them."""
MOST_EVENT_BYTES = 8 * (COLUMNS + MAX_INTENTS)
BLOCK_BYTES = COUNTS_BYTES + CLOCK_BYTES + MOST_EVENT_BYTES
"""Room for what the ids and the events of a record begin with, and more."""

_HEAD = struct.Struct("<B4s")
"""Version, the first half of the feature set's hash."""
_ID = np.dtype("<u8")


def encode_profiles(features: FeatureSet, profiles: Profiles, cutoff_ms: NDArray[np.int64] | int) -> list[bytes]:
    """[n] values of the profile keys.

    Args:
        features: the feature set.
        profiles: [n].
        cutoff_ms: for each T of the snapshot at which it last changed, or one for all. That of any later snapshot would do as
            well while the user does nothing new, but so the bytes stay too.
    """
    head = _HEAD.pack(VERSION, _named(features))
    cutoffs = (ms.to_bytes(CLOCK_BYTES, "little") for ms in np.broadcast_to(cutoff_ms, len(profiles)).tolist())
    bodies = pack(features.profile, profiles, double=False)
    return [head + cutoff + body for cutoff, body in zip(cutoffs, bodies, strict=True)]


def decode_profiles(features: FeatureSet, values: Sequence[bytes | None]) -> tuple[Profiles, NDArray[np.int64]]:
    """[n] profiles and their cut-offs in ms; the identity and 0 where there is no value.

    Raises:
        StoreError: a value is of another version or feature set.
    """
    data, begins, ends = _joined(features, values, VERSION, "profile")
    if any(value and len(value) < _HEAD.size + CLOCK_BYTES for value in values):
        raise DataError("A profile is cut off.", "Run lambent publish --full.")
    clock = slice(_HEAD.size, _HEAD.size + CLOCK_BYTES)
    cutoffs_ms = np.array([int.from_bytes(value[clock], "little") if value else 0 for value in values], np.int64)
    there = np.flatnonzero(begins < ends)
    everywhere = len(there) == len(values)
    profiles = np.empty(len(values), features.profile.dtype) if everywhere else features.profile.identity(len(values))
    unpack_joined(features.profile, data, begins[there] + CLOCK_BYTES, ends[there], profiles, there, double=False)
    return profiles, cutoffs_ms


def _joined(
    features: FeatureSet, values: Sequence[bytes | None], version: int, what: str
) -> tuple[NDArray[np.uint8], Rows, Rows]:
    """All values one after the other, and [n] where each lies behind its head; one that is None begins at its end.

    Raises:
        StoreError: a value is of another version or feature set.
    """
    head, filled = _HEAD.pack(version, _named(features)), [value or b"" for value in values]
    if not all(value.startswith(head) and len(value) > len(head) for value in filled if value):
        for value in filled:
            _check_head(features, value, version, what)
    lengths = np.array([len(value) for value in filled], np.int64)
    ends = np.cumsum(lengths)
    begins = ends - lengths + len(head) * (lengths > 0)
    return np.frombuffer(b"".join([*filled, bytes(8)]), np.uint8), begins, ends


def _check_head(features: FeatureSet, value: bytes, version: int, what: str) -> None:
    if not value:
        return
    found, feature_hash = _HEAD.unpack_from(value) if len(value) > _HEAD.size else (0, b"")
    if found != version:
        raise StoreError(
            f"A {what} has version {found}; this is version {version}.",
            "Run lambent publish --full, and lambent rebuild for live records.",
        )
    if feature_hash != _named(features):
        raise StoreError(
            f"A {what} was made for features {feature_hash.hex()}…; these are {features.hash}.",
            "Run lambent publish --full, and lambent rebuild for live records.",
        )


@functools.cache
def _named(features: FeatureSet) -> bytes:
    return bytes.fromhex(features.hash)[:4]


@functools.cache
def live_dtype(taxonomy: Taxonomy) -> np.dtype[np.void]:
    """The fixed part of a live record; all zero is a user never seen."""
    return np.dtype(
        [
            ("session", session_dtype(taxonomy)),
            ("reset_ms", "i8"),  # see fold.FoldState
            ("model", "u4"),  # version that the session runs on; 0: none
            ("said", "f4", (len(taxonomy.intents),)),  # the probabilities of the session's last answer; 0: none yet
            ("state", "f4", (STATE_WIDTH,)),
        ]
    )


@functools.cache
def last_dtype(taxonomy: Taxonomy) -> np.dtype[np.void]:
    """One of a user's last events: all that a tile is made of, and what it did to the intent; a late one did nothing."""
    # Of the probabilities, from the answer before it in the session.
    change = ("change", "f2", (len(taxonomy.intents),))
    return np.dtype([*((name, EVENT_DTYPE[name]) for name in LAST_FIELDS), change])


@functools.cache
def kept_fields(features: FeatureSet) -> tuple[str, ...]:
    """What of an event is kept; of other texts than these no aggregate wants to know."""
    wanted = {"product", "category", *(getattr(one, "by", "") for one in features.profile.aggregates)}
    return tuple(name for name in LAST_FIELDS if name in wanted or name not in TEXT_FIELDS)


@dataclasses.dataclass
class LiveRecords:
    """Live records of n users.

    Attributes:
        fixed: [n] of ``live_dtype``.
        tiles: of the users.
        recent: for each user its newest event ids, hashed, oldest first.
        last: for each user its last events, of ``last_dtype``, oldest first.
    """

    fixed: NDArray[np.void]
    tiles: Tiles
    recent: Ragged
    last: Ragged

    def answered(self, user: int) -> NDArray[np.void]:
        """A user's last events without the late ones, which moved no intent."""
        own = self.last.of(user)
        return own[~own["late"]]

    @classmethod
    def empty(cls, features: FeatureSet, users: int) -> LiveRecords:
        """Of users never seen."""
        none = np.empty(0, np.int64)
        nothing = Tiles(none, none, np.empty(0, features.profile.dtype), none)
        last = Ragged.empty(users, last_dtype(features.taxonomy))
        return cls(np.zeros(users, live_dtype(features.taxonomy)), nothing, Ragged.empty(users, _ID), last)


def encode_live(features: FeatureSet, records: LiveRecords) -> list[bytes]:
    """[n] values of the live keys."""
    head = np.frombuffer(_HEAD.pack(LIVE_VERSION, _named(features)), np.uint8)
    fixed, ids, last, tiles = rows_of(records.fixed), records.recent, records.last, records.tiles
    listed = np.empty(len(tiles.user), bool)
    compiled.find_listed(tiles.user, tiles.events, last.counts, listed)
    summed = np.flatnonzero(~listed)
    tile_bytes, tile_ends = pack_joined(features.profile, tiles.profiles, summed, double=True)
    begins, ends = np.zeros((2, len(listed)), np.int64)
    begins[summed[1:]], ends[summed] = tile_ends[:-1], tile_ends
    columns = (tiles.user, tiles.start_ms, np.where(listed, tiles.events, 0), begins, ends)
    size = len(fixed) * (len(head) + 2 * fixed.shape[1] + BLOCK_BYTES) + len(ids.values) * ID_BYTES + len(tile_bytes)
    size += len(last.values) * MOST_EVENT_BYTES + len(tiles.user) * (TILE_BYTES + LENGTH_BYTES)
    packed, stops = np.empty(size, np.uint8), np.empty(len(fixed), np.int64)
    compiled.put_together(
        head, _sparse_bytes(features), fixed, ids.values, ids.counts, last_columns(last.values), last.counts, columns,
        tile_bytes, packed, stops,
    )  # fmt: skip
    joined, cuts = packed[: stops[-1] if len(stops) else 0].tobytes(), stops.tolist()
    return [joined[begin:end] for begin, end in itertools.pairwise([0, *cuts])]


def decode_live(features: FeatureSet, values: Sequence[bytes | None]) -> LiveRecords:
    """[n] live records; an unseen user's where there is no value.

    Raises:
        StoreError: a value is of another version or feature set, or not as long as it says.
    """
    n, taxonomy = len(values), features.taxonomy
    data, begins, ends = _joined(features, values, LIVE_VERSION, "live record")
    fixed, (ids, last, tiles) = np.zeros(n, live_dtype(taxonomy)), np.empty((3, n), np.int64)
    sparse = _sparse_bytes(features)
    sizes = np.array([sparse, fixed.dtype.itemsize - sparse, COLUMNS + len(taxonomy.intents)])
    bad = compiled.count_parts(data, begins, ends, sizes, ids, last, tiles)
    if bad < n:
        raise StoreError(
            f"A live record of {int(ends[bad] - begins[bad])} bytes is not as long as it says.", "Run lambent rebuild."
        )
    recent, events = np.empty(ids.sum(), _ID), np.empty(last.sum(), last_dtype(taxonomy))
    found = np.empty((5, tiles.sum()), np.int64)
    columns = last_columns(events)
    bad = compiled.take_apart(
        data, begins, ends, ids, last, tiles, len(taxonomy.types), sparse, rows_of(fixed), recent, columns, tuple(found),
    )  # fmt: skip
    if bad < n:
        raise StoreError("A live record has an event of a type that there is not.", "Run lambent rebuild.")
    return LiveRecords(fixed, _tiles(features, data, columns, found), Ragged(recent, ids), Ragged(events, last))


def _tiles(features: FeatureSet, data: NDArray[np.uint8], last: Arrays, found: Rows) -> Tiles:
    """Tiles from their sums, or from their events.

    Args:
        features: the feature set.
        data: bytes of the records.
        last: columns of the users' last events.
        found: [5, m] as in ``views.PackedTiles``.
    """
    user, start_ms, events, begins, ends = found
    profiles = np.empty(len(user), features.profile.dtype)
    if len(summed := np.flatnonzero(events == 0)):
        unpack_joined(features.profile, data, begins[summed], ends[summed], profiles, summed, double=True)
    if len(listed := np.flatnonzero(events)):
        rows = begins[listed], ends[listed], listed
        compiled.fold_last(program_of(features), last, *rows, profile_blocks(profiles))
    events[summed] = UNCOUNTED
    return Tiles(user, start_ms, profiles, events)


def _sparse_bytes(features: FeatureSet) -> int:
    """Bytes of the fixed part before the model's state."""
    offset: int = live_dtype(features.taxonomy).fields["state"][1]  # type: ignore[index]
    return offset


def merge_live(
    features: FeatureSet, profiles: Profiles, cutoffs_ms: NDArray[np.int64], records: LiveRecords
) -> Profiles:
    """[n] the law's ``live(user)``: merge(profile(V, T), the user's tiles that start at T or later).

    A profile whose cut-off is not after the user's last reset has seen only what counts no more.
    """
    reset_ms = records.fixed["reset_ms"]
    merged = profiles.copy()
    stale = (reset_ms > 0) & (cutoffs_ms <= reset_ms)
    features.profile.forget(merged, stale)
    merge_tiles(features, merged, records.tiles, cutoffs_ms)
    return merged
