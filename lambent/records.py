"""The two keys of a user: the published profile and the live record, as bytes.

    profile:{p}:user  = head | cut-off T in ms (6 bytes) | packed profile (short floats)
    live:{p}:user     = head | fixed part | number of recent ids (uint16), each uint64
                             | for each tile: start_ms (int64), length (uint16), packed profile (float64)

``head`` names the format's version and the feature set. A profile has seen all that the log took from the user before its
cut-off ``T``, and between there and the cut-off of the published snapshot there is nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.codec import pack, unpack
from lambent.errors import StoreError
from lambent.features import FeatureSet
from lambent.fold import merge_into
from lambent.profile import Profiles
from lambent.sessions import session_dtype
from lambent.taxonomy import Taxonomy

VERSION = 3
STATE_WIDTH = 64
"""Width of the model's recurrent state, float32, kept with the session."""
RECENT_IDS = 16
"""How many of a user's newest event ids the worker remembers at least, to drop duplicates …"""
MOST_RECENT_IDS = 1024
"""… and at most: it remembers those of the running session, which a bot's can make long."""

_HEAD = struct.Struct("<B4s")
"""Version, the first half of the feature set's hash."""
_CUTOFF_BYTES = 6
_TILE = struct.Struct("<qH")
_COUNT = struct.Struct("<H")
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
    cutoffs = (ms.to_bytes(_CUTOFF_BYTES, "little") for ms in np.broadcast_to(cutoff_ms, len(profiles)).tolist())
    bodies = pack(features.profile, profiles, double=False)
    return [head + cutoff + body for cutoff, body in zip(cutoffs, bodies, strict=True)]


def decode_profiles(features: FeatureSet, values: Sequence[bytes | None]) -> tuple[Profiles, NDArray[np.int64]]:
    """[n] profiles and their cut-offs in ms; the identity and 0 where there is no value.

    Raises:
        StoreError: a value is of another version or feature set.
    """
    profiles = features.profile.identity(len(values))
    cutoffs_ms = np.zeros(len(values), np.int64)
    known = [i for i, value in enumerate(values) if value is not None]
    found = [_after_head(features, value, "profile") for value in values if value is not None]
    cutoffs_ms[known] = [int.from_bytes(after[:_CUTOFF_BYTES], "little") for after in found]
    profiles[known] = unpack(features.profile, [after[_CUTOFF_BYTES:] for after in found], double=False)
    return profiles, cutoffs_ms


def _after_head(features: FeatureSet, value: bytes, what: str) -> bytes:
    version, feature_hash = _HEAD.unpack_from(value) if len(value) >= _HEAD.size else (0, b"")
    if version != VERSION:
        raise StoreError(
            f"A {what} has version {version}; this is version {VERSION}.",
            "Run lambent publish --full, and lambent rebuild for live records.",
        )
    if feature_hash != _named(features):
        raise StoreError(
            f"A {what} was made for features {feature_hash.hex()}…; these are {features.hash}.",
            "Run lambent publish --full, and lambent rebuild for live records.",
        )
    return value[_HEAD.size :]


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
            ("state", "f4", (STATE_WIDTH,)),
        ]
    )


@dataclasses.dataclass
class LiveRecords:
    """Live records of n users.

    Attributes:
        fixed: [n] of ``live_dtype``.
        tiles: for each user its tiles, oldest first: (start in ms, one profile).
        recent: for each user its newest event ids, hashed, oldest first; empty: none for anybody.
    """

    fixed: NDArray[np.void]
    tiles: list[list[tuple[int, Profiles]]]
    recent: list[NDArray[np.uint64]] = dataclasses.field(default_factory=list)


def encode_live(features: FeatureSet, records: LiveRecords) -> list[bytes]:
    """[n] values of the live keys."""
    head = _HEAD.pack(VERSION, _named(features))
    flat = [tile for tiles in records.tiles for _, tile in tiles]
    packed = iter(pack(features.profile, stack(flat), double=True) if flat else [])
    recent = records.recent or [np.empty(0, _ID)] * len(records.tiles)
    values = []
    for row, tiles in enumerate(records.tiles):
        ids = recent[row].astype(_ID, copy=False)
        parts = [head, records.fixed[row].tobytes(), _COUNT.pack(len(ids)), ids.tobytes()]
        for start_ms, _ in tiles:
            body = next(packed)
            parts += [_TILE.pack(start_ms, len(body)), body]
        values.append(b"".join(parts))
    return values


def decode_live(features: FeatureSet, values: Sequence[bytes | None]) -> LiveRecords:
    """[n] live records; an unseen user's where there is no value.

    Raises:
        StoreError: a value is of another version or feature set.
    """
    dtype = live_dtype(features.taxonomy)
    fixed = np.zeros(len(values), dtype)
    recent = [np.empty(0, _ID)] * len(values)
    starts: list[tuple[int, int]] = []
    bodies: list[bytes] = []
    for row, value in enumerate(values):
        if value is None:
            continue
        after = _after_head(features, value, "live record")
        fixed[row] = np.frombuffer(after, dtype, count=1)[0]
        at = dtype.itemsize
        (count,) = _COUNT.unpack_from(after, at)
        recent[row] = np.frombuffer(after, _ID, count, at + _COUNT.size)
        at += _COUNT.size + count * _ID.itemsize
        while at < len(after):
            start_ms, length = _TILE.unpack_from(after, at)
            starts.append((row, start_ms))
            bodies.append(after[at + _TILE.size : at + _TILE.size + length])
            at += _TILE.size + length
    unpacked = unpack(features.profile, bodies, double=True)
    tiles: list[list[tuple[int, Profiles]]] = [[] for _ in values]
    for index, (row, start_ms) in enumerate(starts):
        tiles[row].append((start_ms, unpacked[index : index + 1]))
    return LiveRecords(fixed, tiles, recent)


def stack(tiles: Sequence[Profiles]) -> Profiles:
    """[n] profiles of one row each as one array. ``np.concatenate`` would compare their many fields anew each time."""
    raw = np.dtype((np.void, tiles[0].dtype.itemsize))
    joined: Profiles = np.concatenate([tile.view(raw) for tile in tiles]).view(tiles[0].dtype)
    return joined


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


def merge_tiles(
    features: FeatureSet,
    profiles: Profiles,
    tiles: Sequence[Sequence[tuple[int, Profiles]]],
    cutoffs_ms: NDArray[np.int64],
) -> None:
    """Merge each user's tiles that start at its cut-off or later into its profile, in place."""
    kept = [(row, tile) for row, own in enumerate(tiles) for start_ms, tile in own if start_ms >= cutoffs_ms[row]]
    if kept:
        merge_into(features, profiles, np.array([row for row, _ in kept]), stack([tile for _, tile in kept]))
