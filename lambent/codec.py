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

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lambent import compiled
from lambent.aggregates import ACT_BITS, HASH_BITS, MINUTE_MS, REGISTERS, SECOND_MS, Earliest
from lambent.errors import DataError
from lambent.events import MIN_EVENT_MS
from lambent.packing import CLOCK_BYTES
from lambent.profile import Layout, Profiles

Codes = NDArray[np.int64]
AT_ONCE = 1_024
"""Profiles whose codes are held together: they stay in the processor's cache."""
STORED_LEAST = 2.0**-24
"""The smallest decayed value of a published profile that is not 0 …"""
STORED_RELATIVE = 2.0**-18
"""… and one unit of any, relative to it."""
_CUT_BITS = 5
"""Of float32's 23 bits of mantissa so many are cut off."""
_ORIGIN = int(np.float32(STORED_LEAST).view(np.uint32)) - (1 << _CUT_BITS)
"""Bits of float32 from which codes are counted: that of the smallest value is 1."""
_KEY_BITS = ACT_BITS + HASH_BITS
_MINUTES = (1 << 26) - 1
_SECONDS = (1 << 32) - 1
_REGISTER_BITS = 4


@dataclasses.dataclass(frozen=True)
class _Field:
    """Some columns of a profile and their codes.

    Attributes:
        width: how many codes.
        sizes: bytes of a code's parts, the lowest first; each part is a code of its own.
        read: [n, width] codes of n profiles.
        write: sets them in profiles whose clock is set.
        period: a code's bit tells whether being there changes from the code so many before; 0: whether it is there.
    """

    width: int
    sizes: tuple[int, ...]
    read: Callable[[Profiles], Codes | NDArray[np.int32]]
    write: Callable[[Profiles, Codes], None]
    period: int = 0


def _fields(layout: Layout, double: bool) -> list[_Field]:
    width = layout.width
    return [
        _Field(width["count"], (1, 3), lambda p: p["count"], _set("count")),
        _decayed(layout, double),
        _Field(width["latest"], (3, 2), lambda p: _before(p, "latest", 0), lambda p, c: _set_before(p, c, "latest", 0)),
        _Field(
            width["earliest"],
            (3, 2),
            lambda p: _before(p, "earliest", Earliest.identity),
            lambda p, c: _set_before(p, c, "earliest", Earliest.identity),
        ),
        _Field(width["register"] // REGISTERS * REGISTERS * _REGISTER_BITS // 8, (1,), _planes, _set_planes),
        _Field(width["recent"], (5, 2), _recent, _set_recent),
        _Field(width["fact"], (1, 3), lambda p: p["fact"], _set("fact")),
    ]


def _set(group: str) -> Callable[[Profiles, Codes], None]:
    def write(profiles: Profiles, codes: Codes) -> None:
        profiles[group] = codes

    return write


def _decayed(layout: Layout, double: bool) -> _Field:
    order = np.argsort(-layout.half_life_of, kind="stable")

    def read(profiles: Profiles) -> Codes | NDArray[np.int32]:
        values = np.take(profiles["decayed"], order, axis=1)
        return values.view(np.int64) if double else _small(values)

    def write(profiles: Profiles, codes: Codes) -> None:
        values = np.ascontiguousarray(codes).view(np.float64) if double else _from_small(codes)
        profiles["decayed"][:, order] = values

    period = -(-len(order) // max(len(layout.half_lives_ms), 1))
    return _Field(len(order), (8 if double else 3,), read, write, period)


def _small(values: NDArray[np.float64]) -> NDArray[np.int32]:
    bits = values.astype(np.float32).view(np.int32)
    bits -= _ORIGIN - (1 << _CUT_BITS - 1)
    bits >>= _CUT_BITS
    return np.maximum(bits, 0, out=bits)


def _from_small(codes: Codes) -> NDArray[np.float32]:
    floats = ((codes << _CUT_BITS) + _ORIGIN).astype(np.int32).view(np.float32)
    return np.where(codes == 0, np.float32(0), floats)


def _before(profiles: Profiles, group: str, identity: int) -> Codes:
    clock_s, values = profiles["clock_ms"][:, None] // SECOND_MS, profiles[group]
    return np.where(values == identity, 0, (clock_s - values & _SECONDS) + 1)


def _set_before(profiles: Profiles, codes: Codes, group: str, identity: int) -> None:
    clock_s = profiles["clock_ms"][:, None] // SECOND_MS
    profiles[group] = np.where(codes == 0, identity, clock_s - (codes - 1) & _SECONDS)


def _planes(profiles: Profiles) -> Codes:
    n, width = profiles["register"].shape
    registers = profiles["register"].view(np.uint8).reshape(n, width // REGISTERS, 1, REGISTERS)
    bits = registers >> np.arange(_REGISTER_BITS, dtype=np.uint8)[:, None] & 1
    return np.packbits(bits, axis=3).reshape(n, width * _REGISTER_BITS // 8).astype(np.int64)


def _set_planes(profiles: Profiles, codes: Codes) -> None:
    n, width = profiles["register"].shape
    planes = codes.astype(np.uint8).reshape(n, width // REGISTERS, _REGISTER_BITS, REGISTERS // 8)
    bits = np.unpackbits(planes, axis=3) << np.arange(_REGISTER_BITS, dtype=np.uint8)[:, None]
    profiles["register"] = np.bitwise_or.reduce(bits, axis=2).view(np.int8).reshape(n, width)


def _recent(profiles: Profiles) -> Codes:
    entries = profiles["recent"]
    return np.where(entries == 0, 0, _turned(profiles, entries) + 1)


def _set_recent(profiles: Profiles, codes: Codes) -> None:
    profiles["recent"] = np.where(codes == 0, 0, _turned(profiles, codes - 1))


def _turned(profiles: Profiles, entries: Codes) -> Codes:
    """Entries with minutes before the clock for minutes since 2000, and the other way round."""
    clock = (profiles["clock_ms"][:, None] - MIN_EVENT_MS) // MINUTE_MS
    key = entries & (1 << _KEY_BITS) - 1
    return (clock - (entries >> _KEY_BITS) & _MINUTES) << _KEY_BITS | key


class _Row:
    """The row of codes of a layout: its fields beside each other.

    Attributes:
        fields: of the layout.
        width: how many codes.
        parts: as ``packing`` takes them: of each field the low parts of all codes, then the high ones.
        most_bytes: that a profile can take.
    """

    def __init__(self, layout: Layout, double: bool) -> None:
        self.fields = _fields(layout, double)
        self.width = sum(field.width for field in self.fields)
        parts: list[tuple[int, int, int, int]] = []
        column = 0
        for field in self.fields:
            shift = 0
            for size in field.sizes:
                for k in range(field.width):
                    other = len(parts) - field.period if field.period and k >= field.period else -1
                    parts.append((column + k, shift, size, other))
                shift += 8 * size
            column += field.width
        self.parts = np.array(parts, np.int64).reshape(-1, 4)
        self.most_bytes = CLOCK_BYTES + len(parts) // 4 + 2 + int(self.parts[:, 2].sum())

    def read(self, profiles: Profiles) -> Codes:
        """[n, width] codes of n profiles."""
        codes = np.empty((len(profiles), self.width), np.int64)
        column = 0
        for field in self.fields:
            codes[:, column : column + field.width] = field.read(profiles)
            column += field.width
        return codes

    def write(self, profiles: Profiles, codes: Codes) -> None:
        """Set the codes in profiles whose clock is set."""
        column = 0
        for field in self.fields:
            field.write(profiles, codes[:, column : column + field.width])
            column += field.width


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
    row, packed = _row(layout, double), []
    for start in range(0, len(profiles), AT_ONCE):
        own = profiles[start : start + AT_ONCE]
        data, ends = np.empty(len(own) * row.most_bytes, np.uint8), np.empty(len(own), np.int64)
        compiled.pack_rows(row.parts, own["clock_ms"], row.read(own), data, ends)
        joined, stops = data[: ends[-1]].tobytes(), ends.tolist()
        packed += [joined[begin:end] for begin, end in zip([0, *stops[:-1]], stops, strict=True)]
    return packed


def unpack(layout: Layout, packed: Sequence[bytes], *, double: bool) -> Profiles:
    """[n] profiles from their packed form.

    Raises:
        DataError: a packed profile is not of this layout.
    """
    profiles = np.zeros(len(packed), layout.dtype)
    row = _row(layout, double)
    for start in range(0, len(packed), AT_ONCE):
        own, into = packed[start : start + AT_ONCE], profiles[start : start + AT_ONCE]
        data, ends = np.frombuffer(b"".join(own), np.uint8), np.cumsum([len(one) for one in own])
        codes = np.zeros((len(own), row.width), np.int64)
        bad = compiled.unpack_rows(row.parts, data, ends, into["clock_ms"], codes)
        if bad < len(own):
            raise DataError(f"A packed profile of {len(own[bad])} bytes is longer or shorter than its bitmap says.")
        row.write(into, codes)
    return profiles
