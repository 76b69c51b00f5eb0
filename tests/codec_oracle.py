"""Profiles as bytes, said slowly: one code after the other, by what ``lambent.codec`` says of the format."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from lambent.aggregates import MINUTE_MS, REGISTERS
from lambent.events import MIN_EVENT_MS
from lambent.profile import Layout, Profiles

NEVER = int(np.iinfo(np.int64).max)


def pack_one(layout: Layout, profile: Profiles, *, double: bool) -> bytes:
    """[1] profile."""
    clock_ms = int(profile["clock_ms"][0])
    bits, body = "", b""
    for codes, sizes, period in _fields(layout, profile, clock_ms, double):
        for low, size in zip((0, *sizes[:-1]), sizes, strict=True):
            parts = [code >> 8 * low & (1 << 8 * size) - 1 for code in codes]
            for k, part in enumerate(parts):
                before = parts[k - period] if period and k >= period else 0
                bits += str(int((part != 0) != (before != 0)))
                body += part.to_bytes(size, "little") if part else b""
    bitmap = _bytes(bits)
    which = _bytes("".join(str(int(byte != 0)) for byte in bitmap))
    return clock_ms.to_bytes(6, "little") + which + bytes(byte for byte in bitmap if byte) + body


def _bytes(bits: str) -> bytes:
    return bytes(int(bits[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(bits), 8))


def _fields(
    layout: Layout, profile: Profiles, clock_ms: int, double: bool
) -> Iterator[tuple[list[int], tuple[int, ...], int]]:
    """Of each field its codes, the bytes of their parts, and the period of its bits."""
    row = {name: profile[name][0].tolist() for name in ("count", "latest", "earliest", "recent", "fact", "register")}
    yield row["count"], (1, 3), 0
    order = np.argsort(-layout.half_life_of, kind="stable")
    code = _double if double else _short
    period = -(-len(order) // max(len(layout.half_lives_ms), 1))
    yield [code(value) for value in profile["decayed"][0][order].tolist()], (8,) if double else (3,), period
    for name, identity in (("latest", 0), ("earliest", NEVER)):
        yield [0 if s == identity else (clock_ms // 1000 - s) % 2**32 + 1 for s in row[name]], (3, 2), 0
    yield [byte for at in range(0, len(row["register"]), REGISTERS) for byte in _planes(row["register"][at:])], (1,), 0
    minute = (clock_ms - MIN_EVENT_MS) // MINUTE_MS
    yield [e and ((minute - (e >> 22)) % 2**26 << 22 | e % 2**22) + 1 for e in row["recent"]], (5, 2), 0
    yield row["fact"], (1, 3), 0


def _double(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def _short(value: float) -> int:
    (bits,) = struct.unpack("<i", struct.pack("<f", value))
    (first,) = struct.unpack("<i", struct.pack("<f", 2.0**-24))
    return max((bits - (first - 32) + 16) >> 5, 0)


def _planes(registers: list[int]) -> Iterator[int]:
    """Bit 0 of 16 registers in two bytes, then bit 1, and so on."""
    for bit in range(4):
        bits = "".join(str(register >> bit & 1) for register in registers[:REGISTERS])
        yield from (int(bits[:8], 2), int(bits[8:], 2))
