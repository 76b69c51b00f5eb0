"""The fold: events in the log's order, many users at once, exactly as one by one.

Training runs it over whole histories, the worker over each micro-batch. The k-th events of all users form *wave* k and
are folded together; a wave is what the model steps on, since a user's events must step in sequence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lambent import sessions as session_fold
from lambent.encoding import Events
from lambent.features import FeatureSet
from lambent.profile import Profiles
from lambent.sessions import Sessions
from lambent.step import Floats, step_floats, step_ids

Rows = NDArray[np.int64]


@dataclasses.dataclass
class FoldState:
    """What the fold knows of n users; changed in place.

    Attributes:
        sessions: [n] the running sessions.
        base: [n] the batch profile merged with the finished tiles since its cut-off.
        tile: [n] the aggregates of the running tile.
        tile_start_ms: [n] where the running tile starts on the ingest clock.
        reset_ms: [n] ingest time of the last event that came after a silence beyond the horizon; 0: none.
            What happened before it counts no more.
        finished: tiles that ended: (user, start in ms, one profile).
    """

    sessions: Sessions
    base: Profiles
    tile: Profiles
    tile_start_ms: Rows
    reset_ms: Rows
    finished: list[tuple[int, int, Profiles]] = dataclasses.field(default_factory=list)

    @classmethod
    def identity(cls, features: FeatureSet, users: int) -> FoldState:
        """Users of whom nothing is known."""
        zeros = np.zeros(users, np.int64)
        profiles = features.profile.identity(users)
        return cls(np.zeros(users, features.session_dtype), profiles, profiles.copy(), zeros, zeros.copy())


@dataclasses.dataclass(frozen=True)
class Wave:
    """One event each of m users, ready for the model. Late events are not in it.

    Attributes:
        event: [m] index of the event.
        user: [m] index of the user.
        starts: [m] true where a session starts, with or without its opening event.
        profile: [starts.sum(), profile features] the profile as it stood before the session.
        ids: [m, ids] and floats: [m, floats] what the step sees.
        session_events: [m] events of the session, this one included.
    """

    event: Rows
    user: Rows
    starts: NDArray[np.bool_]
    profile: Floats
    ids: NDArray[np.int32]
    floats: Floats
    session_events: NDArray[np.uint32]


def fold(features: FeatureSet, state: FoldState, user: Rows, events: Events, tile_ms: int = 0) -> Iterator[Wave]:
    """Fold events into the state, wave by wave. The state is whole only after the last wave.

    Args:
        features: the feature set.
        state: of n users.
        user: [m] index of each event's user.
        events: [m] each user's events in the log's order, without duplicates; ``opens`` and ``late`` are set here.
        tile_ms: tile width on the ingest clock; 0 means one tile for all.
    """
    waves = wave_rows(user)
    expired = _mark(state, user, events)
    lifted = features.profile.lift(events)
    start_ms = events["ingest_ms"] // tile_ms * tile_ms if tile_ms else np.zeros(len(events), np.int64)
    for rows in waves:
        users, seen = user[rows], events[rows]
        _reset(features, state, users[expired[rows]], seen[expired[rows]])
        _turn_tiles(features, state, users, start_ms[rows])
        yield from _step(features, state, rows, users, seen)
        state.tile[users] = features.profile.merge(state.tile[users], lifted[rows])


def fold_profiles(features: FeatureSet, base: Profiles, user: Rows, events: Events) -> Profiles:
    """[users] profiles after more events: the batch form, which needs no waves, since it takes no model's step.

    Args:
        features: the feature set.
        base: [users] profiles of what came before, in the log's order; the identity where nothing did.
        user: [n] index of each event's user.
        events: [n] each user's events in the log's order, without duplicates; ``opens`` and ``late`` are set here.
    """
    expired = np.flatnonzero(session_fold.mark(base["clock_ms"], user, events))
    if len(expired):
        newest = np.full(len(base), -1)
        np.maximum.at(newest, user[expired], expired)
        base = base.copy()
        base[newest >= 0] = features.profile.identity(1)
        kept = np.arange(len(events)) >= newest[user]
        user, events = user[kept], events[kept]
    return features.profile.merge(base, features.profile.fold(events, user, len(base)))


def wave_rows(user: Rows) -> list[Rows]:
    """Indices of the first event of each user, of the second, and so on."""
    order = np.argsort(user, kind="stable")
    starts = np.flatnonzero(np.diff(user[order], prepend=-1))
    rank = np.arange(len(user)) - np.repeat(starts, np.diff(starts, append=len(user)))
    by_rank = np.argsort(rank, kind="stable")
    return np.split(order[by_rank], np.cumsum(np.bincount(rank))[:-1]) if len(user) else []


def _mark(state: FoldState, user: Rows, events: Events) -> NDArray[np.bool_]:
    for profiles in (state.base, state.tile):
        np.maximum(state.sessions["clock_ms"], profiles["clock_ms"], out=state.sessions["clock_ms"])
    return session_fold.mark(state.sessions["clock_ms"], user, events)


def _reset(features: FeatureSet, state: FoldState, users: Rows, events: Events) -> None:
    if len(users):
        state.base[users] = features.profile.identity(1)
        state.tile[users] = features.profile.identity(1)
        state.reset_ms[users] = events["ingest_ms"]


def _turn_tiles(features: FeatureSet, state: FoldState, users: Rows, start_ms: Rows) -> None:
    turned = users[state.tile_start_ms[users] != start_ms]
    full = turned[state.tile["clock_ms"][turned] != 0]
    for row in full:
        state.finished.append((int(row), int(state.tile_start_ms[row]), state.tile[row : row + 1].copy()))
    if len(full):
        state.base[full] = features.profile.merge(state.base[full], state.tile[full])
        state.tile[full] = features.profile.identity(1)
    state.tile_start_ms[users] = start_ms


def _step(features: FeatureSet, state: FoldState, rows: Rows, users: Rows, events: Events) -> Iterator[Wave]:
    before = state.sessions[users]
    starts = session_fold.starts(before, events)
    after = session_fold.advance(before, events)
    state.sessions[users] = after
    keep = np.flatnonzero(~events["late"])
    if not len(keep):
        return
    base, tile = state.base[users], state.tile[users]
    opening = np.flatnonzero(starts)
    profile = features.profile.finalize(
        features.profile.merge(base[opening], tile[opening]), after["clock_ms"][opening]
    )
    floats = step_floats(features, before[keep], after[keep], base[keep], tile[keep], events[keep])
    yield Wave(
        rows[keep], users[keep], starts[keep], profile, step_ids(events[keep]), floats, after["events"][keep]
    )  # fmt: skip
