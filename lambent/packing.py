"""Profiles as bytes, compiled: only what is not 0, and a bitmap that says what that is. ``codec`` says what the numbers are, and how
the bytes lie.

A profile becomes a row of codes, and these are taken apart into ``parts``, an array [parts, 4]: the code's column, from which
bit on, how many bytes, and another part, before it, from which its bit tells the difference; −1: its bit tells whether it is
there. The row lies in the processor's nearest memory: it is made, and read, one profile after the other.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lambent.aggregates import ACT_BITS, HASH_BITS, MINUTE_MS, REGISTERS, SECOND_MS
from lambent.events import MIN_EVENT_MS
from lambent.monoid import NEVER_SEEN
from lambent.views import Array, Profiles

CLOCK_BYTES = 6
"""Bytes of a time in milliseconds."""
STORED_LEAST = 2.0**-24
"""The smallest decayed value of a published profile that is not 0 …"""
STORED_RELATIVE = 2.0**-18
"""… and one unit of any, relative to it."""
CUT_BITS = 5
"""Of float32's 23 bits of mantissa so many are cut off."""
ORIGIN = int(np.float32(STORED_LEAST).view(np.int32)) - (1 << CUT_BITS)
"""Bits of float32 from which codes are counted: that of the smallest value is 1."""
KEY_BITS = ACT_BITS + HASH_BITS
MINUTES = (1 << 26) - 1
SECONDS = (1 << 32) - 1
REGISTER_BITS = 4
PLANE_BYTES = REGISTERS // 8


@njit
def pack_profiles(
    parts: Array, order: Array, double: bool, profiles: Profiles, rows: Array, packed: Array, ends: Array
) -> None:
    """Pack some profiles one after the other into ``packed``, which is large enough.

    Args:
        parts: see above.
        order: [decayed] columns in the order of their codes.
        double: decayed values as float64, else in 3 bytes.
        profiles: of which to pack those that rows [n] names.
        packed: bytes.
        ends: [n] is set to where each of them ends.
    """
    bitmap_bytes = (len(parts) + 7) // 8
    which_bytes = (bitmap_bytes + 7) // 8
    bitmap, marks = np.zeros(bitmap_bytes, np.uint8), np.zeros(len(parts), np.bool_)
    body = np.zeros(8 * len(parts), np.uint8)
    codes = np.zeros(_width(profiles), np.int64)
    at = 0
    for i in range(len(rows)):
        u = rows[i]
        _read(order, double, profiles, u, codes)
        put(packed, at, profiles.clock_ms[u], CLOCK_BYTES)
        which = at + CLOCK_BYTES
        at = which + which_bytes
        packed[which:at] = 0
        bitmap[:] = 0
        filled = 0
        for k in range(len(parts)):
            size, other = parts[k, 2], parts[k, 3]
            value = codes[parts[k, 0]] >> parts[k, 1] & _mask(size)
            marks[k] = value != 0
            bitmap[k >> 3] |= (marks[k] != (other >= 0 and marks[other])) << (7 - (k & 7))
            if value != 0:
                put(body, filled, value, size)
                filled += size
        for b in range(bitmap_bytes):
            if bitmap[b]:
                packed[which + (b >> 3)] |= 0x80 >> (b & 7)
                packed[at] = bitmap[b]
                at += 1
        packed[at : at + filled] = body[:filled]
        at += filled
        ends[i] = at


@njit
def unpack_profiles(
    parts: Array, order: Array, double: bool, packed: Array, begins: Array, ends: Array, rows: Array, profiles: Profiles
) -> int:
    """Unpack n profiles.

    Args:
        parts, order, double: as for ``pack_profiles``.
        packed: bytes.
        begins, ends: [n] where each one lies in them.
        profiles: of which those that rows [n] names are set.

    Returns:
        The first whose length is not what its bitmap says; n: there is none.
    """
    bitmap_bytes = (len(parts) + 7) // 8
    which_bytes = (bitmap_bytes + 7) // 8
    bitmap, marks = np.zeros(bitmap_bytes, np.uint8), np.zeros(len(parts), np.bool_)
    codes = np.zeros(_width(profiles), np.int64)
    bits4, bits8 = np.zeros(1, np.int32), np.zeros(1, np.int64)
    float4, float8 = bits4.view(np.float32), bits8.view(np.float64)
    counts = profiles.count.shape[1]
    others = counts + len(order)
    for i in range(len(rows)):
        u, at, end = rows[i], begins[i], ends[i]
        if at + CLOCK_BYTES + which_bytes > end:
            return i
        profiles.clock_ms[u] = get(packed, at, CLOCK_BYTES)
        which = at + CLOCK_BYTES
        at = which + which_bytes
        for b in range(bitmap_bytes):
            bitmap[b] = 0
            if packed[which + (b >> 3)] & (0x80 >> (b & 7)):
                if at >= end:
                    return i
                bitmap[b] = packed[at]
                at += 1
        codes[:] = 0
        profiles.count[u, :] = 0
        profiles.decayed[u, :] = 0.0
        for k in range(len(parts)):
            other = parts[k, 3]
            marks[k] = (bitmap[k >> 3] >> (7 - (k & 7)) & 1 != 0) != (other >= 0 and marks[other])
            if marks[k]:
                column, size = parts[k, 0], parts[k, 2]
                if at + size > end:
                    return i
                value = get(packed, at, size)
                at += size
                if column < counts:  # most of what is there is a count or decayed: it is written at once
                    profiles.count[u, column] |= value << parts[k, 1]
                elif column >= others:
                    codes[column] |= value << parts[k, 1]
                elif double:
                    bits8[0] = value
                    profiles.decayed[u, order[column - counts]] = float8[0]
                else:
                    bits4[0] = (value << CUT_BITS) + ORIGIN
                    profiles.decayed[u, order[column - counts]] = float4[0]
        if at != end:
            return i
        _write(codes, others, profiles, u)
    return len(ends)


@njit
def _width(profiles: Profiles) -> int:
    """How many codes a profile has."""
    numbers = (
        profiles.count.shape[1] + profiles.decayed.shape[1] + profiles.latest.shape[1] + profiles.earliest.shape[1]
    )
    planes = profiles.register.shape[1] * REGISTER_BITS // 8
    return numbers + planes + profiles.recent.shape[1] + profiles.fact.shape[1]


@njit
def _read(order: Array, double: bool, profiles: Profiles, u: int, codes: Array) -> None:
    """Set the codes to those of profile u."""
    bits4, bits8 = np.zeros(1, np.int32), np.zeros(1, np.int64)
    float4, float8 = bits4.view(np.float32), bits8.view(np.float64)
    clock_s, clock_min = profiles.clock_ms[u] // SECOND_MS, (profiles.clock_ms[u] - MIN_EVENT_MS) // MINUTE_MS
    at = 0
    for k in range(profiles.count.shape[1]):
        codes[at + k] = profiles.count[u, k]
    at += profiles.count.shape[1]
    for k in range(len(order)):
        value = profiles.decayed[u, order[k]]
        if double:
            float8[0] = value
            codes[at + k] = bits8[0]
        else:
            float4[0] = value
            codes[at + k] = max((np.int64(bits4[0]) - ORIGIN + (1 << (CUT_BITS - 1))) >> CUT_BITS, 0)
    at += len(order)
    for k in range(profiles.latest.shape[1]):
        value_s = profiles.latest[u, k]
        codes[at + k] = 0 if value_s == 0 else (clock_s - value_s & SECONDS) + 1
    at += profiles.latest.shape[1]
    for k in range(profiles.earliest.shape[1]):
        value_s = profiles.earliest[u, k]
        codes[at + k] = 0 if value_s == NEVER_SEEN else (clock_s - value_s & SECONDS) + 1
    at += profiles.earliest.shape[1]
    for first in range(0, profiles.register.shape[1], REGISTERS):
        for plane in range(REGISTER_BITS * PLANE_BYTES):
            codes[at + plane] = 0
        for k in range(REGISTERS):
            for bit in range(REGISTER_BITS if profiles.register[u, first + k] else 0):
                if profiles.register[u, first + k] >> bit & 1:
                    codes[at + bit * PLANE_BYTES + (k >> 3)] |= 0x80 >> (k & 7)
        at += REGISTER_BITS * PLANE_BYTES
    for k in range(profiles.recent.shape[1]):
        entry = profiles.recent[u, k]
        codes[at + k] = 0 if entry == 0 else _turned(clock_min, entry) + 1
    at += profiles.recent.shape[1]
    for k in range(profiles.fact.shape[1]):
        codes[at + k] = profiles.fact[u, k]


@njit
def _write(codes: Array, at: int, profiles: Profiles, u: int) -> None:
    """Set profile u, whose clock is set, to what the codes from ``at`` on say: what is no count and does not decay."""
    clock_s, clock_min = profiles.clock_ms[u] // SECOND_MS, (profiles.clock_ms[u] - MIN_EVENT_MS) // MINUTE_MS
    for k in range(profiles.latest.shape[1]):
        code = codes[at + k]
        profiles.latest[u, k] = 0 if code == 0 else clock_s - (code - 1) & SECONDS
    at += profiles.latest.shape[1]
    for k in range(profiles.earliest.shape[1]):
        code = codes[at + k]
        profiles.earliest[u, k] = NEVER_SEEN if code == 0 else clock_s - (code - 1) & SECONDS
    at += profiles.earliest.shape[1]
    for first in range(0, profiles.register.shape[1], REGISTERS):
        for k in range(REGISTERS):
            register = 0
            for bit in range(REGISTER_BITS):
                if codes[at + bit * PLANE_BYTES + (k >> 3)] & (0x80 >> (k & 7)):
                    register |= 1 << bit
            profiles.register[u, first + k] = register
        at += REGISTER_BITS * PLANE_BYTES
    for k in range(profiles.recent.shape[1]):
        code = codes[at + k]
        profiles.recent[u, k] = 0 if code == 0 else _turned(clock_min, code - 1)
    at += profiles.recent.shape[1]
    for k in range(profiles.fact.shape[1]):
        profiles.fact[u, k] = codes[at + k]


@njit
def _turned(clock_min: int, entry: int) -> int:
    """An entry with minutes before the clock for minutes since 2000, and the other way round."""
    return (clock_min - (entry >> KEY_BITS) & MINUTES) << KEY_BITS | (entry & (1 << KEY_BITS) - 1)


@njit
def _mask(size: int) -> int:
    return -1 if size == 8 else (1 << 8 * size) - 1


@njit
def put(packed: Array, at: int, value: int, size: int) -> None:
    """Write a whole number in so many bytes."""
    if size == 8:  # written out, these become one store
        packed[at], packed[at + 1], packed[at + 2], packed[at + 3] = value, value >> 8, value >> 16, value >> 24
        packed[at + 4], packed[at + 5], packed[at + 6], packed[at + 7] = (
            value >> 32,
            value >> 40,
            value >> 48,
            value >> 56,
        )
    elif size == 3:
        packed[at], packed[at + 1], packed[at + 2] = value, value >> 8, value >> 16
    else:
        for k in range(size):
            packed[at + k] = value >> 8 * k & 0xFF


@njit
def get(packed: Array, at: int, size: int) -> np.int64:
    """Read one."""
    if size == 8:  # written out, these become one load
        low = _get4(packed, at)
        value = low | _get4(packed, at + 4) << 32
    elif size == 3:
        value = np.int64(packed[at]) | np.int64(packed[at + 1]) << 8 | np.int64(packed[at + 2]) << 16
    else:
        value = np.int64(0)
        for k in range(size):
            value |= np.int64(packed[at + k]) << 8 * k
    return value


@njit(inline="always")
def _get4(packed: Array, at: int) -> np.int64:
    low, high = (
        np.int64(packed[at]) | np.int64(packed[at + 1]) << 8,
        np.int64(packed[at + 2]) | np.int64(packed[at + 3]) << 8,
    )
    return low | high << 16
