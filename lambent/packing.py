"""Rows of whole numbers as bytes, compiled: only what is not 0, and a bitmap that says what that is. ``codec`` says what the numbers
are, and how the bytes lie.

A row's numbers are taken apart into ``parts``, an array [parts, 4]: the number's column, from which bit on, how many bytes, and
another part, before it, from which its bit tells the difference; −1: its bit tells whether it is there.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lambent.views import Array

CLOCK_BYTES = 6
"""Bytes of a time in milliseconds."""


@njit
def pack_rows(parts: Array, clock_ms: Array, codes: Array, packed: Array, ends: Array) -> None:
    """Pack n rows one after the other into ``packed``, which is large enough.

    Args:
        parts: see above.
        clock_ms: [n] what each row begins with.
        codes: [n, columns].
        packed: bytes.
        ends: [n] is set to where each row ends.
    """
    bitmap_bytes = (len(parts) + 7) // 8
    which_bytes = (bitmap_bytes + 7) // 8
    bitmap, values = np.zeros(bitmap_bytes, np.uint8), np.zeros(len(parts), np.int64)
    at = 0
    for u in range(len(codes)):
        _put(packed, at, clock_ms[u], CLOCK_BYTES)
        which = at + CLOCK_BYTES
        at = which + which_bytes
        packed[which:at] = 0
        bitmap[:] = 0
        for k in range(len(parts)):
            values[k] = codes[u, parts[k, 0]] >> parts[k, 1] & _mask(parts[k, 2])
            other = parts[k, 3]
            if (values[k] != 0) != (other >= 0 and values[other] != 0):
                bitmap[k >> 3] |= 0x80 >> (k & 7)
        for b in range(bitmap_bytes):
            if bitmap[b]:
                packed[which + (b >> 3)] |= 0x80 >> (b & 7)
                packed[at] = bitmap[b]
                at += 1
        for k in range(len(parts)):
            if values[k] != 0:
                _put(packed, at, values[k], parts[k, 2])
                at += parts[k, 2]
        ends[u] = at


@njit
def unpack_rows(parts: Array, packed: Array, ends: Array, clock_ms: Array, codes: Array) -> int:
    """Unpack n rows that lie one after the other.

    Args:
        parts: see above.
        packed: bytes.
        ends: [n] where each row ends.
        clock_ms: [n] is set.
        codes: [n, columns] is set; 0 before.

    Returns:
        The first row whose length is not what its bitmap says; n: there is none.
    """
    bitmap_bytes = (len(parts) + 7) // 8
    which_bytes = (bitmap_bytes + 7) // 8
    bitmap, marks = np.zeros(bitmap_bytes, np.uint8), np.zeros(len(parts), np.bool_)
    end = 0
    for u in range(len(ends)):
        at, end = end, ends[u]
        if at + CLOCK_BYTES + which_bytes > end:
            return u
        clock_ms[u] = _get(packed, at, CLOCK_BYTES)
        which = at + CLOCK_BYTES
        at = which + which_bytes
        for b in range(bitmap_bytes):
            bitmap[b] = 0
            if packed[which + (b >> 3)] & (0x80 >> (b & 7)):
                if at >= end:
                    return u
                bitmap[b] = packed[at]
                at += 1
        for k in range(len(parts)):
            other = parts[k, 3]
            marks[k] = (bitmap[k >> 3] & (0x80 >> (k & 7)) != 0) != (other >= 0 and marks[other])
            if marks[k]:
                if at + parts[k, 2] > end:
                    return u
                codes[u, parts[k, 0]] |= _get(packed, at, parts[k, 2]) << parts[k, 1]
                at += parts[k, 2]
        if at != end:
            return u
    return len(ends)


@njit
def _mask(size: int) -> int:
    return -1 if size == 8 else (1 << 8 * size) - 1


@njit
def _put(packed: Array, at: int, value: int, size: int) -> None:
    for k in range(size):
        packed[at + k] = value >> 8 * k & 0xFF


@njit
def _get(packed: Array, at: int, size: int) -> np.int64:
    value = np.int64(0)
    for k in range(size):
        value |= np.int64(packed[at + k]) << 8 * k
    return value
