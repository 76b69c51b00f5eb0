"""The compiled monoid: one event added to one profile, two profiles merged, one value looked up. ``program`` writes the tables
that it follows. A profile's decayed values are as of its clock; adding an event moves the clock on, or weighs a late event
down.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from lambent.aggregates import ACT_BITS, HASH_BITS, MAX_RANK, MINUTE_MS, RECALLED, SECOND_MS
from lambent.encoding import TEXT_FIELDS
from lambent.events import MIN_EVENT_MS
from lambent.sessions import NEVER_MS
from lambent.views import Array, Events, Profiles, Program

NEVER_SEEN = np.iinfo(np.int64).max
"""Identity of the earliest time."""
COUNT, DECAYED, LATEST, EARLIEST, REGISTER, RECENT, STREAK = range(7)
"""Kinds of operation: the blocks of a profile, in their order (``profile.KINDS``), and a streak, which is in that of ``RECENT``."""
ANY_MARK, OPENS, LATE, DECIDES, RETURNS = range(5)
ONE, PRICE, DWELL, UNPRICED = range(4)
"""What an event is worth: 1, log(1 + x) of one of its numbers, or 1 where it has no price."""
HASH = (1 << HASH_BITS) - 1
PRODUCT = TEXT_FIELDS.index("product")


@njit
def add_event(
    program: Program, profiles: Profiles, u: int, events: Events, i: int, decides: bool, returns: bool, clock_ms: int,
    scratch: Array,
) -> None:  # fmt: skip
    """Add one event to one profile; ``clock_ms`` is the user's clock, the event included."""
    t_ms = events.t_ms[i]
    _move_clock(program, profiles, u, t_ms, scratch)
    age_ms = t_ms - profiles.clock_ms[u]
    for h in range(len(scratch)):
        scratch[h] = 2.0 ** (age_ms / program.half_life_ms[h]) if age_ms else 1.0
    # Read once: to hand all columns to another function for each operation, or to take them out of their tuple, costs more
    # than the operation.
    kind, opens, late, price, dwell_ms = (
        events.type[i], events.opens[i], events.late[i], events.price[i], events.dwell_ms[i],
    )  # fmt: skip
    of, unpriced = events.texts, math.isnan(price)
    texts = (
        np.int64(of[0][i]), np.int64(of[1][i]), np.int64(of[2][i]), np.int64(of[3][i]), np.int64(of[4][i]), np.int64(of[5][i])
    )  # fmt: skip
    worth = (  # in the order of ONE, PRICE, DWELL, UNPRICED
        1.0,
        0.0 if unpriced else math.log1p(price),
        0.0 if math.isnan(dwell_ms) else math.log1p(dwell_ms),
        1.0 if unpriced else 0.0,
    )
    operations, first, last = program.operations, program.first[kind], program.first[kind + 1]
    count, latest, earliest, register = profiles.count, profiles.latest, profiles.earliest, profiles.register
    recent, decayed = profiles.recent, profiles.decayed
    for k in range(first, last):
        mark = operations[k, 2]
        if mark != ANY_MARK and not (
            (mark == OPENS and opens)
            or (mark == LATE and late)
            or (mark == DECIDES and decides)
            or (mark == RETURNS and returns)
        ):
            continue
        column, text = operations[k, 1], np.int64(0)
        if operations[k, 5] >= 0:
            text = texts[operations[k, 5]]
            if text == 0:
                continue
        buckets, bucket_ms = operations[k, 6], operations[k, 7]
        if bucket_ms > 0:
            column += (t_ms // bucket_ms) % buckets
        elif buckets > 0:
            column += text % buckets
        if operations[k, 0] == COUNT:
            count[u, column] += 1
        elif operations[k, 0] == LATEST:
            at_ms = clock_ms if mark in (DECIDES, RETURNS) else t_ms
            latest[u, column] = max(latest[u, column], at_ms // SECOND_MS)
        elif operations[k, 0] == EARLIEST:
            earliest[u, column] = min(earliest[u, column], t_ms // SECOND_MS)
        elif operations[k, 0] == REGISTER:
            register[u, column] = max(register[u, column], _rank(text // buckets))
        elif operations[k, 0] == RECENT:
            minute = (t_ms - MIN_EVENT_MS) // MINUTE_MS
            entry = (minute << ACT_BITS | operations[k, 4]) << HASH_BITS | (text & HASH)
            _recall(recent, u, column, entry)
        elif operations[k, 0] == STREAK:
            minute = (clock_ms - MIN_EVENT_MS) // MINUTE_MS
            if opens:
                _recall(recent, u, column, (minute << ACT_BITS) << HASH_BITS | (minute << 1) & HASH)
            if returns:
                _recall(recent, u, column, (minute << ACT_BITS | 1) << HASH_BITS | (minute << 1 | 1) & HASH)
        else:
            decayed[u, column] += worth[operations[k, 4]] * scratch[operations[k, 3]]


@njit
def decides_first(program: Program, base: Profiles, tile: Profiles, u: int, events: Events, i: int) -> bool:
    """Whether an event is the first of its session that leads to its intent.

    A session that has led to it left the user's clock, which is not before the session's start.
    """
    column = program.decided[events.type[i]]
    if column < 0 or events.late[i]:
        return False
    decided_s = max(base.latest[u, column], tile.latest[u, column])
    opened_s = max(base.latest[u, program.opened], tile.latest[u, program.opened])
    return events.opens[i] or decided_s == 0 or decided_s < opened_s


@njit
def comes_back(program: Program, base: Profiles, tile: Profiles, u: int, events: Events, i: int) -> bool:
    """Whether an event is of the product that the user saw last before the session, and the first of the session to be so.

    That is read off the last-N map of what was seen. A session that has come back left the user's clock, as one that decided.
    """
    text = np.int64(events.texts[PRODUCT][i])
    if program.seen < 0 or program.opened < 0 or program.returned < 0 or text == 0 or events.late[i]:
        return False
    opened_s = max(base.latest[u, program.opened], tile.latest[u, program.opened])
    returned_s = max(base.latest[u, program.returned], tile.latest[u, program.returned])
    if returned_s != 0 and returned_s >= opened_s and not events.opens[i]:
        return False
    opened_ms = events.t_ms[i] if events.opens[i] else opened_s * SECOND_MS
    opened = (opened_ms - MIN_EVENT_MS) // MINUTE_MS
    own = recalled(base.recent, tile.recent, u, program.seen, text)
    minute = own >> (HASH_BITS + ACT_BITS)
    if own == 0 or minute >= opened:
        return False
    for k in range(program.seen, program.seen + RECALLED):
        for entry in (base.recent[u, k], tile.recent[u, k]):
            between = minute < entry >> (HASH_BITS + ACT_BITS) < opened
            if between and recalled(base.recent, tile.recent, u, program.seen, entry & HASH) == entry:
                return False
    return True


@njit
def _rank(text: int) -> int:
    """1 + how many zeros a hash ends with, at most ``MAX_RANK``."""
    rank = 1
    while text & 1 == 0 and rank < MAX_RANK:
        text >>= 1
        rank += 1
    return rank


@njit
def _recall(entries: Array, u: int, first: int, entry: int) -> None:
    """Write an entry into a last-N map, which is kept newest first: the newest of each text stays, and then the newest."""
    last = first + RECALLED - 1
    for k in range(first, first + RECALLED):
        if entries[u, k] != 0 and (entries[u, k] ^ entry) & HASH == 0:
            last = k
            break
    if entries[u, last] >= entry:
        return
    k = last
    while k > first and entries[u, k - 1] < entry:
        entries[u, k] = entries[u, k - 1]
        k -= 1
    entries[u, k] = entry


@njit(inline="always")
def recalled(base: Array, tile: Array, u: int, first: int, text: int) -> int:
    """The entry of a text in user u's merge(base, tile) of a last-N map, 0 where it has none, without merging."""
    found = 0
    for k in range(first, first + RECALLED):
        for entry in (base[u, k], tile[u, k]):
            if (entry ^ text) & HASH == 0 and entry != 0:
                found = max(found, entry)
    newer = 0
    for k in range(first, first + RECALLED):
        newer += tile[u, k] > found
        if base[u, k] > found:
            twice = False
            for other in range(first, first + RECALLED):
                twice |= tile[u, other] > found and (tile[u, other] ^ base[u, k]) & HASH == 0
            newer += not twice
    return found if newer < RECALLED else 0


@njit
def decayed_at(base: float, base_ms: int, tile: float, tile_ms: int, half_life_ms: float, clock_ms: int) -> float:
    """One decayed value of merge(base, tile) as of a time, without merging the rest.

    It takes numbers alone, since to hand over all columns of two profiles costs more than the sum.
    """
    total = 0.0
    if base != 0.0:
        total += base * 2.0 ** ((base_ms - clock_ms) / half_life_ms)
    if tile != 0.0:
        total += tile * 2.0 ** ((tile_ms - clock_ms) / half_life_ms)
    return total


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
def merge(program: Program, into: Profiles, to: int, other: Profiles, at: int, scratch: Array) -> None:
    """Merge one profile into another."""
    for column in range(into.fact.shape[1]):
        into.fact[to, column] = max(into.fact[to, column], other.fact[at, column])
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
    for column in range(into.register.shape[1]):
        into.register[to, column] = max(into.register[to, column], other.register[at, column])
    for column in range(into.recent.shape[1]):
        if other.recent[at, column] != 0:
            _recall(into.recent, to, column // RECALLED * RECALLED, other.recent[at, column])


@njit
def copy(source: Profiles, u: int, into: Profiles, to: int) -> None:
    into.clock_ms[to] = source.clock_ms[u]
    into.count[to, :] = source.count[u, :]
    into.latest[to, :] = source.latest[u, :]
    into.earliest[to, :] = source.earliest[u, :]
    into.register[to, :] = source.register[u, :]
    into.recent[to, :] = source.recent[u, :]
    into.fact[to, :] = source.fact[u, :]
    into.decayed[to, :] = source.decayed[u, :]


@njit
def clear(profiles: Profiles, u: int) -> None:
    """Back to the identity, but for the facts: they are no history."""
    profiles.clock_ms[u] = NEVER_MS
    profiles.count[u, :] = 0
    profiles.latest[u, :] = 0
    profiles.earliest[u, :] = NEVER_SEEN
    profiles.decayed[u, :] = 0.0
    profiles.register[u, :] = 0
    profiles.recent[u, :] = 0
