"""The compiled loops of the fold: event by event in the log's order, touching only what an event touches.

``compiled`` says for which types, ``program`` writes the tables that they follow, ``oracle`` says the same slowly. A profile's decayed
values are as of its clock; adding an event moves the clock on, or weighs a late event down.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from lambent.encoding import TEXT_FIELDS
from lambent.sessions import GAP_MS, HORIZON_MS, NEVER_MS
from lambent.views import Array, Events, Profiles, Program, Sessions, Steps, Tiles

DAY_MS = 86_400_000
NEVER_SEEN = np.iinfo(np.int64).max
"""Identity of the earliest time."""
PRODUCT, CATEGORY = TEXT_FIELDS.index("product"), TEXT_FIELDS.index("category")
COUNT, DECAYED, LATEST, EARLIEST = range(4)
"""Kinds of operation: the blocks of a profile, in their order (``aggregates.KINDS``)."""
ANY_MARK, OPENS, LATE = range(3)
ONE, PRICE, DWELL = range(3)
"""What an event is worth: 1, or log(1 + x) of one of its numbers."""


@njit
def mark(clock_ms: Array, user: Array, t_ms: Array, opens: Array, late: Array, expired: Array) -> None:
    """Set the marks of each user's events in turn; ``clock_ms`` [users] moves on with them."""
    for i in range(len(user)):
        t, clock = t_ms[i], clock_ms[user[i]]
        known = clock != NEVER_MS
        opens[i] = not known or t > clock + GAP_MS
        late[i] = known and t < clock - GAP_MS
        expired[i] = known and t > clock + HORIZON_MS
        clock_ms[user[i]] = max(t, clock)


@njit
def fold_profiles(program: Program, user: Array, events: Events, expired: Array, profiles: Profiles) -> None:
    """Add marked events to their users' profiles."""
    scratch = np.empty(len(program.half_life_ms))
    for i in range(len(user)):
        if expired[i]:
            _clear(profiles, user[i])
        _add(program, profiles, user[i], events, i, scratch)


@njit
def fold_steps(
    program: Program,
    user: Array,
    events: Events,
    expired: Array,
    tile_ms: int,
    sessions: Sessions,
    base: Profiles,
    tile: Profiles,
    tiles: Tiles,
    steps: Steps,
) -> tuple[int, int]:
    """Add marked events to sessions and tiles, and write what the model sees of each.

    Returns:
        How many sessions began, and how many tiles ended.
    """
    scratch, began, ended = np.empty(len(program.half_life_ms)), 0, 0
    for i in range(len(user)):
        u = user[i]
        if expired[i]:
            _clear(base, u)
            _clear(tile, u)
            tiles.reset_ms[u] = events.ingest_ms[i]
        start_ms = events.ingest_ms[i] // tile_ms * tile_ms if tile_ms else 0
        if tiles.start_ms[u] != start_ms:
            if tile.clock_ms[u] != NEVER_MS:
                tiles.ended_user[ended], tiles.ended_start_ms[ended] = u, tiles.start_ms[u]
                _copy(tile, u, tiles.ended, ended)
                _merge(program, base, u, tile, u, scratch)
                _clear(tile, u)
                ended += 1
            tiles.start_ms[u] = start_ms
        if not events.late[i]:
            last_ms, products, categories = sessions.last_ms[u], sessions.products[u], sessions.categories[u]
            steps.starts[i] = _enter(sessions, u, events, i)
            _show(program, sessions, u, events, i, last_ms, products, categories, base, tile, steps)
            if steps.starts[i]:
                _copy(base, u, steps.profile, began)
                _merge(program, steps.profile, began, tile, u, scratch)
                steps.profile_ms[began] = sessions.clock_ms[u]
                began += 1
        _add(program, tile, u, events, i, scratch)
    return began, ended


@njit
def _enter(sessions: Sessions, u: int, events: Events, i: int) -> bool:
    """Take an event that is not late into the session; true where it starts one here: it opens one, or what it belongs
    to was never seen here.
    """
    t_ms, kind = events.t_ms[i], events.type[i]
    starts = events.opens[i] or sessions.events[u] == 0
    if starts:
        sessions.start_ms[u], sessions.last_ms[u], sessions.events[u] = t_ms, 0, 0
        sessions.types[u, :] = 0
        sessions.products[u], sessions.categories[u] = 0, 0
    sessions.clock_ms[u] = max(sessions.clock_ms[u], t_ms)
    sessions.last_ms[u] = max(sessions.last_ms[u], t_ms)
    sessions.events[u] += 1
    sessions.types[u, kind] = min(sessions.types[u, kind], 65_534) + 1
    sessions.products[u] |= _bit(events.texts[PRODUCT][i])
    sessions.categories[u] |= _bit(events.texts[CATEGORY][i])
    return starts


@njit
def _bit(text: int) -> Any:
    """One bit of 64 for a text's hash; no bit for 0, which means missing."""
    return np.uint64(0) if text == 0 else np.uint64(1) << np.uint64(text % 64)


@njit
def _show(
    program: Program,
    sessions: Sessions,
    u: int,
    events: Events,
    i: int,
    last_ms: int,
    products: int,
    categories: int,
    base: Profiles,
    tile: Profiles,
    steps: Steps,
) -> None:
    """Write one step: ids and numbers in the order of ``FeatureSet.step_ids`` and ``step_floats``; 0 where missing."""
    t_ms, clock_ms, row = events.t_ms[i], sessions.clock_ms[u], steps.floats[i]
    count = sessions.events[u]
    steps.session_events[i] = count
    steps.ids[i, 0] = events.type[i]
    for e in range(len(program.embedded)):
        text = events.texts[program.embedded[e, 0]][i]
        steps.ids[i, e + 1] = 0 if text == 0 else 1 + text % (program.embedded[e, 1] - 1)

    row[0] = math.log1p(max(t_ms - last_ms, 0) / 1000) if count > 1 else 0.0
    row[1] = math.log1p(max(t_ms - sessions.start_ms[u], 0) / 1000)
    day, week = 2 * math.pi * (t_ms % DAY_MS) / DAY_MS, 2 * math.pi * (t_ms % (7 * DAY_MS)) / (7 * DAY_MS)
    row[2], row[3], row[4], row[5] = math.sin(day), math.cos(day), math.sin(week), math.cos(week)
    price, dwell_ms = events.price[i], events.dwell_ms[i]
    if math.isnan(price):
        row[7] = 1.0
    else:
        row[6] = math.log1p(price)
        if program.price_level[0] >= 0:
            weight = _at(program, base, tile, u, program.price_level[1], clock_ms)
            if weight >= 1e-6:
                row[8] = row[6] - _at(program, base, tile, u, program.price_level[0], clock_ms) / weight
    if math.isnan(dwell_ms):
        row[10] = 1.0
    else:
        row[9] = math.log1p(dwell_ms / 1000)
    row[11] = math.log1p(count)
    at = 12
    for kind in range(sessions.types.shape[1]):
        row[at + kind] = math.log1p(sessions.types[u, kind])
    at += sessions.types.shape[1]
    row[at] = count > 1 and (products & _bit(events.texts[PRODUCT][i])) != 0
    row[at + 1] = count > 1 and (categories & _bit(events.texts[CATEGORY][i])) != 0
    at += 2
    for k in range(len(program.lookups)):
        column, text, buckets = program.lookups[k, 0], events.texts[program.lookups[k, 1]][i], program.lookups[k, 2]
        if text != 0:
            row[at + k] = math.log1p(_at(program, base, tile, u, column + text % buckets, clock_ms))


@njit
def _at(program: Program, base: Profiles, tile: Profiles, u: int, column: int, clock_ms: int) -> float:
    """One decayed column of merge(base, tile) as of a time, without merging the rest."""
    half_life_ms, total = program.half_life_ms[program.half_life_of[column]], 0.0
    if base.decayed[u, column] != 0.0:
        total += base.decayed[u, column] * 2.0 ** ((base.clock_ms[u] - clock_ms) / half_life_ms)
    if tile.decayed[u, column] != 0.0:
        total += tile.decayed[u, column] * 2.0 ** ((tile.clock_ms[u] - clock_ms) / half_life_ms)
    return total


@njit
def _add(program: Program, profiles: Profiles, u: int, events: Events, i: int, scratch: Array) -> None:
    """Add one event to one profile."""
    t_ms = events.t_ms[i]
    _move_clock(program, profiles, u, t_ms, scratch)
    age_ms = t_ms - profiles.clock_ms[u]
    for h in range(len(scratch)):
        scratch[h] = 2.0 ** (age_ms / program.half_life_ms[h]) if age_ms else 1.0
    kind = events.type[i]
    for k in range(program.first[kind], program.first[kind + 1]):
        operation = program.operations[k]
        marked = operation[2] == ANY_MARK or (operation[2] == OPENS and events.opens[i])
        if not marked and not (operation[2] == LATE and events.late[i]):
            continue
        column = operation[1]
        if operation[5] >= 0:
            text = events.texts[operation[5]][i]
            if text == 0:
                continue
            column += text % operation[6]
        if operation[0] == COUNT:
            profiles.count[u, column] += 1
        elif operation[0] == LATEST:
            profiles.latest[u, column] = max(profiles.latest[u, column], t_ms)
        elif operation[0] == EARLIEST:
            profiles.earliest[u, column] = min(profiles.earliest[u, column], t_ms)
        else:
            profiles.decayed[u, column] += _worth(operation[4], events, i) * scratch[operation[3]]


@njit
def _worth(what: int, events: Events, i: int) -> float:
    if what == ONE:
        return 1.0
    value = events.price[i] if what == PRICE else events.dwell_ms[i]
    return 0.0 if math.isnan(value) else math.log1p(value)


@njit
def _move_clock(program: Program, profiles: Profiles, u: int, to_ms: int, scratch: Array) -> None:
    """Move a profile's clock on, and let what decays decay until then."""
    clock_ms = profiles.clock_ms[u]
    if to_ms <= clock_ms:
        return
    profiles.clock_ms[u] = to_ms
    if clock_ms == NEVER_MS:
        return
    for h in range(len(scratch)):
        scratch[h] = 2.0 ** ((clock_ms - to_ms) / program.half_life_ms[h])
    for column in range(profiles.decayed.shape[1]):
        profiles.decayed[u, column] *= scratch[program.half_life_of[column]]


@njit
def _merge(program: Program, into: Profiles, to: int, other: Profiles, at: int, scratch: Array) -> None:
    """Merge one profile into another."""
    if other.clock_ms[at] == NEVER_MS:
        return
    _move_clock(program, into, to, other.clock_ms[at], scratch)
    for h in range(len(scratch)):
        scratch[h] = 2.0 ** ((other.clock_ms[at] - into.clock_ms[to]) / program.half_life_ms[h])
    for column in range(into.count.shape[1]):
        into.count[to, column] += other.count[at, column]
    for column in range(into.latest.shape[1]):
        into.latest[to, column] = max(into.latest[to, column], other.latest[at, column])
    for column in range(into.earliest.shape[1]):
        into.earliest[to, column] = min(into.earliest[to, column], other.earliest[at, column])
    for column in range(into.decayed.shape[1]):
        into.decayed[to, column] += other.decayed[at, column] * scratch[program.half_life_of[column]]


@njit
def _copy(source: Profiles, u: int, into: Profiles, to: int) -> None:
    into.clock_ms[to] = source.clock_ms[u]
    into.count[to, :] = source.count[u, :]
    into.latest[to, :] = source.latest[u, :]
    into.earliest[to, :] = source.earliest[u, :]
    into.decayed[to, :] = source.decayed[u, :]


@njit
def _clear(profiles: Profiles, u: int) -> None:
    """Back to the identity."""
    profiles.clock_ms[u] = NEVER_MS
    profiles.count[u, :] = 0
    profiles.latest[u, :] = 0
    profiles.earliest[u, :] = NEVER_SEEN
    profiles.decayed[u, :] = 0.0
