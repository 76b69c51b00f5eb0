"""Profiles as bytes: only what differs from the identity, for many users at once. All little-endian.

A profile is a row of codes, whole numbers of which 0 is the identity. Packed it is

    clock_ms        6 bytes
    which bytes     a bit for each byte of the bitmap: it is not 0
    bitmap          those bytes; it has a bit for each code: it is not 0 (bit 7 of byte 0 is the first)
    codes           those that are not 0, in as many bytes as follow

    count           1 byte, then what is above in 3 more, which are codes of their own
    decayed         of a published profile, 3 bytes: a float without sign, 6 bits of exponent and 18 of mantissa, for which
                    below 2^−24 is nothing; of a tile, which is added to many times, a float64
    latest          1 + how many seconds before the clock, modulo 2^32, in 3 bytes and 2 more; earliest as well
    register        the 16 registers of a distinct count hold half a byte each: bit 0 of all of them in 2 codes of 1 byte,
                    then bit 1 of all of them, and so on
    recent          1 + an entry in which minutes before the clock, modulo 2^26, stand for its time, in 5 bytes and 2 more
    fact            as count

Decayed columns lie by half-life, the longest first. Their bits tell only where being there changes from one half-life to the next
shorter one, which leaves most of them 0: what has decayed to nothing at seven days has at one day.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent import compiled
from lambent.aggregates import REGISTERS
from lambent.errors import DataError
from lambent.packing import CLOCK_BYTES, REGISTER_BITS, STORED_LEAST, STORED_RELATIVE
from lambent.profile import Layout, Profiles
from lambent.views import profile_blocks

__all__ = ["STORED_LEAST", "STORED_RELATIVE", "pack", "pack_joined", "unpack", "unpack_joined"]

Rows = NDArray[np.int64]
Bytes = NDArray[np.uint8]
AT_ONCE = 1_024
"""Profiles that are packed together, into room for the most that each could take."""


class _Row:
    """The row of codes of a layout: its fields beside each other, in the order that ``packing`` reads them.

    Attributes:
        order: [decayed] columns in the order of their codes.
        parts: as ``packing`` takes them: of each field the low parts of all codes, then the high ones.
        most_bytes: that a profile can take.
    """

    def __init__(self, layout: Layout, double: bool) -> None:
        width, half_lives = layout.width, len(layout.half_lives_ms)
        self.order = np.argsort(-layout.half_life_of, kind="stable").astype(np.int64)
        # Of each field: how many codes, the bytes of their parts, and the code that a bit tells the difference from.
        fields: list[tuple[int, tuple[int, ...], int]] = [
            (width["count"], (1, 3), 0),
            (width["decayed"], (8 if double else 3,), -(-width["decayed"] // max(half_lives, 1))),
            (width["latest"], (3, 2), 0),
            (width["earliest"], (3, 2), 0),
            (width["register"] // REGISTERS * REGISTERS * REGISTER_BITS // 8, (1,), 0),
            (width["recent"], (5, 2), 0),
            (width["fact"], (1, 3), 0),
        ]
        parts: list[tuple[int, int, int, int]] = []
        column = 0
        for codes, sizes, period in fields:
            shift = 0
            for size in sizes:
                for k in range(codes):
                    other = len(parts) - period if period and k >= period else -1
                    parts.append((column + k, shift, size, other))
                shift += 8 * size
            column += codes
        self.parts = np.array(parts, np.int64).reshape(-1, 4)
        self.most_bytes = CLOCK_BYTES + len(parts) // 4 + 2 + int(self.parts[:, 2].sum())


@functools.lru_cache(maxsize=16)
def _row(layout: Layout, double: bool) -> _Row:
    return _Row(layout, double)


def pack(layout: Layout, profiles: Profiles, *, double: bool) -> list[bytes]:
    """[n] packed profiles.

    Args:
        layout: of the profiles.
        profiles: [n].
        double: as tiles are stored, else as published profiles are.
    """
    packed = []
    for start in range(0, len(profiles), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(profiles)))
        data, ends = pack_joined(layout, profiles, rows, double=double)
        joined, stops = data.tobytes(), ends.tolist()
        packed += [joined[begin:end] for begin, end in zip([0, *stops[:-1]], stops, strict=True)]
    return packed


def pack_joined(layout: Layout, profiles: Profiles, rows: Rows, *, double: bool) -> tuple[Bytes, Rows]:
    """Those of some rows [n], one after the other, and [n] where each ends."""
    row = _row(layout, double)
    data, ends = np.empty(len(rows) * row.most_bytes, np.uint8), np.empty(len(rows), np.int64)
    compiled.pack_profiles(row.parts, row.order, double, profile_blocks(profiles), rows, data, ends)
    return data[: ends[-1] if len(ends) else 0], ends


def unpack(layout: Layout, packed: Sequence[bytes], *, double: bool) -> Profiles:
    """[n] profiles from their packed form.

    Raises:
        DataError: a packed profile is not of this layout.
    """
    ends = np.cumsum([len(one) for one in packed], dtype=np.int64)
    begins = np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)]
    profiles = np.empty(len(ends), layout.dtype)
    data = np.frombuffer(b"".join(packed), np.uint8)
    unpack_joined(layout, data, begins, ends, profiles, np.arange(len(ends)), double=double)
    return profiles


def unpack_joined(
    layout: Layout, data: Bytes, begins: Rows, ends: Rows, profiles: Profiles, rows: Rows, *, double: bool
) -> None:
    """The same where they lie among other bytes, [n] where each begins and ends, into some rows [n] of ``profiles``.

    Raises:
        DataError: a packed profile is not of this layout.
    """
    row = _row(layout, double)
    bad = compiled.unpack_profiles(row.parts, row.order, double, data, begins, ends, rows, profile_blocks(profiles))
    if bad < len(ends):
        size = int(ends[bad] - begins[bad])
        raise DataError(f"A packed profile of {size} bytes is longer or shorter than its bitmap says.")
