"""The law over generated histories: wave fold == batch fold == oracle, and profile + tiles == fold of all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lambent import compiled, oracle
from lambent.aggregates import Latest
from lambent.encoding import Events, encode_events
from lambent.events import Event
from lambent.features import SEEN, FeatureSet, shop_features
from lambent.fold import FoldState, fold, fold_profiles, merge, program_of
from lambent.law import differs
from lambent.profile import Layout, Profiles
from lambent.records import LiveRecords, decode_live, decode_profiles, encode_live, encode_profiles, merge_live
from lambent.tiles import Tiles, stack
from lambent.views import event_columns, profile_blocks
from tests.histories import USERS, logs, told

FEATURES = shop_features()
TILE_MS = 1_000


def same(left: Profiles, right: Profiles, *, layout: Layout = FEATURES.profile, stored: bool = False) -> None:
    """Equal as the law means it; says which aggregates are not."""
    found = {name for name, rows in differs(layout, left, right, stored=stored).items() if rows.any()}
    assert not found, dict.fromkeys(found, (left, right))


everyone_told = st.lists(told, min_size=len(USERS), max_size=len(USERS))
Told = list[dict[str, Any]]
NOTHING: Told = [{}] * len(USERS)


def expected(features: FeatureSet, log: list[tuple[Event, int]], told: Told = NOTHING) -> Profiles:
    rows = [
        oracle.profile(
            features, oracle.mark(FEATURES, [one for one in oracle.distinct(log) if one[0].user == user]), own
        )
        for user, own in zip(USERS, told, strict=True)
    ]
    return np.concatenate(rows)


def run(state: FoldState, log: list[tuple[Event, int]], tile_ms: int = 0) -> None:
    if log:
        events = encode_events([e for e, _ in log], [at for _, at in log], FEATURES.taxonomy)
        user = np.array([USERS.index(e.user) for e, _ in log])
        fold(FEATURES, state, user, events, tile_ms)


def whole(state: FoldState) -> Profiles:
    return merge(FEATURES, state.base, state.tile)


@given(logs())
def test_a_fold_in_waves_gives_the_oracles_profiles(log: list[tuple[Event, int]]) -> None:
    state = FoldState.identity(FEATURES, len(USERS))
    run(state, oracle.distinct(log))
    same(whole(state), expected(FEATURES, log))


@given(logs(), st.data())
def test_batches_of_any_size_and_tiles_of_any_width_give_the_oracles_profiles(
    log: list[tuple[Event, int]], data: st.DataObject
) -> None:
    state = FoldState.identity(FEATURES, len(USERS))
    events = oracle.distinct(log)
    while events:
        size = data.draw(st.integers(1, len(events)))
        run(state, events[:size], data.draw(st.sampled_from([TILE_MS, 7 * TILE_MS, 0])) and TILE_MS)
        events = events[size:]
    same(whole(state), expected(FEATURES, log))


def live(
    log: list[tuple[Event, int]],
    cutoff_ms: int,
    heads: NDArray[np.int64] | int,
    floor_ms: int = 0,
    told: Told = NOTHING,
) -> Profiles:
    """The live layer in small: a profile of what was taken before the cut-off, tiles since the floor, bytes between them."""
    before = expected(FEATURES, [one for one in log if one[1] < cutoff_ms], told)
    profiles, cutoffs = decode_profiles(FEATURES, list(encode_profiles(FEATURES, before, heads)))
    state = FoldState.identity(FEATURES, len(USERS))
    run(state, oracle.distinct(log), TILE_MS)
    rows = range(len(USERS))
    running = zip(
        rows, state.tile_start_ms, state.tile_events, (state.tile[row : row + 1] for row in rows), strict=True
    )
    ended = [*state.finished, *running]
    from_ms = [max(ms // TILE_MS * TILE_MS, floor_ms) for ms in state.reset_ms.tolist()]
    kept = sorted((one for one in ended if one[1] >= from_ms[one[0]]), key=lambda one: one[0])
    records = LiveRecords.empty(FEATURES, len(USERS))
    if kept:
        users, starts_ms, events, tiles = zip(*kept, strict=True)
        records.tiles = Tiles(np.array(users), np.array(starts_ms), stack(tiles), np.array(events))
    records.fixed["reset_ms"] = state.reset_ms
    records = decode_live(FEATURES, encode_live(FEATURES, records))
    return merge_live(FEATURES, profiles, cutoffs, records)


@given(logs(), st.integers(0, 60), everyone_told)
def test_a_profile_at_any_cutoff_and_the_tiles_after_it_give_the_oracles_profiles(
    log: list[tuple[Event, int]], tile: int, told: Told
) -> None:
    cutoff_ms = (log[0][1] if log else 0) // TILE_MS * TILE_MS + tile * TILE_MS
    same(live(log, cutoff_ms, cutoff_ms, told=told), expected(FEATURES, log, told), stored=True)


@given(logs(), everyone_told)
def test_what_is_told_of_users_outlives_every_silence_and_no_event_changes_it(
    log: list[tuple[Event, int]], told: Told
) -> None:
    state = FoldState.identity(FEATURES, len(USERS))
    state.base = expected(FEATURES, [], told)
    run(state, oracle.distinct(log), TILE_MS)
    same(whole(state), expected(FEATURES, log, told))
    distinct = oracle.distinct(log)
    events = encode_events([e for e, _ in distinct], [at for _, at in distinct], FEATURES.taxonomy)
    user = np.array([USERS.index(e.user) for e, _ in distinct], np.int64)
    same(fold_profiles(FEATURES, expected(FEATURES, [], told), user, events), expected(FEATURES, log, told))


@given(logs(), st.integers(0, 60), st.integers(0, 60))
def test_a_head_may_carry_any_cutoff_since_the_users_last_change_and_the_floor_any_before_the_snapshots(
    log: list[tuple[Event, int]], tile: int, floor: int
) -> None:
    first_ms = (log[0][1] if log else 0) // TILE_MS * TILE_MS
    cutoff_ms, floor_ms = first_ms + tile * TILE_MS, first_ms + min(tile, floor) * TILE_MS
    heads = np.zeros(
        len(USERS), np.int64
    )  # as of the first build that had seen the user's last event before the cut-off
    for event, ingest_ms in log:
        if ingest_ms < cutoff_ms:
            heads[USERS.index(event.user)] = (ingest_ms // TILE_MS + 1) * TILE_MS
    same(live(log, cutoff_ms, heads, floor_ms), expected(FEATURES, log), stored=True)


def alone(features: FeatureSet, event: Events) -> Profiles:
    """The profile that has seen one event, whatever its marks."""
    profiles = features.profile.identity(1)
    event["opens"] = event["late"] = True
    compiled.fold_profiles(
        program_of(features), np.zeros(1, np.int64), event_columns(event), np.zeros(1, bool), profile_blocks(profiles)
    )
    return profiles


@pytest.mark.parametrize("aggregate", FEATURES.profile.aggregates, ids=lambda a: a.name)
def test_every_aggregate_is_a_commutative_monoid(aggregate: object) -> None:
    needed = (a for a in FEATURES.profile.aggregates if isinstance(a, Latest) or a.name == SEEN)
    remembers = (a for a in needed if a is not aggregate)
    features = FeatureSet(FEATURES.taxonomy, (aggregate, *remembers))  # type: ignore[arg-type]
    layout = features.profile
    events = encode_events(
        [
            Event(user=USERS[0], type=t.name, event_ms=1_700_000_000_000 + 977 * n, id=str(n), category="c",
                  brand="b", product="p", price=3.0, dwell_ms=5_000)
            for n, t in enumerate(FEATURES.taxonomy.types)
        ],
        [1_800_000_000_000] * len(FEATURES.taxonomy.types), FEATURES.taxonomy,
    )  # fmt: skip
    a, b, c = (alone(features, events[start : start + 1].copy()) for start in (0, 2, 5))
    for code, one in enumerate((a, b, c), start=3):
        one["fact"] = code % 3
    ab, ba, bc = merge(features, a, b), merge(features, b, a), merge(features, b, c)
    same(ab, ba, layout=layout)
    same(merge(features, ab, c), merge(features, a, bc), layout=layout)
    same(merge(features, a, layout.identity(1)), a, layout=layout)
