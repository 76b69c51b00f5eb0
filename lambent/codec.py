"""Profiles as bytes: only what differs from the identity, for many users at once. All little-endian.

A profile is a row of codes, whole numbers of which 0 is the identity. Packed it is

    clock_ms        6 bytes
    which bytes     a bit for each byte of the bitmap: it is not 0
    bitmap          those bytes; it has a bit for each code: it is not 0 (bit 7 of byte 0 is the first)
    codes           those that are not 0, the small ones first, in as many bytes as follow

    count           1 byte, then what is above in 3 more, which are codes of their own
    decayed         of a published profile, 3 bytes: a float without sign, 6 bits of exponent and 18 of mantissa, for which
                    below 2^−24 is nothing; of a tile, which is added to many times, a float64
    latest          1 + how many seconds before the clock, modulo 2^32, in 3 bytes and 2 more; earliest as well
    register        the 16 registers of a distinct count hold half a byte each: bit 0 of all of them in 2 codes of 1 byte,
                    then bit 1 of all of them, and so on
    recent          1 + an entry in which minutes before the clock, modulo 2^26, stand for its time, in 5 bytes and 2 more
    fact            as count

Decayed columns lie by half-life, the longest first, and the bit of each is that of whether it differs from the longer half-life
before it: what has decayed to nothing at seven days has at one.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.aggregates import ACT_BITS, HASH_BITS, MINUTE_MS, REGISTERS, SECOND_MS, Earliest
from lambent.errors import DataError
from lambent.events import MIN_EVENT_MS
from lambent.profile import Layout, Profiles

Bytes = NDArray[np.uint8]
Codes = NDArray[np.uint64]
Marks = NDArray[np.bool_]
_CLOCK = 6
"""Bytes of a time in milliseconds."""
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
        period: a code's bit tells whether it differs from that of the code so many before; 0: from none.
    """

    width: int
    sizes: tuple[int, ...]
    read: Callable[[Profiles], NDArray[np.int64] | Codes]
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

    def read(profiles: Profiles) -> Codes | NDArray[np.int64]:
        values = profiles["decayed"][:, order]
        return values.view(np.uint64) if double else _small(values)

    def write(profiles: Profiles, codes: Codes) -> None:
        profiles["decayed"][:, order] = codes.view(np.float64) if double else _from_small(codes)

    period = -(-len(order) // max(len(layout.half_lives_ms), 1))
    return _Field(len(order), (8 if double else 3,), read, write, period)


def _small(values: NDArray[np.float64]) -> NDArray[np.int64]:
    bits = values.astype(np.float32).view(np.uint32).astype(np.int64)
    return np.maximum((bits - _ORIGIN + (1 << _CUT_BITS - 1)) >> _CUT_BITS, 0)


def _from_small(codes: Codes) -> NDArray[np.float32]:
    floats = ((codes << np.uint64(_CUT_BITS)) + np.uint64(_ORIGIN)).astype(np.uint32).view(np.float32)
    return np.where(codes == 0, np.float32(0), floats)


def _before(profiles: Profiles, group: str, identity: int) -> NDArray[np.int64]:
    clock_s, values = profiles["clock_ms"][:, None] // SECOND_MS, profiles[group]
    return np.where(values == identity, 0, (clock_s - values & _SECONDS) + 1)


def _set_before(profiles: Profiles, codes: Codes, group: str, identity: int) -> None:
    clock_s, signed = profiles["clock_ms"][:, None] // SECOND_MS, codes.astype(np.int64)
    profiles[group] = np.where(signed == 0, identity, clock_s - (signed - 1) & _SECONDS)


def _planes(profiles: Profiles) -> NDArray[np.int64]:
    n, width = profiles["register"].shape
    registers = profiles["register"].view(np.uint8).reshape(n, width // REGISTERS, 1, REGISTERS)
    bits = registers >> np.arange(_REGISTER_BITS, dtype=np.uint8)[:, None] & 1
    return np.packbits(bits, axis=3).reshape(n, width * _REGISTER_BITS // 8).astype(np.int64)


def _set_planes(profiles: Profiles, codes: Codes) -> None:
    n, width = profiles["register"].shape
    planes = codes.astype(np.uint8).reshape(n, width // REGISTERS, _REGISTER_BITS, REGISTERS // 8)
    bits = np.unpackbits(planes, axis=3) << np.arange(_REGISTER_BITS, dtype=np.uint8)[:, None]
    profiles["register"] = np.bitwise_or.reduce(bits, axis=2).view(np.int8).reshape(n, width)


def _recent(profiles: Profiles) -> NDArray[np.int64]:
    entries = profiles["recent"]
    return np.where(entries == 0, 0, _turned(profiles, entries) + 1)


def _set_recent(profiles: Profiles, codes: Codes) -> None:
    signed = codes.astype(np.int64)
    profiles["recent"] = np.where(signed == 0, 0, _turned(profiles, signed - 1))


def _turned(profiles: Profiles, entries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Entries with minutes before the clock for minutes since 2000, and the other way round."""
    clock = (profiles["clock_ms"][:, None] - MIN_EVENT_MS) // MINUTE_MS
    key = entries & (1 << _KEY_BITS) - 1
    return (clock - (entries >> _KEY_BITS) & _MINUTES) << _KEY_BITS | key


class _Row:
    """The row of codes of a layout: the parts of all fields, the small ones first.

    Attributes:
        fields: of the layout.
        columns: of each field, of each of its parts, where it begins.
        blocks: (size, first column, column after the last) of the parts of each size.
        bitmap, fixed: bytes of the whole bitmap, and of what comes before it.
    """

    def __init__(self, layout: Layout, double: bool) -> None:
        self.fields = _fields(layout, double)
        self.columns = [[0] * len(field.sizes) for field in self.fields]
        self.blocks: list[tuple[int, int, int]] = []
        self.width = 0
        for size in sorted({size for field in self.fields for size in field.sizes}):
            first = self.width
            for field, columns in zip(self.fields, self.columns, strict=True):
                if size in field.sizes:
                    columns[field.sizes.index(size)] = self.width
                    self.width += field.width
            self.blocks.append((size, first, self.width))
        self.bitmap = -(-self.width // 8)
        self.fixed = _CLOCK + -(-self.bitmap // 8)

    def read(self, profiles: Profiles) -> Codes:
        """[n, columns] codes of n profiles."""
        codes = np.empty((len(profiles), self.width), np.uint64)
        for field, columns in zip(self.fields, self.columns, strict=True):
            whole, shift = field.read(profiles).view(np.uint64), 0
            for size, column in zip(field.sizes, columns, strict=True):
                part = codes[:, column : column + field.width]
                np.bitwise_and(whole >> np.uint64(shift), np.uint64((1 << 8 * size) - 1), out=part)
                shift += 8 * size
        return codes

    def write(self, profiles: Profiles, codes: Codes) -> None:
        """Set the codes in profiles whose clock is set."""
        for field, columns in zip(self.fields, self.columns, strict=True):
            whole, shift = np.zeros((len(profiles), field.width), np.uint64), 0
            for size, column in zip(field.sizes, columns, strict=True):
                whole |= codes[:, column : column + field.width] << np.uint64(shift)
                shift += 8 * size
            field.write(profiles, whole)

    def chain(self, marks: Marks) -> Marks:
        """[n, columns] the bits of the bitmap, from which codes are not 0."""
        chained = marks.copy()
        for own, before in self._periods(chained, marks):
            own ^= before
        return chained

    def unchain(self, bits: Marks) -> Marks:
        """[n, columns] which codes are not 0, from the bits of the bitmap."""
        marks = bits.copy()
        for own, before in self._periods(marks, marks):
            own ^= before
        return marks

    def _periods(self, marks: Marks, befores: Marks) -> Iterator[tuple[Marks, Marks]]:
        """Columns of ``marks`` whose bits tell of a difference, from the first on, and those of ``befores`` before them."""
        for field, (column, *_) in zip(self.fields, self.columns, strict=True):
            for at in range(column + field.period, column + field.width, field.period) if field.period else ():
                own = marks[:, at : min(at + field.period, column + field.width)]
                yield own, befores[:, at - field.period :][:, : own.shape[1]]


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
    row = _row(layout, double)
    codes = row.read(profiles)
    marks = codes != 0
    bitmap = np.packbits(row.chain(marks), axis=1)
    kept = bitmap != 0
    clock = np.ascontiguousarray(profiles["clock_ms"].astype("<i8")).view(np.uint8).reshape(len(profiles), 8)
    fixed = np.concatenate([clock[:, :_CLOCK], np.packbits(kept, axis=1)], axis=1)
    columns = [_slices(fixed, np.full(len(profiles), row.fixed)), _slices(bitmap[kept], kept.sum(axis=1))]
    for size, first, end in row.blocks:
        own = marks[:, first:end]
        values = codes[:, first:end][own].astype("<u8").view(np.uint8).reshape(-1, 8)[:, :size]
        columns.append(_slices(values, own.sum(axis=1) * size))
    return [b"".join(parts) for parts in zip(*columns, strict=True)]


def _slices(data: Bytes, lengths: NDArray[np.int64]) -> list[bytes]:
    joined, ends = data.tobytes(), np.cumsum(lengths).tolist()
    return [joined[start:end] for start, end in zip([0, *ends][: len(ends)], ends, strict=True)]


def unpack(layout: Layout, packed: Sequence[bytes], *, double: bool) -> Profiles:
    """[n] profiles from their packed form.

    Raises:
        DataError: a packed profile is not of this layout.
    """
    profiles = np.zeros(len(packed), layout.dtype)
    if not packed:
        return profiles
    row = _row(layout, double)
    lengths = np.array([len(blob) for blob in packed])
    if lengths.min() < row.fixed:
        raise DataError(f"A packed profile has {lengths.min()} bytes; its head alone takes {row.fixed}.")
    data = np.frombuffer(b"".join(packed), np.uint8)
    starts = np.cumsum(lengths) - lengths
    fixed = data[starts[:, None] + np.arange(row.fixed)]
    profiles["clock_ms"] = _wide(fixed[:, :_CLOCK], _CLOCK)
    kept = np.unpackbits(fixed[:, _CLOCK:], axis=1, count=row.bitmap).astype(bool)
    bitmap = np.zeros(kept.shape, np.uint8)
    at, taken = starts + row.fixed, kept.sum(axis=1)
    bitmap[kept] = _gather(data, at, taken)
    marks = row.unchain(np.unpackbits(bitmap, axis=1, count=row.width).astype(bool))
    codes = np.zeros(marks.shape, np.uint64)
    for size, first, end in row.blocks:
        at, own = at + taken, marks[:, first:end]
        taken = own.sum(axis=1) * size
        codes[:, first:end][own] = _wide(_gather(data, at, taken), size)
    if not np.array_equal(at + taken, starts + lengths):
        raise DataError("A packed profile is longer or shorter than its bitmap says.")
    row.write(profiles, codes)
    return profiles


def _wide(values: Bytes, size: int) -> Codes:
    """Codes of ``size`` bytes each."""
    wide = np.zeros((values.size // size, 8), np.uint8)
    wide[:, :size] = values.reshape(-1, size)
    return wide.view("<u8")[:, 0].astype(np.uint64)


def _gather(data: Bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Bytes:
    """The bytes ``data[start : start + length]`` of each row, joined."""
    before = np.cumsum(lengths) - lengths
    index = np.repeat(starts - before, lengths) + np.arange(lengths.sum())
    if len(index) and index.max() >= len(data):
        raise DataError("A packed profile is shorter than its bitmap says.")
    return data[index]
