"""One view of the three formats: rows, and how a column is found in them."""

from __future__ import annotations

import codecs
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from lambent.errors import DataError
from lambent.events import Rejection
from lambent.mapping.csvrows import CsvRows, raw_bytes
from lambent.mapping.readers import Broken, LogFile, OnBytes
from lambent.mapping.spec import Column, Mapping
from lambent.mapping.values import follow, parse_path

Getter = Callable[[Any], Any]


class Table(NamedTuple):
    """An open log.

    Attributes:
        rows: each row's number, what it was read from, and its cells; the cells are ``Broken`` where it has none.
        getter: compiles how a column's value is taken from the cells; raises ``LookupError`` if there is no such column,
            with the columns that there are.
        raw: the bytes of what a row was read from, at most 4 KiB.
        close: closes the file.
    """

    rows: Iterator[tuple[int, Any, Any]]
    getter: Callable[[Column], Getter]
    raw: Callable[[Any], bytes]
    close: Callable[[], None]


def open_table(path: Path, mapping: Mapping, on_bytes: OnBytes | None) -> Table:
    """Open a log as its mapping says.

    Raises:
        DataError: the file is missing, empty, or not of that format.
        MappingError: the header does not fit the mapping.
        UsageError: pyarrow is needed and not installed.
    """
    spec = mapping.spec.file
    if spec.format == "parquet":
        from lambent.mapping.parquet import open_parquet

        return open_parquet(path, mapping, on_bytes)
    log = LogFile(path, spec.compression, spec.encoding, on_bytes)
    if spec.format == "jsonl":
        return Table(json_rows(log), path_getter, lambda text: raw_bytes(text, spec.encoding), log.close)
    try:
        return _open_csv(log, mapping)
    except BaseException:
        log.close()
        raise


def path_getter(column: Column) -> Getter:
    """A value at a dotted path."""
    return follow(parse_path(str(column)))


def json_rows(log: LogFile) -> Iterator[tuple[int, str, Any]]:
    """The objects of a JSON-lines file; empty lines are left out."""
    decode = msgspec.json.Decoder().decode
    for first, lines in log:
        for number, line in enumerate(lines, first):
            if isinstance(line, Broken):
                yield number, "", line
            elif line:
                yield number, line, _json_object(decode, line)


def _json_object(decode: Callable[[str], Any], line: str) -> Any:
    try:
        value = decode(line)
    except RecursionError:
        return Broken(Rejection("malformed", "the JSON is nested too deep"), b"")
    except (msgspec.MsgspecError, ValueError) as error:
        return Broken(Rejection("malformed", str(error)), b"")
    if isinstance(value, dict):
        return value
    return Broken(Rejection("malformed", f"the line is JSON, but no object: {type(value).__name__}"), b"")


def _open_csv(log: LogFile, mapping: Mapping) -> Table:
    spec = mapping.spec.file
    rows = CsvRows(_after(iter(log), spec.skip_lines), spec)
    names = _header(rows, log.path, mapping) if spec.header else list(spec.columns or ())
    return Table(
        rows.records(len(names)),
        lambda column: _csv_getter(names, column),
        lambda text: raw_bytes(text, spec.encoding),
        log.close,
    )


def _after(blocks: Iterator[tuple[int, Any]], skipped: int) -> Iterator[tuple[int, Any]]:
    """The lines after the first ``skipped``."""
    for first, lines in blocks:
        if first + len(lines) > skipped + 1:
            start = max(skipped + 1 - first, 0)
            yield first + start, lines[start:]


def _header(rows: CsvRows, path: Path, mapping: Mapping) -> list[str]:
    """The names of the columns: those of the file, unless the mapping replaces them."""
    record = rows.header()
    if record is None:
        raise DataError(f"{path} has no header: all its lines are empty or skipped.", "Fetch it again.")
    number, _, cells = record
    if isinstance(cells, Broken):
        utf16 = cells.raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        remedy = "Convert it: iconv -f utf-16 -t utf-8." if utf16 else f"Mend it, or [file] in {mapping.path}."
        raise DataError(f"{path}:{number}: the header cannot be read: {cells.rejection.detail}.", remedy)
    if any("\r" in cell for cell in cells):
        raise DataError(f"{path}: its lines end with a carriage return alone.", r"Convert it: tr '\r' '\n'.")
    given = mapping.spec.file.columns
    if given is None:
        return cells
    if len(given) != len(cells):
        cause = f"columns names {len(given)} columns, and the header of {path} has {len(cells)}."
        mapping.refuse(("file", "columns"), cause, f"Name them all: {_listed(cells)}.")
    return list(given)


def _csv_getter(names: list[str], column: Column) -> Getter:
    if isinstance(column, int):
        if not 1 <= column <= len(names):
            raise LookupError(f"column {column}", f"There are {len(names)} columns.")
        index = column - 1
    else:
        index = _index(names, column)
    return operator.itemgetter(index)


def _listed(names: list[str]) -> str:
    """Names from a file that can be any, in a message: cut, and with what a terminal would obey escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in ", ".join(names)[:500])


def _index(names: list[str], column: str) -> int:
    if column not in names:
        raise LookupError(f"column {column!r}", f"Columns are: {_listed(names)}.")
    if names.count(column) > 1:
        places = [str(place) for place, name in enumerate(names, 1) if name == column]
        raise LookupError(f"a single column {column!r}", f"Write its position instead: {' or '.join(places)}.")
    return names.index(column)
