"""Compiles how one field of an event is read from a row's cells. A reader gives None for what is missing."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, NamedTuple

from lambent.events import MAX_ATTRIBUTES
from lambent.mapping.spec import Mapping, SourceSpec
from lambent.mapping.tables import Getter, Table
from lambent.mapping.times import load_zone, time_reader
from lambent.mapping.values import (
    MAX_TEXT,
    Instant,
    Unfit,
    as_loose_text,
    as_text,
    dwell,
    limited,
    number_reader,
    shown,
)

Reader = Callable[[Any], Any]
TextOf = Callable[[Any], str | None]

REST = "*"
"""In ``[types]``: all other types. In ``[attributes]``: all members of an object."""

_LIMITS = {"id": 128, "device": 32}  # characters; see lambent.events.Event


def field_reader(mapping: Mapping, table: Table, name: str) -> Reader:
    """The reader of one field of ``[fields]``."""
    key = ("fields", name)
    if name == "event_ms":
        return _time(mapping, table)
    if name in ("price", "dwell_ms"):
        return _number(mapping, table, name)
    return _limited(source_reader(mapping, table, key, as_text), _LIMITS.get(name, MAX_TEXT), name)


class Plain(NamedTuple):
    """A text field that is one column: the commonest kind, which ``rows`` reads without a call of its own."""

    name: str
    get: Getter
    missing: frozenset[str]
    limit: int


def plain_field(mapping: Mapping, table: Table, name: str) -> Plain | None:
    """The field as one plain column of text, or None if it is not."""
    source = mapping.sources()["fields", name]
    if len(source.all_columns) != 1 or name in ("event_ms", "price", "dwell_ms"):
        return None
    get = _getter(mapping, table, ("fields", name), source.all_columns[0])
    return Plain(name, get, _missing(mapping, source), _LIMITS.get(name, MAX_TEXT))


def _missing(mapping: Mapping, source: SourceSpec) -> frozenset[str]:
    return frozenset(mapping.spec.file.missing if source.missing is None else source.missing)


def source_reader(mapping: Mapping, table: Table, key: tuple[str, str], text_of: TextOf) -> Reader:
    """The reader of a source: a constant, a column, the first column that is not missing, or columns joined.

    Args:
        mapping: the mapping.
        table: where the columns are.
        key: where the source is written, for the line to mend.
        text_of: makes a text of a value that is none, or passes it on.
    """
    source = mapping.sources()[key]
    if source.value is not None:
        constant = as_text(source.value)
        return lambda cells: constant
    missing = _missing(mapping, source)
    readers = [_column(_getter(mapping, table, key, column), missing, text_of) for column in source.all_columns]
    if len(readers) == 1:
        return readers[0]
    return _first(readers) if source.join is None else _joined(readers, source.join)


def _getter(mapping: Mapping, table: Table, key: tuple[str, str], column: str | int) -> Getter:
    try:
        return table.getter(column)
    except LookupError as error:
        lacking, remedy = error.args
        mapping.refuse(key, f"{'.'.join(key)} names {lacking}, which the file does not have.", remedy, column)


def _column(get: Getter, missing: frozenset[str], text_of: TextOf) -> Reader:
    def read(cells: Any) -> Any:
        value = get(cells)
        if type(value) is not str:
            value = text_of(value)
        return None if value in missing else value

    return read


def _first(readers: list[Reader]) -> Reader:
    def read(cells: Any) -> Any:
        for reader in readers:
            value = reader(cells)
            if value is not None:
                return value
        return None

    return read


def _joined(readers: list[Reader], mark: str) -> Reader:
    """Missing if any part is: half a time is none."""

    def read(cells: Any) -> str | None:
        parts = [reader(cells) for reader in readers]
        return None if None in parts else mark.join(parts)

    return read


def _limited(read: Reader, limit: int, name: str) -> Reader:
    def text(cells: Any) -> str | None:
        value: str | None = read(cells)
        if value is not None and len(value) > limit:
            limited(value, limit, name)
        return value

    return text


def _number(mapping: Mapping, table: Table, name: str) -> Reader:
    file, source = mapping.spec.file, mapping.sources()["fields", name]
    read = source_reader(mapping, table, ("fields", name), as_text)
    plain = isinstance(source.value, int | float)
    parse = number_reader(name, "." if plain else file.decimal, "" if plain else file.thousands, source.scale)

    def number(cells: Any) -> float | None:
        text = read(cells)
        return None if text is None else parse(text)

    def duration(cells: Any) -> int | None:
        text = read(cells)
        return None if text is None else dwell(parse(text))

    return duration if name == "dwell_ms" else number


def _time(mapping: Mapping, table: Table) -> Reader:
    time = mapping.spec.time
    parse = time_reader(time.format, time.unit, load_zone(time.zone))
    read = source_reader(mapping, table, ("fields", "event_ms"), _text_or_time)

    def when(cells: Any) -> int | None:
        value = read(cells)
        return None if value is None else parse(value)

    return when


def _text_or_time(value: Any) -> Any:
    """A time that the file itself declares stays one."""
    return value if isinstance(value, Instant | datetime.date) else as_text(value)


def type_reader(mapping: Mapping, table: Table) -> Callable[[Any], str | None]:
    """The reader of the event's type, translated; None for a type that is dropped on purpose."""
    read = source_reader(mapping, table, ("fields", "type"), as_text)
    types = mapping.spec.types
    if types is None:
        return _limited_type(read)
    known = {source: target if isinstance(target, str) else None for source, target in types.items() if source != REST}
    rest = types.get(REST)

    def kind(cells: Any) -> str | None:
        name = read(cells) or ""
        if name in known:
            return known[name]
        if not name:
            raise Unfit("missing", "type is missing")
        if rest is None:
            raise Unfit("type", f"type {shown(name)} is not in [types]")
        return rest if isinstance(rest, str) else None

    return kind


def _limited_type(read: Reader) -> Callable[[Any], str | None]:
    def kind(cells: Any) -> str:
        name: str | None = read(cells)
        if name is None:
            raise Unfit("missing", "type is missing")
        return name

    return kind


def attribute_reader(mapping: Mapping, table: Table) -> Callable[[Any], dict[str, str] | None] | None:
    """The reader of all attributes, or None where the mapping has none."""
    names = [name for part, name in mapping.sources() if part == "attributes"]
    readers = [
        (name, _limited(source_reader(mapping, table, ("attributes", name), as_loose_text), MAX_TEXT, name))
        for name in names
        if name != REST
    ]
    rest = _members(mapping, table) if REST in names else None
    if not names:
        return None

    def read(cells: Any) -> dict[str, str] | None:
        found = dict(rest(cells)) if rest else {}
        for name, reader in readers:
            value = reader(cells)
            if value is not None:
                found[name] = value
        if len(found) > MAX_ATTRIBUTES:
            raise Unfit("attributes", f"there are {len(found)} attributes; at most {MAX_ATTRIBUTES} are taken")
        return found or None

    return read


def _members(mapping: Mapping, table: Table) -> Callable[[Any], dict[str, str]]:
    """All members of an object, as attributes."""
    source: SourceSpec = mapping.sources()["attributes", REST]
    get = _getter(mapping, table, ("attributes", REST), source.all_columns[0])
    missing = _missing(mapping, source)

    def read(cells: Any) -> dict[str, str]:
        value = get(cells)
        if value is None:
            return {}
        if isinstance(value, list) and all(isinstance(pair, tuple) for pair in value):  # how a Parquet map is read
            value = dict(value)
        if not isinstance(value, dict):
            raise Unfit("attributes", f"an object is needed, not a {type(value).__name__}")
        texts = {str(name): as_loose_text(member) for name, member in value.items()}
        return {
            limited(name, MAX_TEXT, "an attribute's name"): limited(text, MAX_TEXT, name)
            for name, text in texts.items()
            if text is not None and text not in missing
        }

    return read
