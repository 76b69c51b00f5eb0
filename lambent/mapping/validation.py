"""Counts what a mapping makes of a log, and judges it. Nothing is written, and memory stays bounded.

Of a rejected row only its place and the reason are kept. The row itself stays unprinted: it holds the raw user id, which
never goes past a door, and a report ends up in terminals, tickets and the logs of builds. A detail that quotes a value
shows its shape, since in a row whose columns have moved any column can hold the id.
"""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable

import msgspec

from lambent.events import Event
from lambent.mapping.rows import Row
from lambent.masking import shape

EXAMPLES = 3
"""How many lines are named for each reason."""

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_NUMBER = re.compile(r"\d{5,}")
_WORD = re.compile(r"'[A-Za-z]+(?:[ _.-][A-Za-z]+)*'")  # what nearly every unknown type is, and few ids are


class Example(msgspec.Struct, frozen=True):
    """One rejected row: where it begins (1-based line; for Parquet the row), and why it is no event."""

    line: int
    detail: str


class Validation(msgspec.Struct):
    """What was found in one log.

    Attributes:
        file, mapping: what was read, and how.
        max_rejected: share of the rows that may be rejected, 0 to 1.
        rows: events, skipped and rejected rows.
        events: how many rows are events, duplicates included.
        skipped: rows whose type the mapping drops on purpose.
        types: events by type, the most frequent first.
        rejected: rejected rows by reason, the most frequent first.
        examples: for each reason the first lines.
        first_ms, last_ms: earliest and latest ``event_ms``; None without an event.
        users: how many there are: exact for a few, within 0.1 % for millions.
        passed: the verdict.
    """

    file: str
    mapping: str
    max_rejected: float
    rows: int = 0
    events: int = 0
    skipped: int = 0
    types: dict[str, int] = {}
    rejected: dict[str, int] = {}
    examples: dict[str, list[Example]] = {}
    first_ms: int | None = None
    last_ms: int | None = None
    users: int = 0
    passed: bool = False

    @property
    def share_rejected(self) -> float:
        """Share of the rows that are rejected, 0 to 1."""
        return sum(self.rejected.values()) / self.rows if self.rows else 0.0


class DistinctUsers:
    """Counts distinct users in 16 MiB, however many there are: linear counting (Whang et al., 1990).

    A set of the users of a large shop would take gigabytes.
    """

    BITS = 1 << 27

    def __init__(self) -> None:
        self._bytes = bytearray(self.BITS // 8)

    def add(self, user: str) -> None:
        """Count a user, unless it was counted before."""
        bit = zlib.crc32(user.encode()) % self.BITS
        self._bytes[bit >> 3] |= 1 << (bit & 7)

    def count(self) -> int:
        """About how many users were added."""
        free = self.BITS - int.from_bytes(self._bytes, "little").bit_count()
        return round(-self.BITS * math.log(max(free, 1) / self.BITS))


def validate(rows: Iterable[Row], file: str, mapping: str, max_rejected: float) -> Validation:
    """Count and judge.

    Args:
        rows: what ``read_events`` yields.
        file, mapping: what the report calls them.
        max_rejected: share of the rows that may be rejected, 0 to 1.
    """
    found = Validation(file, mapping, max_rejected)
    types: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    users = DistinctUsers()
    for row in rows:
        found.rows += 1
        if row.event is not None:
            types[row.event.type] += 1
            users.add(row.event.user)
            _span(found, row.event)
        elif row.rejection is not None:
            rejected[row.rejection.reason] += 1
            _example(found, row)
    found.types, found.rejected = dict(types.most_common()), dict(rejected.most_common())
    found.events, found.users = types.total(), users.count()
    found.skipped = found.rows - found.events - rejected.total()
    found.passed = found.events > 0 and found.share_rejected <= max_rejected
    return found


def _span(found: Validation, event: Event) -> None:
    if found.first_ms is None or event.event_ms < found.first_ms:
        found.first_ms = event.event_ms
    if found.last_ms is None or event.event_ms > found.last_ms:
        found.last_ms = event.event_ms


def _example(found: Validation, row: Row) -> None:
    assert row.rejection is not None
    examples = found.examples.setdefault(row.rejection.reason, [])
    if len(examples) < EXAMPLES:
        examples.append(Example(row.line, without_values(row.rejection.reason, row.rejection.detail)))


def without_values(reason: str, detail: str) -> str:
    """A rejection's detail with the shape of the row's value instead of the value.

    A type that is a word is shown as it is, since a mapping can only be mended by who knows it.
    """
    if reason == "type" and _WORD.search(detail):
        return detail
    shaped = _QUOTED.sub(lambda match: shape(match[0]), detail, count=1)
    if reason in ("time", "price", "dwell_ms"):  # these tell numbers without quotes; elsewhere numbers are limits
        shaped = _NUMBER.sub(lambda match: shape(match[0]), shaped)
    return shaped
