"""Ids of stream entries: ``ms-seq``, as bytes on the wire, as one number in a table's transactions."""

from __future__ import annotations

SEQ_BITS = 20
START = b"0-0"
"""Before the first entry of any stream."""
HELD = b"0-1"
"""Where a partition stands while it is rebuilt. Ids are times, so no entry has this one: nobody who worked on the partition
can commit."""


def parse(entry_id: bytes) -> tuple[int, int]:
    """(ingest_ms, seq) of an id."""
    ms, _, seq = entry_id.partition(b"-")
    return int(ms), int(seq or 0)


def ingest_ms(entry_id: bytes) -> int:
    """When the log took the entry, in ms."""
    return int(entry_id[: entry_id.index(b"-")])


def form(ms: int, seq: int) -> bytes:
    """The id of an entry."""
    return b"%d-%d" % (ms, seq)


def to_version(entry_id: bytes) -> int:
    """One number that orders like the ids: ``(ingest_ms << 20) | seq``. The server counts no seq that high in a ms."""
    ms, seq = parse(entry_id)
    return ms << SEQ_BITS | seq


def from_version(version: int | None) -> bytes:
    """The id of ``to_version``; the start of the stream for None."""
    return START if version is None else form(version >> SEQ_BITS, version & ((1 << SEQ_BITS) - 1))


def latest(*entry_ids: bytes) -> bytes:
    """The newest of the ids."""
    return max(entry_ids, key=parse)


def earliest(*entry_ids: bytes) -> bytes:
    """The oldest of the ids."""
    return min(entry_ids, key=parse)
