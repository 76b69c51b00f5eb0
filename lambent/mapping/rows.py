"""Reads a log by its mapping: each row becomes an event, is rejected with a reason, or is skipped on purpose."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from lambent.events import MAX_EVENT_BYTES, MAX_USER, Event, Rejection, check, encode_event
from lambent.keys import pseudonym
from lambent.mapping.fields import REST, Reader, attribute_reader, field_reader, plain_field, source_reader, type_reader
from lambent.mapping.load import check_types
from lambent.mapping.readers import Broken, OnBytes
from lambent.mapping.spec import Mapping
from lambent.mapping.tables import Table, open_table
from lambent.mapping.values import Unfit, as_text, limited, text_of
from lambent.taxonomy import Taxonomy

CACHED_USERS = 65_536  # 2 µs saved for each event of a user who is among the last this many
SMALL_ATTRIBUTES = 8  # so few texts of 512 characters cannot pass MAX_EVENT_BYTES, even at 6 bytes an escaped one
OPTIONAL = ("id", "product", "category", "brand", "price", "query", "dwell_ms", "device")

Build = Callable[[Any], Event | Rejection | None]


class Row(msgspec.Struct, frozen=True, gc=False):
    """What became of one row. One with neither event nor rejection is skipped: the mapping drops its type on purpose.

    Attributes:
        line: 1-based line of the file where the row begins; for Parquet the row's number.
        event: the event, its id filled in.
        rejection: why it is none.
        raw: of a rejected row the bytes as read, at most 4 KiB. They hold the raw user id.
    """

    line: int
    event: Event | None = None
    rejection: Rejection | None = None
    raw: bytes = b""


def read_events(
    path: str | Path, mapping: Mapping, taxonomy: Taxonomy, user_key: bytes, on_bytes: OnBytes | None = None
) -> Iterator[Row]:
    """Read a log, row by row, in the file's order; memory stays bounded whatever the file holds.

    Args:
        path: a file on this machine.
        mapping: from ``load_mapping``.
        taxonomy: which event types there are.
        user_key: the key of the pseudonyms; a raw user id leaves only in ``Row.raw``.
        on_bytes: called now and then with the compressed bytes consumed since its last call, for a progress bar.

    Raises:
        DataError: at once if the file is missing, empty, a folder or not of the mapping's format; while reading if its
            compressed data are damaged.
        MappingError: at once if the mapping names a column that the header lacks, or a type that the taxonomy lacks.
        UsageError: at once if the file needs pyarrow and it is not installed.
    """
    check_types(mapping, taxonomy)
    table = open_table(Path(path), mapping, on_bytes)
    try:
        build = compile_row(mapping, table, taxonomy, user_key)
    except BaseException:
        table.close()
        raise
    return outcomes(table, build, Event, Row)


def outcomes(table: Table, build: Callable[[Any], Any], made: type, row: Callable[..., Any]) -> Iterator[Any]:
    """What became of each row.

    Args:
        table: where the rows are; it is closed at the end.
        build: makes something of a row's cells, or a ``Rejection``, or None; may raise ``Unfit``.
        made: the type of what it makes.
        row: takes the line, what was made, the rejection and the raw bytes, as ``Row`` does.
    """
    outcome: Any
    try:
        for number, source, cells in table.rows:
            if type(cells) is Broken:
                yield row(number, None, cells.rejection, cells.raw or table.raw(source))
                continue
            try:
                outcome = build(cells)
            except Unfit as unfit:
                outcome = Rejection(unfit.reason, unfit.detail)
            except (ValueError, OverflowError, RecursionError) as error:  # such as a number of 5,000 digits
                outcome = Rejection("value", str(error))
            if type(outcome) is made:  # isinstance of a struct costs five times as much
                yield row(number, outcome)
            elif isinstance(outcome, Rejection):
                yield row(number, None, outcome, table.raw(source))
            else:
                yield row(number)
    finally:
        table.close()


def compile_row(mapping: Mapping, table: Table, taxonomy: Taxonomy, user_key: bytes) -> Build:
    """Compile the mapping, once, into one function from a row's cells to its event."""
    kind = type_reader(mapping, table)
    user = user_reader(mapping, table, user_key)
    when = field_reader(mapping, table, "event_ms")
    optional = _optional_reader(mapping, table)
    attributes = attribute_reader(mapping, table)

    def build(cells: Any) -> Event | Rejection | None:
        name = kind(cells)
        if name is None:
            return None
        event_ms, who = when(cells), user(cells)
        if event_ms is None or who is None:
            raise Unfit("missing", "event_ms is missing" if event_ms is None else "user is missing")
        identity, product, category, brand, price, query, dwell_ms, device = optional(cells)
        event = Event(
            user=who,
            type=name,
            event_ms=event_ms,
            id=identity or "",
            product=product,
            category=category,
            brand=brand,
            price=price,
            query=query,
            dwell_ms=dwell_ms,
            device=device,
            attributes=attributes(cells) if attributes else None,
        )
        return check(event, taxonomy)

    count = len(mapping.spec.attributes)
    return _within_size(build) if count > SMALL_ATTRIBUTES or REST in mapping.spec.attributes else build


def _optional_reader(mapping: Mapping, table: Table) -> Callable[[Any], list[Any]]:
    """The reader of all optional fields, in the order of ``OPTIONAL``; None for what is missing or not mapped."""
    mapped = [(place, name) for place, name in enumerate(OPTIONAL) if ("fields", name) in mapping.sources()]
    plain = {place: field for place, name in mapped if (field := plain_field(mapping, table, name))}
    texts = [(place, *field) for place, field in plain.items()]
    others = [(place, field_reader(mapping, table, name)) for place, name in mapped if place not in plain]
    nothing = [None] * len(OPTIONAL)

    def read(cells: Any) -> list[Any]:
        values: list[Any] = nothing.copy()
        for place, name, get, missing, limit in texts:
            value = get(cells)
            if type(value) is not str:
                value = as_text(value)
            if value is not None and value not in missing:
                values[place] = value if len(value) <= limit else limited(value, limit, name)
        for place, reader in others:
            values[place] = reader(cells)
        return values

    return read


def _within_size(build: Build) -> Build:
    """An event with many long attributes can be more than the log takes."""

    def sized(cells: Any) -> Event | Rejection | None:
        event = build(cells)
        if isinstance(event, Event) and (size := len(encode_event(event))) > MAX_EVENT_BYTES:
            return Rejection("too_large", f"the event has {size} bytes; at most {MAX_EVENT_BYTES} are taken")
        return event

    return sized


def user_reader(mapping: Mapping, table: Table, user_key: bytes) -> Reader:
    """The reader of the pseudonym, which remembers the users it has met last."""

    @functools.lru_cache(CACHED_USERS)
    def hashed(raw_id: str) -> str:
        if len(raw_id) > MAX_USER:
            raise Unfit("user", f"user has {len(raw_id)} characters; at most {MAX_USER} are taken")
        return pseudonym(raw_id, user_key)

    return source_reader(mapping, table, ("fields", "user"), text_of("user"), hashed)
