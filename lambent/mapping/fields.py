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
    text_of,
)

Reader = Callable[[Any], Any]
Convert = Callable[[Any], Any]

REST = "*"
"""In ``[types]``: all other types. In ``[attributes]``: all members of an object."""

TIMES = ("event_ms", "as_of_ms", "member_since_ms")
_LIMITS = {"id": 128, "device": 32}  # characters; see lambent.events.Event


def field_reader(mapping: Mapping, table: Table, name: str) -> Reader:
    """The reader of one field of ``[fields]``."""
    key = ("fields", name)
    if name in TIMES:
        time = mapping.spec.time
        return source_reader(
            mapping, table, key, _text_or_time, time_reader(time.format, time.unit, load_zone(time.zone))
        )
    if name in ("price", "dwell_ms"):
        return source_reader(mapping, table, key, text_of(name), _number(mapping, name))
    return source_reader(mapping, table, key, as_text, _limit(name, _LIMITS.get(name, MAX_TEXT)))


class Plain(NamedTuple):
    """A text field that is one column: the commonest kind, which ``rows`` reads without a call of its own."""

    name: str
    get: Getter
    missing: frozenset[str]
    limit: int


def plain_field(mapping: Mapping, table: Table, name: str) -> Plain | None:
    """The field as one plain column of text, or None if it is not."""
    source = mapping.sources()["fields", name]
    if len(source.all_columns) != 1 or name in (*TIMES, "price", "dwell_ms"):
        return None
    get = _getter(mapping, table, ("fields", name), source.all_columns[0])
    return Plain(name, get, _missing(mapping, source), _LIMITS.get(name, MAX_TEXT))


def _missing(mapping: Mapping, source: SourceSpec) -> frozenset[str]:
    return frozenset(mapping.spec.file.missing if source.missing is None else source.missing)


def source_reader(
    mapping: Mapping, table: Table, key: tuple[str, str], text_of: Convert, then: Convert | None = None
) -> Reader:
    """The reader of a source: a constant, a column, the first column that is not missing, or columns joined.

    Args:
        mapping: the mapping.
        table: where the columns are.
        key: where the source is written, for the line to mend.
        text_of: makes a text of a value that is none, or passes it on.
        then: what is done with a value that is not missing.
    """
    source = mapping.sources()[key]
    if source.value is not None:
        text = as_text(source.value)
        constant = then(text) if then else text
        return lambda cells: constant
    missing = _missing(mapping, source) | ({""} if key == ("fields", "user") else set())  # nobody has no id
    finish = then if source.join is None else None
    readers = [_column(_getter(mapping, table, key, column), missing, text_of, finish) for column in source.all_columns]
    if source.join is not None:
        return _joined(readers, source.join, then)
    return readers[0] if len(readers) == 1 else _first(readers)


def _getter(mapping: Mapping, table: Table, key: tuple[str, str], column: str | int) -> Getter:
    try:
        return table.getter(column)
    except LookupError as error:
        lacking, remedy = error.args
        mapping.refuse(key, f"{'.'.join(key)} names {lacking}, which the file does not have.", remedy, column)


def _column(get: Getter, missing: frozenset[str], text_of: Convert, then: Convert | None) -> Reader:
    """One closure with a branch costs less than a closure around a closure, eight times a row."""

    def read(cells: Any) -> Any:
        value = get(cells)
        if type(value) is not str:
            value = text_of(value)
        if value is None or value in missing:
            return None
        return then(value) if then else value

    return read


def _first(readers: list[Reader]) -> Reader:
    def read(cells: Any) -> Any:
        for reader in readers:
            value = reader(cells)
            if value is not None:
                return value
        return None

    return read


def _joined(readers: list[Reader], mark: str, then: Convert | None) -> Reader:
    """Missing if any part is: half a time is none."""

    def read(cells: Any) -> Any:
        parts = [reader(cells) for reader in readers]
        if None in parts:
            return None
        text = mark.join(as_text(part) or "" for part in parts)
        return then(text) if then else text

    return read


def _limit(name: str, limit: int) -> Convert:
    return lambda text: text if len(text) <= limit else limited(text, limit, name)


def _number(mapping: Mapping, name: str) -> Convert:
    file, source = mapping.spec.file, mapping.sources()["fields", name]
    if isinstance(source.value, int | float):  # written in TOML, whatever marks the log has
        parse = number_reader(name, ".", "", source.scale)
    else:
        parse = number_reader(name, file.decimal, file.thousands, source.scale)
    return parse if name == "price" else lambda text: dwell(parse(text))


def _text_or_time(value: Any) -> Any:
    """A time that the file itself declares stays one."""
    return value if isinstance(value, Instant | datetime.date) else _time_text(value)


_time_text = text_of("time")


def type_reader(mapping: Mapping, table: Table) -> Callable[[Any], str | None]:
    """The reader of the event's type, translated; None for a type that is dropped on purpose."""
    read = source_reader(mapping, table, ("fields", "type"), text_of("type"))
    types = mapping.spec.types
    if types is None:
        return _same_type(read)
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


def _same_type(read: Reader) -> Callable[[Any], str | None]:
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
        (name, source_reader(mapping, table, ("attributes", name), as_loose_text, _limit(name, MAX_TEXT)))
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
