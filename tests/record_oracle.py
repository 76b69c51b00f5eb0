"""One user's live record as bytes, said slowly, by what ``lambent.records`` says of the format."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.encoding import TEXT_FIELDS
from lambent.features import FeatureSet
from lambent.records import LIVE_VERSION, LiveRecords
from tests.codec_oracle import pack_one

MARKS = ("opens", "late", "decides", "returns")


def record_of(features: FeatureSet, records: LiveRecords, user: int) -> bytes:
    """Its value."""
    last, ids = records.last.of(user), records.recent.of(user).tolist()
    counts = struct.pack("<HHH", len(ids), len(last), int((records.tiles.user == user).sum()))
    return b"".join([
        bytes([LIVE_VERSION]), bytes.fromhex(features.hash)[:4], _fixed(records.fixed[user]), counts,
        *(one.to_bytes(6, "little") for one in ids), _events(last) if len(last) else b"",
        _tiles(features, records, user, len(last)),
    ])  # fmt: skip


def _fixed(fixed: Any) -> bytes:
    state, whole = fixed["state"].tobytes(), fixed.tobytes()
    before = whole[: -len(state)]
    mask = sum(1 << at for at, byte in enumerate(before) if byte)
    return mask.to_bytes(-(-len(before) // 8), "little") + bytes(byte for byte in before if byte) + state


def _events(last: NDArray[np.void]) -> bytes:
    clocks_ms = last["clock_ms"].tolist()
    columns = [
        [int(one["type"]) + sum(int(one[mark]) << 5 + at for at, mark in enumerate(MARKS)) for one in last],
        [clock_ms - before_ms for clock_ms, before_ms in zip(clocks_ms, [clocks_ms[0], *clocks_ms], strict=False)],
        (last["clock_ms"] - last["t_ms"]).tolist(),
        [_price(price) for price in last["price"].tolist()],
        [0 if math.isnan(dwell_ms) else int(dwell_ms) + 1 for dwell_ms in last["dwell_ms"].tolist()],
        *(last[name].tolist() for name in TEXT_FIELDS),
        *last["change"].view(np.uint16).T.tolist(),
    ]
    widths = [(max(column).bit_length() + 7) // 8 for column in columns]
    nibbles = sum(width << 4 * at for at, width in enumerate(widths)).to_bytes(-(-len(widths) // 2), "little")
    body = [one.to_bytes(width, "little") for column, width in zip(columns, widths, strict=True) for one in column]
    return clocks_ms[0].to_bytes(6, "little") + nibbles + b"".join(body)


def _price(price: float) -> int:
    if math.isnan(price):
        return 0
    if round(price * 100) / 100 == price:
        return round(price * 100) + 1
    return max(int(struct.unpack("<q", struct.pack("<d", price))[0]), 2**52)


def _tiles(features: FeatureSet, records: LiveRecords, user: int, left: int) -> bytes:
    """Newest first, for as long as the events last; then turned round."""
    packed: list[bytes] = []
    for row in np.flatnonzero(records.tiles.user == user)[::-1].tolist():
        start, events = int(records.tiles.start_ms[row]).to_bytes(6, "little"), int(records.tiles.events[row])
        listed = events <= left
        left = left - events if listed else 0
        sums = b"" if listed else pack_one(features.profile, records.tiles.profiles[row : row + 1], double=True)
        packed.append(start + (struct.pack("<H", events) if listed else struct.pack("<HH", 0, len(sums)) + sums))
    return b"".join(reversed(packed))
