"""Finds the line of a TOML file on which a key stands: no parser, since tomllib has read the file already."""

from __future__ import annotations

import re
from collections.abc import Iterator

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=")
_TABLE = re.compile(rf"\s*\[\[?\s*({_PART}(?:\s*\.\s*{_PART})*)\s*\]")
_PARTS = re.compile(_PART)
_LONG_STRING = re.compile(r'"""|' + "'''")
_AT_LINE = re.compile(r"at line (\d+)")


def locate(text: str, key: tuple[str, ...], value: object = None) -> int:
    """The 1-based line to mend.

    Args:
        text: the TOML file.
        key: the path of the key, such as ``("fields", "price")``. Where it is not written, its table's line counts.
        value: one of the values at that key; its own line is found where the value spans several.
    """
    lines = key_lines(text)
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            start = lines[key[:length]]
            return start if value is None else _line_of_value(text, start, lines, value)
    return 1


def key_lines(text: str) -> dict[tuple[str, ...], int]:
    """The first line of each key and table."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in _outside_strings(text):
        if match := _TABLE.match(line):
            table = _split(match[1])
            _note(lines, table, number)
        elif match := _KEY.match(line):
            _note(lines, table + _split(match[1]), number)
    return lines


def _note(lines: dict[tuple[str, ...], int], key: tuple[str, ...], number: int) -> None:
    """A dotted key also opens the tables above it."""
    for length in range(1, len(key) + 1):
        lines.setdefault(key[:length], number)


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(_unquote(part) for part in _PARTS.findall(dotted))


def _unquote(part: str) -> str:
    if part[0] == '"':
        return re.sub(r'\\(["\\])', r"\1", part[1:-1])
    return part[1:-1] if part[0] == "'" else part


def _outside_strings(text: str) -> Iterator[tuple[int, str]]:
    """Lines that do not begin inside a string of several lines."""
    inside = ""
    for number, line in enumerate(text.split("\n"), 1):
        if not inside:
            yield number, line
        for mark in _LONG_STRING.findall(line):
            inside = "" if inside == mark else inside or mark


def _line_of_value(text: str, start: int, keys: dict[tuple[str, ...], int], value: object) -> int:
    end = min((line for line in keys.values() if line > start), default=len(text) + 1)
    plain = re.escape(str(value))
    escaped = re.escape(str(value).replace("\\", "\\\\"))
    written = re.compile(
        rf"""(["'])(?:{plain}|{escaped})\1""" if isinstance(value, str) else rf"(?<![\w.]){plain}(?![\w.])"
    )
    for number, line in enumerate(text.split("\n"), 1):
        if start <= number < end and written.search(line):
            return number
    return start


def syntax_line(text: str, message: str) -> int:
    """The line to mend for a message of tomllib, which for what is never closed names where it stopped reading."""
    match = _AT_LINE.search(message)
    line = int(match[1]) if match else text.count("\n", 0, len(text.rstrip())) + 1
    if "array" in message:
        return _last_line(text, line, r"=\s*\[") or line
    if match is None and "string" in message.lower():
        return _last_line(text, line, r'"""|' + "'''") or line
    return line


def _last_line(text: str, until: int, pattern: str) -> int:
    numbers = [n for n, line in enumerate(text.split("\n")[:until], 1) if re.search(pattern, line)]
    return numbers[-1] if numbers else 0
