"""Partitions as people write them: ``0-7,12``."""

from __future__ import annotations

from collections.abc import Iterable

from lambent.errors import UsageError


def parse_partitions(text: str, partitions: int) -> list[int]:
    """``0-7,12`` as a list of partitions.

    Raises:
        UsageError: it is no such list, or names a partition that the store does not have.
    """
    found: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            found |= _between(int(first), int(last or first), partitions)
    except ValueError as error:
        raise UsageError(f"Partitions {text[:80]!r} are not a list such as 0-7,12.") from error
    except IndexError as error:
        raise UsageError(f"Partitions {text[:80]!r}: the store has 0 to {partitions - 1}.") from error
    return sorted(found)


def _between(first: int, last: int, partitions: int) -> set[int]:
    if first > last:
        raise ValueError
    if first < 0 or last >= partitions:
        raise IndexError
    return set(range(first, last + 1))


def format_partitions(partitions: Iterable[int]) -> str:
    """The same back as text."""
    spans: list[list[int]] = []
    for p in sorted(partitions):
        if spans and spans[-1][-1] == p - 1:
            spans[-1] = [spans[-1][0], p]
        else:
            spans.append([p])
    return ",".join("-".join(map(str, span)) for span in spans)
