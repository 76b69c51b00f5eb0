"""Profiles as bytes: only what differs from the identity, for many users at once.

A packed profile is ``clock_ms`` (int64), then for each group of the layout a bitmap of its columns (bit 7 of byte 0 is
column 0), then for each group the marked columns' values. All little-endian. Counts are uint32, times int64; decayed
values are float32 in a published profile, which is rounded once, and float64 in a tile, which is added to many times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.aggregates import KINDS
from lambent.errors import DataError
from lambent.profile import Layout, Profiles

Bytes = NDArray[np.uint8]
_STORED = {"count": "<u4", "latest": "<i8", "earliest": "<i8"}


def _stored(group: str, double: bool) -> np.dtype[np.generic]:
    return np.dtype("<f8" if double else "<f4") if group == "decayed" else np.dtype(_STORED[group])


def pack(layout: Layout, profiles: Profiles, *, double: bool) -> list[bytes]:
    """[n] packed profiles.

    Args:
        layout: of the profiles.
        profiles: [n].
        double: decayed values as float64 (tiles), else as float32 (published profiles).
    """
    pieces = [np.ascontiguousarray(profiles["clock_ms"].astype("<i8")).view(np.uint8).reshape(len(profiles), 8)]
    marks = {group: profiles[group] != kind.identity for group, kind in KINDS.items()}
    pieces += [np.packbits(marked, axis=1) for marked in marks.values()]
    heads = np.concatenate(pieces, axis=1)
    columns = [_slices(heads.tobytes(), np.full(len(profiles), heads.shape[1]))]
    for group, marked in marks.items():
        values = profiles[group][marked].astype(_stored(group, double))
        columns.append(_slices(values.tobytes(), marked.sum(axis=1) * values.itemsize))
    return [b"".join(parts) for parts in zip(*columns, strict=True)]


def _slices(data: bytes, lengths: NDArray[np.int64]) -> list[bytes]:
    ends = np.cumsum(lengths).tolist()
    return [data[start:end] for start, end in zip([0, *ends][: len(ends)], ends, strict=True)]


def unpack(layout: Layout, packed: Sequence[bytes], *, double: bool) -> Profiles:
    """[n] profiles from their packed form.

    Raises:
        DataError: a packed profile is not of this layout.
    """
    profiles = layout.identity(len(packed))
    if not packed:
        return profiles
    lengths = np.array([len(blob) for blob in packed])
    head = 8 + sum(-(-width // 8) for width in layout.width.values())
    if lengths.min() < head:
        raise DataError(f"A packed profile has {lengths.min()} bytes; its head alone takes {head}.")
    data = np.frombuffer(b"".join(packed), np.uint8)
    starts = np.cumsum(lengths) - lengths
    heads = data[starts[:, None] + np.arange(head)]
    profiles["clock_ms"] = np.ascontiguousarray(heads[:, :8]).view("<i8")[:, 0]
    at, column = starts + head, 8
    for group, width in layout.width.items():
        size = -(-width // 8)
        marked = np.unpackbits(heads[:, column : column + size], axis=1, count=width).astype(bool)
        stored = _stored(group, double)
        taken = marked.sum(axis=1) * stored.itemsize
        profiles[group][marked] = _gather(data, at, taken).view(stored)
        at, column = at + taken, column + size
    if not np.array_equal(at, starts + lengths):
        raise DataError("A packed profile is longer or shorter than its bitmap says.")
    return profiles


def _gather(data: Bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Bytes:
    """The bytes ``data[start : start + length]`` of each row, joined."""
    before = np.cumsum(lengths) - lengths
    index = np.repeat(starts - before, lengths) + np.arange(lengths.sum())
    if len(index) and index.max() >= len(data):
        raise DataError("A packed profile is shorter than its bitmap says.")
    return data[index]
