"""A user's last events as bytes, compiled, and the tiles that are made of them. ``records`` says how the bytes lie.

8 bytes are read and written at a time, of which what is not wanted is masked or written over: so many have to lie behind.

Of n events each column is whole numbers, all in as many bytes as the largest needs: none where all are 0. So what a shop
does not tell, or a feature set does not ask for, takes no room.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from lambent.encoding import TEXT_FIELDS
from lambent.monoid import add_event, clear
from lambent.packing import CLOCK_BYTES, get, put
from lambent.views import Array, Events, Last, Profiles, Program

TEXTS = len(TEXT_FIELDS)
COLUMNS = 5 + TEXTS
"""Of an event: type and marks, clock after the last event's, time before the clock, price, dwell; texts; then the changes."""
TYPE_BITS = 5
"""A taxonomy has 32 types at most; the marks lie above them."""
CENTS = 100
RAW = 1 << 52
"""A price is 1 + its cents if it is so many exactly, else the bits of its double, which are not below this."""


@njit
def block_bytes(packed: Array, at: int, end: int, count: int, columns: int) -> int:
    """How many bytes a block of so many events takes, or more than there are up to ``end`` where it cannot be one."""
    size = CLOCK_BYTES + (columns + 1) // 2
    if count == 0:
        return 0
    if at + size > end:
        return size
    for column in range(columns):
        width = _width(packed, at, column)
        size += count * width if width <= 8 else end + 1
    return size


@njit
def unpack_last(packed: Array, at: int, last: Last, first: int, count: int, types: int, codes: Array) -> bool:
    """Read the block of one user's events into rows from ``first`` on; false if one is of a type beyond those.

    Args:
        packed: bytes; at: where the block begins.
        last: columns of all events.
        first, count: the user's rows.
        types: how many there are.
        codes: [columns, events at most] to work in.
    """
    columns = COLUMNS + last.change.shape[1]
    clock_ms, widths = get(packed, at, CLOCK_BYTES), at
    at += CLOCK_BYTES + (columns + 1) // 2
    for column in range(columns):
        width = _width(packed, widths, column)
        if width == 0:
            codes[column, :count] = 0
            continue
        mask = (1 << 8 * width) - 1 if width < 8 else -1
        for k in range(count):
            codes[column, k] = get(packed, at, 8) & mask
            at += width
    for k in range(count):
        row, kind = first + k, codes[0, k]
        clock_ms += codes[1, k]
        last.clock_ms[row], last.t_ms[row] = clock_ms, clock_ms - codes[2, k]
        last.type[row] = kind & (1 << TYPE_BITS) - 1
        last.opens[row], last.late[row] = kind >> TYPE_BITS & 1 != 0, kind >> TYPE_BITS + 1 & 1 != 0
        last.decides[row], last.returns[row] = kind >> TYPE_BITS + 2 & 1 != 0, kind >> TYPE_BITS + 3 & 1 != 0
        last.price[row] = _price_of(codes[3, k])
        last.dwell_ms[row] = codes[4, k] - 1 if codes[4, k] else math.nan
        if last.type[row] >= types:
            return False
    for text in range(TEXTS):
        for k in range(count):
            last.texts[text][first + k] = codes[5 + text, k]
    for change in range(last.change.shape[1]):
        for k in range(count):
            last.change[first + k, change] = codes[COLUMNS + change, k]
    return True


@njit
def pack_last(packed: Array, at: int, last: Last, first: int, count: int, codes: Array) -> int:
    """Write the block of one user's events; returns where it ends.

    Args:
        packed: bytes; at: where the block begins.
        last: columns of all events.
        first, count: the user's rows.
        codes: [columns, events at most] to work in.
    """
    if count == 0:
        return at
    columns = COLUMNS + last.change.shape[1]
    clock_ms = last.clock_ms[first]
    put(packed, at, clock_ms, CLOCK_BYTES)
    for k in range(count):
        row = first + k
        marks = last.opens[row] | last.late[row] << 1 | last.decides[row] << 2 | last.returns[row] << 3
        codes[0, k] = last.type[row] | marks << TYPE_BITS
        codes[1, k], codes[2, k] = last.clock_ms[row] - clock_ms, last.clock_ms[row] - last.t_ms[row]
        clock_ms = last.clock_ms[row]
        codes[3, k] = _price_code(last.price[row])
        codes[4, k] = 0 if math.isnan(last.dwell_ms[row]) else np.int64(last.dwell_ms[row]) + 1
    for text in range(TEXTS):
        for k in range(count):
            codes[5 + text, k] = last.texts[text][first + k]
    for change in range(last.change.shape[1]):
        for k in range(count):
            codes[COLUMNS + change, k] = last.change[first + k, change]
    widths = at + CLOCK_BYTES
    at = widths + (columns + 1) // 2
    packed[widths:at] = 0
    for column in range(columns):
        bits = np.int64(0)
        for k in range(count):
            bits |= codes[column, k]
        width = _bytes_of(bits)
        packed[widths + (column >> 1)] |= width << 4 * (column & 1)
        if width:
            for k in range(count):
                put(packed, at, codes[column, k], 8)
                at += width
    return at


@njit
def find_change(user: Array, session_events: Array, now: Array, base_rates: Array, said: Array, change: Array) -> None:
    """How far each event moved what was said in its session; its first one moved it from the base rates.

    Args:
        user: [m] of each event, in the log's order; session_events: [m] of its session, this one included; 0: it is late, and
            moved nothing.
        now: [m, intents] what was said of it.
        base_rates: [intents].
        said: [users, intents] what was said last of each user's session; 0: nothing yet. It moves on with the events.
        change: [m, intents] is set but for late events.
    """
    for i in range(len(user)):
        if session_events[i] == 0:
            continue
        u, total = user[i], 0.0
        for k in range(len(base_rates)):
            total += said[u, k]
        begins = session_events[i] == 1 or total == 0
        for k in range(len(base_rates)):
            before = base_rates[k] if begins else np.float64(said[u, k])
            change[i, k] = now[i, k] - before
            said[u, k] = now[i, k]


@njit
def fold_last(program: Program, last: Last, begins: Array, ends: Array, rows: Array, profiles: Profiles) -> None:
    """Make profiles anew of the events that they are the fold of.

    Args:
        program: of the feature set.
        last: columns of events.
        begins, ends: [n] which of them each profile has seen.
        rows: [n] of ``profiles`` that are set.
    """
    scratch, nothing = np.empty(len(program.half_life_ms)), np.empty((0, 0), np.float32)
    events = Events(
        last.t_ms, last.t_ms, last.type, last.opens, last.late, last.decides, last.returns, last.clock_ms, last.price, last.dwell_ms,
        nothing, last.texts,
    )  # fmt: skip
    for n in range(len(rows)):
        u, newest_ms = rows[n], last.t_ms[begins[n]]
        clear(profiles, u)
        profiles.fact[u, :] = 0
        for i in range(begins[n], ends[n]):
            newest_ms = max(newest_ms, last.t_ms[i])
        profiles.clock_ms[u] = newest_ms  # so no event finds what others left to be decayed
        for i in range(begins[n], ends[n]):
            add_event(program, profiles, u, events, i, last.decides[i], last.returns[i], last.clock_ms[i], scratch)


@njit
def _width(packed: Array, at: int, column: int) -> int:
    return packed[at + CLOCK_BYTES + (column >> 1)] >> 4 * (column & 1) & 15


@njit
def _bytes_of(bits: int) -> int:
    """How many bytes hold the number; all 8 hold a negative one."""
    if bits < 0:
        return 8
    width = 0
    while bits:
        bits >>= 8
        width += 1
    return width


@njit
def _price_code(price: float) -> int:
    if math.isnan(price):
        return 0
    cents = round(price * CENTS)
    if cents / CENTS == price:
        return cents + 1
    raw = np.empty(1, np.float64)
    raw[0] = price
    return max(int(raw.view(np.int64)[0]), RAW)


@njit
def _price_of(code: int) -> float:
    if code == 0:
        return math.nan
    if code < RAW:
        return (code - 1) / CENTS
    raw = np.empty(1, np.int64)
    raw[0] = code
    return raw.view(np.float64)[0]
