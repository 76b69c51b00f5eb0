"""Users' bytes to the fold's state, and back: the batch profile and the live record meet here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.errors import DataError, StoreError
from lambent.features import FeatureSet
from lambent.fold import FoldState
from lambent.profile import Profiles
from lambent.records import (
    MOST_RECENT_IDS,
    RECENT_IDS,
    LiveRecords,
    decode_live,
    decode_profiles,
    encode_live,
    merge_tiles,
)

Rows = NDArray[np.int64]
Ids = NDArray[np.uint64]
Tiles = list[tuple[int, Profiles]]


@dataclasses.dataclass
class Users:
    """What is known of n users at the start of a batch.

    Attributes:
        fixed: [n] of ``live_dtype``; changed in place.
        recent: for each user its newest event ids, hashed, oldest first.
        cutoff_ms: [n] cut-off of the profile that is used; 0: there is none, or it is of files alone.
        older: for each user its tiles before the running one.
        running: for each user the running tile, or None.
        base: [n] the profile with the older tiles since its cut-off.
        unreadable: for each profile that this version cannot read, why; its user is one without a profile.
        missed: how many users have a profile that was left out: it is newer than the event, or older than a reset.
    """

    fixed: NDArray[np.void]
    recent: list[Ids]
    cutoff_ms: Rows
    older: list[Tiles]
    running: list[tuple[int, Profiles] | None]
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
    stored = np.array([value is not None for value in values[0::2]], bool)
    features.profile.forget(profiles, unused)
    cutoff_ms[cutoff_ms > first_ms] = 0
    older, running = _split(records.tiles, cutoff_ms)
    merge_tiles(features, profiles, older, cutoff_ms)
    return Users(
        records.fixed, records.recent, cutoff_ms, older, running, profiles, unreadable, int((unused & stored).sum())
    )


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


def _split(tiles: list[Tiles], cutoff_ms: Rows) -> tuple[list[Tiles], list[tuple[int, Profiles] | None]]:
    """The running tile is the newest; one that the profile has seen is over."""
    older, running = [], []
    for row, own in enumerate(tiles):
        runs = bool(own) and own[-1][0] >= cutoff_ms[row]
        older.append(own[:-1] if runs else own)
        running.append(own[-1] if runs else None)
    return older, running


def fold_state(features: FeatureSet, users: Users) -> FoldState:
    """The fold's state of these users; the fold changes copies."""
    n = len(users.fixed)
    tile, start_ms = features.profile.identity(n), np.zeros(n, np.int64)
    for row, running in enumerate(users.running):
        if running is not None:
            start_ms[row], tile[row] = running[0], running[1][0]
    fixed = users.fixed
    return FoldState(fixed["session"].copy(), users.base.copy(), tile, start_ms, fixed["reset_ms"].copy())


def write_users(features: FeatureSet, users: Users, state: FoldState, tile_ms: int, floor_ms: int) -> list[bytes]:
    """[n] live records after the batch.

    Args:
        features: the feature set.
        users: as ``read_users`` gave them; ``fixed`` has the new model and state, ``recent`` the new ids.
        state: after the fold.
        tile_ms: tile width.
        floor_ms: tiles that start before it are in every snapshot that counts, and are dropped.
    """
    users.fixed["session"], users.fixed["reset_ms"] = state.sessions, state.reset_ms
    tiles = [list(own) for own in users.older]
    for row, start_ms, tile in state.finished:
        tiles[row].append((start_ms, tile))
    from_ms = np.maximum(state.reset_ms // tile_ms * tile_ms, floor_ms)
    for row, own in enumerate(tiles):
        if state.tile["clock_ms"][row]:
            own.append((int(state.tile_start_ms[row]), state.tile[row : row + 1]))
        tiles[row] = [tile for tile in own if tile[0] >= from_ms[row]]
    return encode_live(features, LiveRecords(users.fixed, tiles, _bounded(users)))


def _bounded(users: Users) -> list[Ids]:
    """The ids of each user's running session, but no fewer and no more than the bounds."""
    most = np.clip(users.fixed["session"]["events"], RECENT_IDS, MOST_RECENT_IDS).tolist()
    return [own[-keep:] for own, keep in zip(users.recent, most, strict=True)]


def duplicates(recent: list[Ids], user: Rows, ids: Ids) -> NDArray[np.bool_]:
    """[m] true for events that their user's memory holds, or that came earlier in the batch.

    Args:
        recent: for each user the ids that are remembered.
        user: [m] user of each event, in the log's order.
        ids: [m] hashed ids.
    """
    who, all_ids = _joined(recent, user, ids)
    order = np.lexsort((all_ids, who))  # stable: the first copy stays first
    same = (who[order][1:] == who[order][:-1]) & (all_ids[order][1:] == all_ids[order][:-1])
    known = np.zeros(len(who), bool)
    known[order[1:][same]] = True
    return known[len(who) - len(ids) :]


def remember(recent: list[Ids], user: Rows, ids: Ids) -> list[Ids]:
    """For each user the ids that it remembers after events ``ids`` [m] of users ``user`` [m]; the newest is last."""
    who, all_ids = _joined(recent, user, ids)
    order = np.argsort(who, kind="stable")
    return np.split(all_ids[order], np.cumsum(np.bincount(who, minlength=len(recent)))[:-1])


def _joined(recent: list[Ids], user: Rows, ids: Ids) -> tuple[Rows, Ids]:
    """What is remembered, then what is new: the user and the id of each."""
    who = np.repeat(np.arange(len(recent)), [len(own) for own in recent])
    return np.concatenate([who, user]), np.concatenate([*recent, ids])
