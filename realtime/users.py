"""Users' bytes to the fold's state, and back: the batch profile and the live record meet here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent import compiled
from lambent.errors import DataError, StoreError
from lambent.features import FeatureSet
from lambent.fold import FoldState, last_of
from lambent.profile import Profiles
from lambent.records import (
    LAST_EVENTS,
    MOST_RECENT_IDS,
    RECENT_IDS,
    LiveRecords,
    decode_live,
    decode_profiles,
    encode_live,
)
from lambent.tiles import Ragged, Tiles, merge_tiles, rows_of, stack

Rows = NDArray[np.int64]
Ids = NDArray[np.uint64]


@dataclasses.dataclass
class Users:
    """What is known of n users at the start of a batch.

    Attributes:
        fixed: [n] of ``live_dtype``; changed in place.
        recent: for each user its newest event ids, hashed, oldest first.
        last: for each user its last events.
        cutoff_ms: [n] cut-off of the profile that is used; 0: there is none, or it is of files alone.
        older: the users' tiles before the running ones.
        running: the running tiles, at most one of each user.
        base: [n] the profile with the older tiles since its cut-off.
        unreadable: for each profile that this version cannot read, why; its user is one without a profile.
        missed: how many users have a profile that was left out: it is newer than the event, or older than a reset.
    """

    fixed: NDArray[np.void]
    recent: Ragged
    last: Ragged
    cutoff_ms: Rows
    older: Tiles
    running: Tiles
    base: Profiles
    unreadable: list[str] = dataclasses.field(default_factory=list)
    missed: int = 0


def read_users(features: FeatureSet, values: Sequence[bytes | None], first_ms: Rows) -> Users:
    """Decode and merge. A profile that cannot be read is none; a live record that cannot be read must not be overwritten.

    Args:
        features: the feature set.
        values: for each user the profile's and the live record's bytes, in turn.
        first_ms: [n] ingest time of the user's first event in the batch. A profile that has seen it already (the worker
            is behind the publish) is left out: it would show the event its own future.

    Raises:
        StoreError: a live record is of another version or feature set.
    """
    profiles, cutoff_ms, unreadable = _read_profiles(features, values[0::2])
    records = decode_live(features, values[1::2])
    reset_ms = records.fixed["reset_ms"]
    # A cut-off of 0 is that of a history from files alone: its profile counts like any other.
    unused = (cutoff_ms > first_ms) | ((reset_ms > 0) & (cutoff_ms <= reset_ms))
    missed = 0
    if unused.any():
        features.profile.forget(profiles, unused)
        missed = sum(value is not None for value, out in zip(values[0::2], unused.tolist(), strict=True) if out)
        cutoff_ms[cutoff_ms > first_ms] = 0
    older, running = _split(records.tiles, cutoff_ms)
    merge_tiles(features, profiles, older, cutoff_ms)
    return Users(records.fixed, records.recent, records.last, cutoff_ms, older, running, profiles, unreadable, missed)


def _read_profiles(features: FeatureSet, values: Sequence[bytes | None]) -> tuple[Profiles, Rows, list[str]]:
    """``decode_profiles``, and why some cannot be decoded: they are looked at one by one only where that is so."""
    try:
        return *decode_profiles(features, values), []
    except (DataError, StoreError):
        unreadable = [_problem(features, value) for value in values]
        readable = [None if problem else value for value, problem in zip(values, unreadable, strict=True)]
        return *decode_profiles(features, readable), [problem for problem in unreadable if problem]


def _problem(features: FeatureSet, value: bytes | None) -> str:
    try:
        decode_profiles(features, [value])
    except (DataError, StoreError) as error:
        return error.cause
    return ""


def _split(tiles: Tiles, cutoff_ms: Rows) -> tuple[Tiles, Tiles]:
    """The older and the running ones. A user's running tile is its newest; one that the profile has seen is over."""
    newest = last_of(tiles.user)
    runs = newest & (tiles.start_ms >= cutoff_ms[tiles.user])
    return tiles[~runs], tiles[runs]


def fold_state(features: FeatureSet, users: Users) -> FoldState:
    """The fold's state of these users; the fold changes ``users.fixed`` and ``users.base`` through it."""
    n = len(users.fixed)
    tile, (start_ms, events) = features.profile.identity(n), np.zeros((2, n), np.int64)
    rows_of(tile)[users.running.user] = rows_of(users.running.profiles)
    start_ms[users.running.user], events[users.running.user] = users.running.start_ms, users.running.events
    return FoldState(users.fixed["session"], users.base, tile, start_ms, events, users.fixed["reset_ms"])


def write_users(features: FeatureSet, users: Users, state: FoldState, tile_ms: int, floor_ms: int) -> list[bytes]:
    """[n] live records after the batch.

    Args:
        features: the feature set.
        users: as ``read_users`` gave them; ``fixed`` has the new model and state, ``recent`` the new ids.
        state: after the fold.
        tile_ms: tile width.
        floor_ms: tiles that start before it are in every snapshot that counts, and are dropped.
    """
    every = Tiles(np.arange(len(state.tile)), state.tile_start_ms, state.tile, state.tile_events)
    running = every[state.tile["clock_ms"] != 0]
    tiles = Tiles.joined(users.older, _finished(state), running)
    from_ms = np.maximum(state.reset_ms // tile_ms * tile_ms, floor_ms)
    tiles = tiles[tiles.start_ms >= from_ms[tiles.user]]
    return encode_live(features, LiveRecords(users.fixed, tiles, users.recent, users.last))


def _finished(state: FoldState) -> Tiles:
    """The tiles that ended, in the order in which they did."""
    if not state.finished:
        none = np.empty(0, np.int64)
        return Tiles(none, none, state.tile[:0], none)
    *columns, tiles = zip(*state.finished, strict=True)
    user, start_ms, events = (np.array(column, np.int64) for column in columns)
    ended = Tiles(user, start_ms, stack(tiles), events)
    return ended[np.argsort(ended.user, kind="stable")]


def duplicates(recent: Ragged, user: Rows, ids: Ids) -> NDArray[np.bool_]:
    """[m] true for events that their user's memory holds, or that came earlier in the batch.

    Args:
        recent: for each user the ids that are remembered.
        user: [m] user of each event, in the log's order.
        ids: [m] hashed ids.
    """
    copies = np.empty(len(ids), bool)
    compiled.find_copies(recent.values, recent.counts, user, ids, copies)
    return copies


def remember(users: Users, user: Rows, ids: Ids, last: NDArray[np.void]) -> None:
    """Add ids and events to what is kept of their users: the ids of the running session, but no fewer and no more than the
    bounds, and the last events.

    Args:
        users: after the fold.
        user: [m] user of each event, in the log's order.
        ids: [m] hashed ids.
        last: [m] of ``last_dtype``.
    """
    most = np.clip(users.fixed["session"]["events"].astype(np.int64), RECENT_IDS, MOST_RECENT_IDS)
    users.recent = newest(users.recent, user, ids, most)
    users.last = newest(users.last, user, last, np.full(len(most), LAST_EVENTS))


def newest(before: Ragged, user: Rows, new: NDArray[np.generic], most: Rows) -> Ragged:
    """What each user has after ``new`` [m] of users ``user`` [m], at most ``most`` [n] of it; the newest is last."""
    old, counts = rows_of(before.values), np.empty(len(most), np.int64)
    kept = np.empty((len(old) + len(new), old.shape[1]), np.uint8)
    rows = compiled.add_newest(old, before.counts, user, rows_of(np.ascontiguousarray(new)), most, kept, counts)
    return Ragged(kept[:rows].reshape(-1).view(before.values.dtype), counts)
