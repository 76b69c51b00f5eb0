"""Profiles as bytes: only what differs from the identity, for many users at once. All little-endian.

A packed profile is ``clock_ms`` (6 bytes); then for each field of ``_fields`` a bitmap of its columns (bit 7 of byte 0 is column
0); then for each field the marked columns' codes, in the field's bytes. A code is a whole number, 0 the identity:

    count       the low byte, 1 byte; the rest, 3 bytes
    decayed     of a published profile, 3 bytes: a float without sign, 6 bits of exponent and 18 of mantissa, for which
                below 2^−24 is nothing; of a tile, which is added to many times, a float64
    latest      seconds, 4 bytes; earliest as well
    register    the 16 registers of a distinct count, half a byte each
    recent      an entry, 6 bytes
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.aggregates import REGISTERS, Earliest
from lambent.errors import DataError
from lambent.profile import Layout, Profiles

Bytes = NDArray[np.uint8]
Codes = NDArray[np.uint64]
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


@dataclasses.dataclass(frozen=True)
class _Field:
    """A field: what group it is of, how many columns and bytes a code it has, and its codes of profiles.

    ``write`` adds codes to profiles in which every group is 0.
    """

    group: str
    width: int
    size: int
    read: Callable[[Profiles], Codes]
    write: Callable[[Profiles, Codes], None]


def _fields(layout: Layout, double: bool) -> list[_Field]:
    width = layout.width
    return [
        _Field("count", width["count"], 1, lambda p: _u8(p["count"] & 0xFF), _add_to("count", 0)),
        _Field("count", width["count"], 3, lambda p: _u8(p["count"] >> 8), _add_to("count", 8)),
        _double(width["decayed"]) if double else _Field("decayed", width["decayed"], 3, _small, _set_small),
        _Field("latest", width["latest"], 4, lambda p: _u8(p["latest"]), _add_to("latest", 0)),
        _Field("earliest", width["earliest"], 4, _earliest, _set_earliest),
        _Field("register", width["register"] // REGISTERS, REGISTERS // 2, _nibbles, _set_nibbles),
        _Field("recent", width["recent"], 6, lambda p: _u8(p["recent"]), _add_to("recent", 0)),
    ]


def _u8(values: NDArray[np.int64]) -> Codes:
    return np.ascontiguousarray(values).astype(np.uint64)


def _add_to(group: str, shift: int) -> Callable[[Profiles, Codes], None]:
    def write(profiles: Profiles, codes: Codes) -> None:
        profiles[group] |= codes.astype(np.int64) << shift

    return write


def _double(width: int) -> _Field:
    def write(profiles: Profiles, codes: Codes) -> None:
        profiles["decayed"] = codes.view(np.float64)

    return _Field("decayed", width, 8, lambda p: np.ascontiguousarray(p["decayed"]).view(np.uint64), write)


def _small(profiles: Profiles) -> Codes:
    bits = profiles["decayed"].astype(np.float32).view(np.uint32).astype(np.int64)
    return np.maximum((bits - _ORIGIN + (1 << _CUT_BITS - 1)) >> _CUT_BITS, 0).astype(np.uint64)


def _set_small(profiles: Profiles, codes: Codes) -> None:
    floats = ((codes << np.uint64(_CUT_BITS)) + np.uint64(_ORIGIN)).astype(np.uint32).view(np.float32)
    profiles["decayed"] = np.where(codes == 0, 0.0, floats)


def _earliest(profiles: Profiles) -> Codes:
    return _u8(np.where(profiles["earliest"] == Earliest.identity, 0, profiles["earliest"]))


def _set_earliest(profiles: Profiles, codes: Codes) -> None:
    profiles["earliest"] = np.where(codes == 0, Earliest.identity, codes.astype(np.int64))


def _nibbles(profiles: Profiles) -> Codes:
    registers = profiles["register"]
    registers = registers.reshape(len(registers), registers.shape[1] // REGISTERS, REGISTERS // 2, 2).astype(np.uint8)
    return np.ascontiguousarray(registers[..., 0] | registers[..., 1] << 4).view("<u8")[..., 0].astype(np.uint64)


def _set_nibbles(profiles: Profiles, codes: Codes) -> None:
    pairs = np.ascontiguousarray(codes.astype("<u8"))[..., None].view(np.uint8)
    profiles["register"] = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(profiles["register"].shape)


def pack(layout: Layout, profiles: Profiles, *, double: bool) -> list[bytes]:
    """[n] packed profiles.

    Args:
        layout: of the profiles.
        profiles: [n].
        double: as tiles are stored, else as published profiles are.
    """
    fields = _fields(layout, double)
    codes = [field.read(profiles) for field in fields]
    marks = [own != 0 for own in codes]
    clocks = np.ascontiguousarray(profiles["clock_ms"].astype("<i8")).view(np.uint8).reshape(len(profiles), 8)
    heads = np.concatenate([clocks[:, :_CLOCK], *(np.packbits(marked, axis=1) for marked in marks)], axis=1)
    columns = [_slices(heads.tobytes(), np.full(len(profiles), heads.shape[1]))]
    for field, own, marked in zip(fields, codes, marks, strict=True):
        values = own[marked].astype("<u8").view(np.uint8).reshape(-1, 8)[:, : field.size]
        columns.append(_slices(values.tobytes(), marked.sum(axis=1) * field.size))
    return [b"".join(parts) for parts in zip(*columns, strict=True)]


def _slices(data: bytes, lengths: NDArray[np.int64]) -> list[bytes]:
    ends = np.cumsum(lengths).tolist()
    return [data[start:end] for start, end in zip([0, *ends][: len(ends)], ends, strict=True)]


def unpack(layout: Layout, packed: Sequence[bytes], *, double: bool) -> Profiles:
    """[n] profiles from their packed form.

    Raises:
        DataError: a packed profile is not of this layout.
    """
    profiles = np.zeros(len(packed), layout.dtype)
    if not packed:
        return profiles
    fields = _fields(layout, double)
    lengths = np.array([len(blob) for blob in packed])
    head = _CLOCK + sum(-(-field.width // 8) for field in fields)
    if lengths.min() < head:
        raise DataError(f"A packed profile has {lengths.min()} bytes; its head alone takes {head}.")
    data = np.frombuffer(b"".join(packed), np.uint8)
    starts = np.cumsum(lengths) - lengths
    heads = data[starts[:, None] + np.arange(head)]
    profiles["clock_ms"] = _wide(heads[:, :_CLOCK], _CLOCK)
    at, column = starts + head, _CLOCK
    for field in fields:
        size = -(-field.width // 8)
        marked = np.unpackbits(heads[:, column : column + size], axis=1, count=field.width).astype(bool)
        taken = marked.sum(axis=1) * field.size
        codes = np.zeros(marked.shape, np.uint64)
        codes[marked] = _wide(_gather(data, at, taken), field.size)
        field.write(profiles, codes)
        at, column = at + taken, column + size
    if not np.array_equal(at, starts + lengths):
        raise DataError("A packed profile is longer or shorter than its bitmap says.")
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
