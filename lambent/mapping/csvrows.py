"""Cuts the lines of a CSV file into cells."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import Any

from lambent.events import Rejection
from lambent.mapping.readers import RAW_BYTES, Broken, Line
from lambent.mapping.spec import FileSpec

MAX_RECORD_LINES = 1000  # a quote that is never closed costs this much looking ahead, and one row
MAX_RECORD_CHARACTERS = 1 << 20

Record = tuple[int, str, list[str] | Broken]
"""Number of the first line, its text, and its cells."""


class CsvRows:
    """The rows of a file. Empty lines are left out.

    Args:
        blocks: numbered lines, as ``LogFile`` yields them.
        spec: the dialect.
    """

    def __init__(self, blocks: Iterator[tuple[int, list[Line]]], spec: FileSpec) -> None:
        self._lines = _numbered(blocks)
        self._fed = self._feed()
        self._ahead: deque[tuple[int, Line]] = deque()
        self._delimiter = spec.delimiter
        self._marks = tuple(mark for mark in (spec.quote, spec.escape) if mark)
        self._trim = spec.trim
        self._dialect: dict[str, Any] = {
            "delimiter": spec.delimiter,
            "quotechar": spec.quote or None,
            "quoting": csv.QUOTE_MINIMAL if spec.quote else csv.QUOTE_NONE,
            "escapechar": spec.escape or None,
            "skipinitialspace": spec.trim,
            "strict": True,
        }

    def header(self) -> Record | None:
        """The next record, whatever its width; None at the end."""
        return next(self.records(0), None)

    def records(self, width: int) -> Iterator[Record]:
        """The records from here on; one that has not ``width`` cells is broken (0: any number will do)."""
        delimiter, (quote, escape) = self._delimiter, (*self._marks, "\n", "\n")[:2]  # no line holds "\n"
        for number, line in self._fed:
            if isinstance(line, Broken):
                yield number, "", line
            elif quote in line or escape in line:
                yield _of_width(self._quoted(number, line), width)
            elif line:
                cells = line.split(delimiter)
                if self._trim:
                    cells = [cell.strip() for cell in cells]
                record = number, line, cells
                yield record if len(cells) == width else _of_width(record, width)

    def _feed(self) -> Iterator[tuple[int, Line]]:
        """All lines, those that were looked at and given back first."""
        while True:
            while self._ahead:
                yield self._ahead.popleft()
            for numbered in self._lines:
                yield numbered
                if self._ahead:
                    break
            else:
                if not self._ahead:
                    return

    def _quoted(self, number: int, line: str) -> Record:
        """One record with quotes, which may go on over the next lines; if it has no end, only its first line is lost."""
        taken: list[tuple[int, str]] = []
        try:
            cells = next(csv.reader(self._take(number, line, taken), **self._dialect))
        except csv.Error as error:
            self._ahead.extendleft(reversed(taken[1:]))
            detail = "a quote is not closed" if "unexpected end" in str(error) else str(error)
            return number, line, Broken(Rejection("csv", detail), b"")
        text = "\n".join(part for _, part in taken)
        return number, text, [cell.strip() for cell in cells] if self._trim else cells

    def _take(self, number: int, line: str, taken: list[tuple[int, str]]) -> Iterator[str]:
        """Hand lines to the reader until it has a record, a line is broken, or the limit is met."""
        size = 0
        while True:
            taken.append((number, line))
            size += len(line)
            yield line + "\n"
            following = self._ahead.popleft() if self._ahead else next(self._lines, None)
            if following is None:
                return
            if isinstance(following[1], Broken) or len(taken) >= MAX_RECORD_LINES or size > MAX_RECORD_CHARACTERS:
                self._ahead.appendleft(following)
                return
            number, line = following[0], following[1]


def _of_width(record: Record, width: int) -> Record:
    number, text, cells = record
    if isinstance(cells, Broken) or len(cells) == width or not width:
        return record
    return number, text, Broken(Rejection("columns", f"the row has {len(cells)} cells, not {width}"), b"")


def _numbered(blocks: Iterator[tuple[int, list[Line]]]) -> Iterator[tuple[int, Line]]:
    for first, lines in blocks:
        yield from enumerate(lines, first)


def raw_bytes(text: str, encoding: str) -> bytes:
    """The first bytes of a row as they were read."""
    return text[:RAW_BYTES].encode(encoding, "replace")[:RAW_BYTES]
