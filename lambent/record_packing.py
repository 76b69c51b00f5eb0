"""Live records as bytes, compiled: many at once are taken apart into columns, and put together again. ``records`` says how the bytes lie.

Columns of different lengths are rows of bytes, [rows, bytes of one], user by user, beside how many each user has.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lambent.packing import get, put
from lambent.views import Array

COUNT_BYTES = 2
START_BYTES, LENGTH_BYTES = 8, 2


@njit
def count_parts(packed: Array, begins: Array, ends: Array, sizes: Array, ids: Array, last: Array, tiles: Array) -> int:
    """Count what n records hold.

    Args:
        packed: bytes.
        begins, ends: [n] where each record lies in them, behind its head; one that begins at its end is none.
        sizes: bytes of the fixed part, of an id, of an event.
        ids, last, tiles: [n] are set to how many there are.

    Returns:
        The first record whose length is not what it says; n: there is none.
    """
    for u in range(len(begins)):
        at, end = begins[u], ends[u]
        ids[u], last[u], tiles[u] = 0, 0, 0
        if at == end:
            continue
        at += sizes[0] + 2 * COUNT_BYTES
        if at > end:
            return u
        ids[u], last[u] = get(packed, at - 2 * COUNT_BYTES, COUNT_BYTES), get(packed, at - COUNT_BYTES, COUNT_BYTES)
        at += ids[u] * sizes[1] + last[u] * sizes[2]
        while at + START_BYTES + LENGTH_BYTES <= end:
            at += START_BYTES + LENGTH_BYTES + get(packed, at + START_BYTES, LENGTH_BYTES)
            tiles[u] += 1
        if at != end:
            return u
    return len(begins)


@njit
def take_apart(
    packed: Array, begins: Array, ends: Array, counts_of_ids: Array, counts_of_last: Array, fixed: Array, ids: Array,
    last: Array, tile_user: Array, tile_start_ms: Array, tile_begins: Array, tile_ends: Array,
) -> None:  # fmt: skip
    """Take apart n records that ``count_parts`` has counted. Tiles are found, and left as they are packed.

    Args:
        packed, begins, ends, counts_of_ids, counts_of_last: as there.
        fixed: [n, bytes], 0 where there is no record; ids, last: [rows, bytes].
        tile_user, tile_start_ms, tile_begins, tile_ends: [tiles] are set.
    """
    at_id, at_last, at_tile = 0, 0, 0
    for u in range(len(begins)):
        at, end = begins[u], ends[u]
        if at == end:
            continue
        for b in range(fixed.shape[1]):
            fixed[u, b] = packed[at + b]
        at += fixed.shape[1] + 2 * COUNT_BYTES
        at = _take(packed, at, ids, at_id, counts_of_ids[u])
        at = _take(packed, at, last, at_last, counts_of_last[u])
        at_id, at_last = at_id + counts_of_ids[u], at_last + counts_of_last[u]
        while at < end:
            tile_user[at_tile], tile_start_ms[at_tile] = u, get(packed, at, START_BYTES)
            tile_begins[at_tile] = at + START_BYTES + LENGTH_BYTES
            at = tile_begins[at_tile] + get(packed, at + START_BYTES, LENGTH_BYTES)
            tile_ends[at_tile] = at
            at_tile += 1


@njit
def put_together(
    head: Array, fixed: Array, ids: Array, counts_of_ids: Array, last: Array, counts_of_last: Array, tile_user: Array,
    tile_start_ms: Array, tile_bytes: Array, tile_ends: Array, packed: Array, ends: Array,
) -> None:  # fmt: skip
    """Put n records one after the other into ``packed``, which is large enough.

    Args:
        head: what each begins with.
        fixed: [n, bytes]; ids, last: [rows, bytes], and how many each user has.
        tile_user, tile_start_ms, tile_ends: [tiles] user by user; the packed tiles lie one after the other in ``tile_bytes``.
        packed: bytes.
        ends: [n] is set to where each record ends.
    """
    at, at_id, at_last, at_tile = 0, 0, 0, 0
    for u in range(len(fixed)):
        for b in range(len(head)):
            packed[at + b] = head[b]
        at += len(head)
        for b in range(fixed.shape[1]):
            packed[at + b] = fixed[u, b]
        at += fixed.shape[1]
        put(packed, at, counts_of_ids[u], COUNT_BYTES)
        put(packed, at + COUNT_BYTES, counts_of_last[u], COUNT_BYTES)
        at += 2 * COUNT_BYTES
        at = _put_rows(packed, at, ids, at_id, counts_of_ids[u])
        at = _put_rows(packed, at, last, at_last, counts_of_last[u])
        at_id, at_last = at_id + counts_of_ids[u], at_last + counts_of_last[u]
        while at_tile < len(tile_user) and tile_user[at_tile] == u:
            begin = tile_ends[at_tile - 1] if at_tile else 0
            size = tile_ends[at_tile] - begin
            put(packed, at, tile_start_ms[at_tile], START_BYTES)
            put(packed, at + START_BYTES, size, LENGTH_BYTES)
            at += START_BYTES + LENGTH_BYTES
            for b in range(size):
                packed[at + b] = tile_bytes[begin + b]
            at += size
            at_tile += 1
        ends[u] = at


@njit
def find_copies(ids: Array, counts: Array, user: Array, new: Array, copies: Array) -> None:
    """Mark events whose user's memory holds their id, or who came earlier among these.

    Args:
        ids: [rows] what is remembered, user by user, and counts: [users] of how many.
        user: [m] of each event, in the log's order, and new: their ids.
        copies: [m] is set.
    """
    users, m = len(counts), len(user)
    begins, newest, before = np.zeros(users, np.int64), np.full(users, -1), np.full(m, -1)
    for u in range(1, users):
        begins[u] = begins[u - 1] + counts[u - 1]
    for i in range(m):
        u, found = user[i], False
        for k in range(begins[u], begins[u] + counts[u]):
            found |= ids[k] == new[i]
        k = newest[u]
        while k >= 0 and not found:
            found = new[k] == new[i]
            k = before[k]
        copies[i] = found
        before[i], newest[u] = newest[u], i


@njit
def add_newest(
    rows: Array, counts: Array, user: Array, new: Array, most: Array, kept: Array, kept_counts: Array
) -> int:
    """Add to what each user has, and keep the newest.

    Args:
        rows: [rows, bytes] user by user, oldest first, and counts: [users] of how many.
        user: [m] of what is new, in order, and new: [m, bytes].
        most: [users] how many are kept.
        kept: [rows, bytes] large enough, and kept_counts: [users] are set.

    Returns:
        How many rows are kept.
    """
    users = len(counts)
    total = counts.copy()
    for i in range(len(user)):
        total[user[i]] += 1
    place, at = np.zeros(users, np.int64), 0
    begin = 0
    for u in range(users):
        kept_counts[u] = min(total[u], most[u])
        dropped = total[u] - kept_counts[u]
        for k in range(min(dropped, counts[u]), counts[u]):
            kept[at + k - dropped] = rows[begin + k]
        place[u] = at + counts[u] - dropped  # before ``at`` while what is new is dropped too
        total[u] = at
        at += kept_counts[u]
        begin += counts[u]
    for i in range(len(user)):
        u = user[i]
        if place[u] >= total[u]:
            kept[place[u]] = new[i]
        place[u] += 1
    return at


@njit
def _take(packed: Array, at: int, rows: Array, first: int, count: int) -> int:
    size = rows.shape[1]
    for row in range(first, first + count):
        for b in range(size):
            rows[row, b] = packed[at + b]
        at += size
    return at


@njit
def _put_rows(packed: Array, at: int, rows: Array, first: int, count: int) -> int:
    size = rows.shape[1]
    for row in range(first, first + count):
        for b in range(size):
            packed[at + b] = rows[row, b]
        at += size
    return at
