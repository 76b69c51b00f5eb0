"""Where a reader of all partitions' intents is: the id of the last entry that it has had of each, as one short text.

A time would not do in its place: ids of different partitions are given by clocks that can go back, so what comes after a time
in one partition may have come before it in another.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import msgspec

from lambent.errors import UsageError
from lambent.events import UNDECODABLE
from realtime.ids import SEQ_BITS

MOST_SEQ = (1 << SEQ_BITS) - 1
MOST_MS = 1 << 42

Ids = list[int]
"""By partition: ``ids.to_version`` of an entry's id; 0 before the first."""


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    """Ages before ``as_of_ms`` take three bytes or so where times would take nine; None: nothing yet."""

    as_of_ms: int
    ages_ms: list[int | None]
    seqs: list[int]


_decode = msgspec.msgpack.Decoder(_Packed).decode


def write_place(as_of_ms: int, ids: Sequence[int]) -> str:
    """The place of a reader that has had everything that was there at ``as_of_ms``."""
    ages_ms = [as_of_ms - (one >> SEQ_BITS) if one else None for one in ids]
    packed = msgspec.msgpack.encode(_Packed(as_of_ms, ages_ms, [one & MOST_SEQ for one in ids]))
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def read_place(text: str, partitions: int) -> tuple[int, Ids]:
    """What ``write_place`` was given.

    Raises:
        UsageError: the text is no place, or one of a store with another number of partitions.
    """
    try:
        packed = _decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, *UNDECODABLE) as error:
        raise _no_place() from error
    if not len(packed.ages_ms) == len(packed.seqs) == partitions or not 0 <= packed.as_of_ms < MOST_MS:
        raise _no_place()
    times_ms = [0 if age_ms is None else packed.as_of_ms - age_ms for age_ms in packed.ages_ms]
    if not all(0 <= ms < MOST_MS for ms in times_ms) or not all(0 <= seq <= MOST_SEQ for seq in packed.seqs):
        raise _no_place()
    return packed.as_of_ms, [ms << SEQ_BITS | seq for ms, seq in zip(times_ms, packed.seqs, strict=True)]


def _no_place() -> UsageError:
    return UsageError("Last-Event-ID is no id of this store's events.", "Leave it out to begin with what is new.")
