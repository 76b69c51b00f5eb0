"""The compiled loops of the fold: event by event in the log's order, touching only what an event touches.

``compiled`` says for which types, ``monoid`` what an event does to a profile, ``oracle`` says the same slowly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from lambent.aggregates import ACT_BITS, DAY_MS, HASH_BITS, MINUTE_MS, WEEK_MS
from lambent.catalogue import KINDS, SHOWN, VALUES
from lambent.encoding import TEXT_FIELDS
from lambent.events import MIN_EVENT_MS
from lambent.monoid import (
    PRODUCT,
    add_event,
    clear,
    comes_back,
    copy,
    decayed_at,
    decides_first,
    merge,
    recalled,
)
from lambent.sessions import GAP_MS, HORIZON_MS, NEVER_MS
from lambent.views import Array, Events, Profiles, Program, Sessions, Steps, Tiles

CATEGORY = TEXT_FIELDS.index("category")
RECENCY_HALF_LIFE_MS = DAY_MS
"""Of what a step sees of an entry of a last-N map."""
LEAST_WEIGHT = 0.01
"""A mean over less than this is none."""


@njit
def mark(
    clock_ms: Array, user: Array, t_ms: Array, opens: Array, late: Array, clocks_ms: Array, expired: Array
) -> None:
    """Set the marks of each user's events in turn, and the clock after each; ``clock_ms`` [users] moves on with them."""
    for i in range(len(user)):
        t, clock = t_ms[i], clock_ms[user[i]]
        known = clock != NEVER_MS
        opens[i] = not known or t > clock + GAP_MS
        late[i] = known and t < clock - GAP_MS
        expired[i] = known and t > clock + HORIZON_MS
        clock_ms[user[i]] = clocks_ms[i] = max(t, clock)


@njit
def fold_profiles(program: Program, user: Array, events: Events, expired: Array, profiles: Profiles) -> None:
    """Add marked events to their users' profiles."""
    scratch = np.empty(len(program.half_life_ms))
    for i in range(len(user)):
        if expired[i]:
            clear(profiles, user[i])
        decides = decides_first(program, profiles, profiles, user[i], events, i)
        returns = comes_back(program, profiles, profiles, user[i], events, i)
        clock_ms = max(profiles.clock_ms[user[i]], events.t_ms[i])
        add_event(program, profiles, user[i], events, i, decides, returns, clock_ms, scratch)


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
            clear(base, u)
            clear(tile, u)
            tiles.events[u] = 0
            tiles.reset_ms[u] = events.ingest_ms[i]
        start_ms = events.ingest_ms[i] // tile_ms * tile_ms if tile_ms else 0
        if tiles.start_ms[u] != start_ms:
            if tile.clock_ms[u] != NEVER_MS:
                tiles.ended_user[ended], tiles.ended_start_ms[ended] = u, tiles.start_ms[u]
                tiles.ended_events[ended] = tiles.events[u]
                copy(tile, u, tiles.ended, ended)
                merge(program, base, u, tile, u, scratch)
                clear(tile, u)
                ended += 1
            tiles.start_ms[u], tiles.events[u] = start_ms, 0
        returns = comes_back(program, base, tile, u, events, i)
        if not events.late[i]:
            last_ms, products, categories = sessions.last_ms[u], sessions.products[u], sessions.categories[u]
            product, product_before = sessions.product[u], sessions.product_before[u]
            steps.starts[i] = _enter(sessions, u, events, i)
            _show(
                program, sessions, u, events, i, last_ms, products, categories, product, product_before, returns, base, tile,
                steps,
            )  # fmt: skip
            if steps.starts[i]:
                copy(base, u, steps.profile, began)
                merge(program, steps.profile, began, tile, u, scratch)
                steps.profile_ms[began] = sessions.clock_ms[u]
                began += 1
        decides = decides_first(program, base, tile, u, events, i)
        events.decides[i], events.returns[i] = decides, returns
        tiles.events[u] += 1
        add_event(program, tile, u, events, i, decides, returns, events.clock_ms[i], scratch)
    return began, ended


@njit
def merge_profiles(program: Program, into: Profiles, to: Array, other: Profiles) -> None:
    """Merge each of the others into the profile that ``to`` names."""
    scratch = np.empty(len(program.half_life_ms))
    for i in range(len(to)):
        merge(program, into, to[i], other, i, scratch)


@njit
def look_up(hashes: Array, values: Array, wanted: Array, found: Array) -> None:
    """Copy what is known of each hash; what is not known, as of 0, the missing one, is left as it is.

    Args:
        hashes: [k] sorted; values: [k, values] of each.
        wanted: [n] hashes.
        found: [n, values] is written to.
    """
    for i in range(len(wanted)):
        k = np.searchsorted(hashes, wanted[i])
        if wanted[i] != 0 and k < len(hashes) and hashes[k] == wanted[i]:
            for v in range(values.shape[1]):
                found[i, v] = values[k, v]


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
        sessions.product[u], sessions.product_before[u] = 0, 0
    sessions.clock_ms[u] = max(sessions.clock_ms[u], t_ms)
    sessions.last_ms[u] = max(sessions.last_ms[u], t_ms)
    sessions.events[u] += 1
    sessions.types[u, kind] = min(sessions.types[u, kind], 65_534) + 1
    product = events.texts[PRODUCT][i]
    if product != 0 and product != sessions.product[u]:
        sessions.product[u], sessions.product_before[u] = product, sessions.product[u]
    sessions.products[u] |= _bit(product)
    sessions.categories[u] |= _bit(events.texts[CATEGORY][i])
    return starts


@njit
def _bit(text: int) -> Any:
    """One bit of 64 for a text's hash; no bit for 0, which means missing."""
    return np.uint64(0) if text == 0 else np.uint64(1) << np.uint64(text % 64)


@njit(inline="always")  # it is called once, with all columns there are
def _show(
    program: Program,
    sessions: Sessions,
    u: int,
    events: Events,
    i: int,
    last_ms: int,
    products: int,
    categories: int,
    product: int,
    product_before: int,
    returns: bool,
    base: Profiles,
    tile: Profiles,
    steps: Steps,
) -> None:
    """Write one step: ids and numbers in the order of ``FeatureSet.step_ids`` and ``step_floats``; 0 where missing."""
    t_ms, clock_ms, row = events.t_ms[i], sessions.clock_ms[u], steps.floats[i]
    count, base_ms, tile_ms = sessions.events[u], base.clock_ms[u], tile.clock_ms[u]
    steps.session_events[i] = count
    steps.ids[i, 0] = events.type[i]
    for e in range(len(program.embedded)):
        text = events.texts[program.embedded[e, 0]][i]
        steps.ids[i, e + 1] = 0 if text == 0 else 1 + text % (program.embedded[e, 1] - 1)

    row[0] = math.log1p(max(t_ms - last_ms, 0) / 1000) if count > 1 else 0.0
    row[1] = math.log1p(max(t_ms - sessions.start_ms[u], 0) / 1000)
    day, week = 2 * math.pi * (t_ms % DAY_MS) / DAY_MS, 2 * math.pi * (t_ms % WEEK_MS) / WEEK_MS
    row[2], row[3], row[4], row[5] = math.sin(day), math.cos(day), math.sin(week), math.cos(week)
    price, dwell_ms = events.price[i], events.dwell_ms[i]
    if math.isnan(price):
        row[7] = 1.0
    else:
        row[6] = math.log1p(price)
        if program.price_level[0] >= 0:
            half_life_ms = program.half_life_ms[program.half_life_of[program.price_level[0]]]  # of all three
            of, per, less = program.price_level[0], program.price_level[1], program.price_level[2]
            total = decayed_at(base.decayed[u, of], base_ms, tile.decayed[u, of], tile_ms, half_life_ms, clock_ms)
            viewed = decayed_at(base.decayed[u, per], base_ms, tile.decayed[u, per], tile_ms, half_life_ms, clock_ms)
            unpriced = decayed_at(
                base.decayed[u, less], base_ms, tile.decayed[u, less], tile_ms, half_life_ms, clock_ms
            )
            if viewed - unpriced >= LEAST_WEIGHT:
                row[8] = row[6] - total / (viewed - unpriced)
    if math.isnan(dwell_ms):  # then the time since the event before is as good a guess
        row[9], row[10] = row[0], 1.0
    else:
        row[9] = math.log1p(dwell_ms / 1000)
    row[11] = math.log1p(count)
    at = 12
    for kind in range(sessions.types.shape[1]):
        row[at + kind] = math.log1p(sessions.types[u, kind])
    at += sessions.types.shape[1]
    row[at] = count > 1 and (products & _bit(events.texts[PRODUCT][i])) != 0
    row[at + 1] = count > 1 and (categories & _bit(events.texts[CATEGORY][i])) != 0
    text = events.texts[PRODUCT][i]
    row[at + 2] = count > 1 and text != 0 and text == product
    row[at + 3] = count > 1 and text != 0 and text == product_before
    row[at + 4] = returns
    at += 5
    for k in range(len(program.recent)):
        text = events.texts[program.recent[k, 1]][i]
        entry = 0 if text == 0 else recalled(base.recent, tile.recent, u, program.recent[k, 0], np.int64(text))
        if entry:
            row[at + 2 * k] = (entry >> HASH_BITS) & ((1 << ACT_BITS) - 1) == 0
            age_ms = clock_ms - MIN_EVENT_MS - (entry >> (HASH_BITS + ACT_BITS)) * MINUTE_MS
            row[at + 2 * k + 1] = 2.0 ** (-max(age_ms, 0) / RECENCY_HALF_LIFE_MS)
    at += 2 * len(program.recent)
    for kind in range(len(KINDS)):
        first = kind * len(VALUES)
        if math.isnan(events.known[i, first]):
            row[at] = 1.0
        else:
            for k in range(len(SHOWN)):
                row[at + 1 + k] = events.known[i, first + k]
        at += 1 + len(SHOWN)
        usual = events.known[i, first + len(SHOWN)]
        if math.isnan(price) or math.isnan(usual):
            row[at + 1] = 1.0
        else:
            row[at] = row[6] - usual
        at += 2
