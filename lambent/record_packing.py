"""Live records as bytes, compiled: many at once are taken apart into columns, and put together again. ``records`` says how the
bytes lie. Columns have a row for each thing that a user has, user by user, and beside them is how many each has.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from lambent.encoding import ID_BYTES
from lambent.last_packing import COLUMNS, block_bytes, pack_last, unpack_last
from lambent.packing import CLOCK_BYTES, get, put
from lambent.views import Array, Last, PackedTiles

COUNT_BYTES, LENGTH_BYTES = 2, 2
COUNTS_BYTES = 3 * COUNT_BYTES
"""How many ids, last events and tiles there are."""
TILE_BYTES = CLOCK_BYTES + COUNT_BYTES
"""Where a tile starts, and how many of the last events it is the fold of."""


@njit
def count_parts(packed: Array, begins: Array, ends: Array, sizes: Array, ids: Array, last: Array, tiles: Array) -> int:
    """Count what n records hold.

    Args:
        packed: bytes.
        begins, ends: [n] where each record lies in them, behind its head; one that begins at its end is none.
        sizes: bytes of the sparse and of the plain fixed part, columns of an event.
        ids, last, tiles: [n] are set to how many there are.

    Returns:
        The first record whose length is not what it says, or whose tiles have more events than it; n: there is none.
    """
    for u in range(len(begins)):
        at, end = begins[u], ends[u]
        ids[u], last[u], tiles[u] = 0, 0, 0
        if at == end:
            continue
        if at + _mask_bytes(sizes[0]) > end:
            return u
        at += _mask_bytes(sizes[0]) + _marked(packed, at, sizes[0]) + sizes[1] + COUNTS_BYTES
        if at > end:
            return u
        counts = at - COUNTS_BYTES
        ids[u], last[u] = get(packed, counts, COUNT_BYTES), get(packed, counts + COUNT_BYTES, COUNT_BYTES)
        tiles[u] = get(packed, counts + 2 * COUNT_BYTES, COUNT_BYTES)
        at += ids[u] * ID_BYTES
        at += block_bytes(packed, at, end, last[u], sizes[2])
        seen = 0
        for _ in range(tiles[u]):
            if at + TILE_BYTES > end:
                return u
            events = get(packed, at + CLOCK_BYTES, COUNT_BYTES)
            seen += events
            at += TILE_BYTES
            if events == 0:
                if at + LENGTH_BYTES > end:
                    return u
                at += LENGTH_BYTES + get(packed, at, LENGTH_BYTES)
        if at != end or seen > last[u]:
            return u
    return len(begins)


@njit
def take_apart(
    packed: Array, begins: Array, ends: Array, counts_of_ids: Array, counts_of_last: Array, counts_of_tiles: Array, types: int,
    sparse: int, fixed: Array, ids: Array, last: Last, tiles: PackedTiles,
) -> int:  # fmt: skip
    """Take apart n records that ``count_parts`` has counted. Tiles are found, and left as they are packed.

    Args:
        packed, begins, ends, counts_of_ids, counts_of_last, counts_of_tiles: as there.
        types: how many types of events there are.
        sparse: bytes of the sparse fixed part, which is the first.
        fixed: [n, bytes], 0 where there is no record.
        ids: [rows]; last: columns of [rows]; tiles: columns of [rows]. They are set.

    Returns:
        The first record with an event of no type; n: there is none.
    """
    codes = np.empty((COLUMNS + last.change.shape[1], max(counts_of_last.max(), 1) if len(begins) else 1), np.int64)
    at_id, at_last, at_tile = 0, 0, 0
    for u in range(len(begins)):
        at, end = begins[u], ends[u]
        if at == end:
            continue
        at = _take_fixed(packed, at, fixed, u, sparse) + COUNTS_BYTES
        for _ in range(counts_of_ids[u]):
            ids[at_id] = get(packed, at, ID_BYTES)
            at, at_id = at + ID_BYTES, at_id + 1
        count = counts_of_last[u]
        if count:
            if not unpack_last(packed, at, last, at_last, count, types, codes):
                return u
            at += block_bytes(packed, at, end, count, len(codes))
        at_last += count
        first_tile, at_tile = at_tile, at_tile + counts_of_tiles[u]
        for k in range(first_tile, at_tile):
            tiles.user[k], tiles.start_ms[k] = u, get(packed, at, CLOCK_BYTES)
            tiles.events[k] = get(packed, at + CLOCK_BYTES, COUNT_BYTES)
            at += TILE_BYTES
            if tiles.events[k] == 0:
                tiles.begin[k] = at + LENGTH_BYTES
                at = tiles.begin[k] + get(packed, at, LENGTH_BYTES)
                tiles.end[k] = at
        newest = at_last
        for k in range(at_tile - 1, first_tile - 1, -1):
            if tiles.events[k]:
                tiles.begin[k], tiles.end[k] = newest - tiles.events[k], newest
                newest = tiles.begin[k]
    return len(begins)


@njit
def put_together(
    head: Array, sparse: int, fixed: Array, ids: Array, counts_of_ids: Array, last: Last, counts_of_last: Array, tiles: PackedTiles,
    tile_bytes: Array, packed: Array, ends: Array,
) -> None:  # fmt: skip
    """Put n records one after the other into ``packed``, which is large enough.

    Args:
        head: what each begins with.
        sparse: bytes of the sparse fixed part, which is the first.
        fixed: [n, bytes]; ids: [rows], and how many each user has; last: columns of [rows], and how many each user has.
        tiles: columns of tiles, user by user. Those without events lie packed in ``tile_bytes``.
        packed: bytes.
        ends: [n] is set to where each record ends.
    """
    codes = np.empty((COLUMNS + last.change.shape[1], max(counts_of_last.max(), 1) if len(fixed) else 1), np.int64)
    at, at_id, at_last, at_tile = 0, 0, 0, 0
    for u in range(len(fixed)):
        for b in range(len(head)):
            packed[at + b] = head[b]
        at = _put_fixed(packed, at + len(head), fixed, u, sparse)
        put(packed, at, counts_of_ids[u], COUNT_BYTES)
        put(packed, at + COUNT_BYTES, counts_of_last[u], COUNT_BYTES)
        first_tile = at_tile
        while at_tile < len(tiles.user) and tiles.user[at_tile] == u:
            at_tile += 1
        put(packed, at + 2 * COUNT_BYTES, at_tile - first_tile, COUNT_BYTES)
        at += COUNTS_BYTES
        for _ in range(counts_of_ids[u]):
            put(packed, at, ids[at_id], ID_BYTES)
            at, at_id = at + ID_BYTES, at_id + 1
        at = pack_last(packed, at, last, at_last, counts_of_last[u], codes)
        at_last += counts_of_last[u]
        for k in range(first_tile, at_tile):
            put(packed, at, tiles.start_ms[k], CLOCK_BYTES)
            put(packed, at + CLOCK_BYTES, tiles.events[k], COUNT_BYTES)
            at += TILE_BYTES
            if tiles.events[k] == 0:
                begin = tiles.begin[k]
                size = tiles.end[k] - begin
                put(packed, at, size, LENGTH_BYTES)
                at += LENGTH_BYTES
                for b in range(size):
                    packed[at + b] = tile_bytes[begin + b]
                at += size
        ends[u] = at


@njit
def find_listed(user: Array, events: Array, counts_of_last: Array, listed: Array) -> None:
    """Mark the tiles whose events are all among the user's last ones.

    Args:
        user: [m] of each tile, user by user, each one's oldest first; events: [m] how many it has seen.
        counts_of_last: [users] how many last events each has.
        listed: [m] is set.
    """
    left = 0
    for k in range(len(user) - 1, -1, -1):
        if k == len(user) - 1 or user[k] != user[k + 1]:
            left = counts_of_last[user[k]]
        listed[k] = 0 < events[k] <= left
        left = left - events[k] if listed[k] else 0


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
def _mask_bytes(sparse: int) -> int:
    return (sparse + 7) // 8


@njit
def _marked(packed: Array, at: int, sparse: int) -> int:
    """How many bytes a mask says that there are."""
    count = 0
    for b in range(sparse):
        count += packed[at + (b >> 3)] >> (b & 7) & 1
    return count


@njit
def _take_fixed(packed: Array, at: int, fixed: Array, u: int, sparse: int) -> int:
    mask = at
    at += _mask_bytes(sparse)
    for b in range(sparse):
        if packed[mask + (b >> 3)] >> (b & 7) & 1:
            fixed[u, b] = packed[at]
            at += 1
    for b in range(sparse, fixed.shape[1]):
        fixed[u, b] = packed[at + b - sparse]
    return at + fixed.shape[1] - sparse


@njit
def _put_fixed(packed: Array, at: int, fixed: Array, u: int, sparse: int) -> int:
    mask = at
    at += _mask_bytes(sparse)
    packed[mask:at] = 0
    for b in range(sparse):
        if fixed[u, b]:
            packed[mask + (b >> 3)] |= 1 << (b & 7)
            packed[at] = fixed[u, b]
            at += 1
    for b in range(sparse, fixed.shape[1]):
        packed[at + b - sparse] = fixed[u, b]
    return at + fixed.shape[1] - sparse
