"""What a mapping's form alone does not say: which keys go together, and which values can work."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

from lambent.events import MAX_ATTRIBUTES
from lambent.mapping.spec import CSV_ONLY, EVENTS_ONLY, Column, Mapping, SourceSpec, Spec
from lambent.mapping.times import ISO, load_zone, pattern_problem
from lambent.mapping.values import MAX_TEXT, parse_path

_ASCII = bytes(range(128))


def check_spec(mapping: Mapping, raw: dict[str, Any]) -> None:
    """Refuse what cannot work.

    Args:
        mapping: the mapping as read.
        raw: the same as tomllib gave it, which tells a default from what was written.

    Raises:
        MappingError: with the line to mend.
    """
    check: Callable[[Mapping, dict[str, Any]], None]
    for check in (_form, _formats, _encoding, _dialect, _columns, _numbers, _time, _types, _attributes, _sources):
        check(mapping, raw)


def _form(mapping: Mapping, raw: dict[str, Any]) -> None:
    for name in EVENTS_ONLY:
        if name in raw and not isinstance(mapping.spec, Spec):
            mapping.refuse((name,), f"[{name}] is for events.", "Remove it.")


def _formats(mapping: Mapping, raw: dict[str, Any]) -> None:
    spec = mapping.spec.file
    for name in CSV_ONLY:
        if name in raw["file"] and spec.format != "csv":
            mapping.refuse(("file", name), f"{name} is for CSV, and the format is {spec.format}.", "Remove it.")
    if spec.format == "parquet":
        for name in ("compression", "encoding"):
            if name in raw["file"] and raw["file"][name] not in ("auto", "none"):
                mapping.refuse(("file", name), f"A Parquet file says its {name} itself.", "Remove it.")


def _encoding(mapping: Mapping, raw: dict[str, Any]) -> None:
    name = mapping.spec.file.encoding
    key = ("file", "encoding")
    try:
        text = _ASCII.decode(name)
    except LookupError:
        mapping.refuse(
            key, f"{name!r} is no encoding.", 'Write "utf-8", "latin-1", "cp1252" or another that Python has.'
        )
    except (UnicodeError, ValueError):
        text = ""
    if text != _ASCII.decode() or "escape" in codecs.lookup(name).name:
        remedy = f"Convert the log first: iconv -f {name} -t utf-8; and leave encoding out."
        mapping.refuse(key, f"{name!r} does not contain ASCII, so lines cannot be found in it.", remedy)


def _dialect(mapping: Mapping, raw: dict[str, Any]) -> None:
    spec = mapping.spec.file
    for name in ("quote", "escape"):
        if len(getattr(spec, name)) > 1 or getattr(spec, name) in ("\n", "\r", "\0", " "):
            mapping.refuse(("file", name), f"{name} has to be one character, or empty for none.", _dialect_remedy(name))
    if not spec.delimiter or any(c in spec.delimiter for c in "\n\r\0"):
        mapping.refuse(
            ("file", "delimiter"), "delimiter has to be a character of the line.", _dialect_remedy("delimiter")
        )
    if spec.delimiter in ("\\t", "tab", "TAB"):
        mapping.refuse(
            ("file", "delimiter"), f"{spec.delimiter!r} is not a tab.", 'Write delimiter = "\\t", in double quotes.'
        )
    if len(spec.delimiter) > 1 and (spec.quote or spec.escape):
        cause = f"The delimiter {spec.delimiter!r} has several characters, which does not go with quotes."
        mapping.refuse(("file", "delimiter"), cause, 'Write one character, or add quote = "".')
    if spec.delimiter == spec.quote or (spec.escape and spec.escape in (spec.delimiter, spec.quote)):
        key = ("file", "escape" if spec.escape else "quote")
        mapping.refuse(key, "delimiter, quote and escape have to differ.", "Change one of them.")


def _dialect_remedy(name: str) -> str:
    return {"delimiter": 'Write delimiter = ",".', "quote": "Write quote = '\"'.", "escape": "Write escape = '\\'."}[
        name
    ]


def _columns(mapping: Mapping, raw: dict[str, Any]) -> None:
    spec = mapping.spec.file
    if spec.format != "csv":
        return
    if spec.skip_lines < 0:
        mapping.refuse(
            ("file", "skip_lines"), "skip_lines is below 0.", "Write how many lines stand before the header."
        )
    if spec.columns is None:
        if not spec.header:
            remedy = 'Write columns = ["…", …]: a name for each column, in order.'
            mapping.refuse(("file", "header"), "A file without a header needs names for its columns.", remedy)
        return
    if not spec.columns:
        mapping.refuse(("file", "columns"), "columns is empty.", "Name each column, in order.")
    for name in spec.columns:
        if spec.columns.count(name) > 1:
            mapping.refuse(
                ("file", "columns"), f"columns names {name!r} twice.", "Give each column its own name.", name
            )


def _numbers(mapping: Mapping, raw: dict[str, Any]) -> None:
    spec = mapping.spec.file
    if len(spec.thousands) > 1 or spec.thousands.isdigit() or spec.thousands == "-":
        mapping.refuse(
            ("file", "thousands"), "thousands has to be one character.", 'Write thousands = "." or leave it out.'
        )
    if spec.thousands == spec.decimal:
        remedy = f'Write decimal = "{"," if spec.thousands == "." else "."}", or leave thousands out.'
        mapping.refuse(("file", "thousands"), "thousands and decimal are the same character.", remedy)


def _time(mapping: Mapping, raw: dict[str, Any]) -> None:
    spec = mapping.spec.time
    if spec.format is not None and spec.unit is not None:
        mapping.refuse(
            ("time", "unit"), "format and unit exclude each other.", "Keep unit for numbers, format for texts."
        )
    if spec.unit is not None and "zone" in raw["time"]:
        mapping.refuse(("time", "zone"), "A unit counts since 1970 in UTC and has no zone.", "Remove zone.")
    try:
        load_zone(spec.zone)
    except ValueError as error:
        remedy = 'Write a name such as "Europe/Berlin", an offset such as "+02:00", or "UTC".'
        mapping.refuse(("time", "zone"), f"{error}.", remedy)
    if spec.format is not None and spec.format != ISO:
        _pattern(mapping, spec.format)


def _pattern(mapping: Mapping, pattern: str) -> None:
    problem = pattern_problem(pattern)
    if problem is not None:
        remedy = f'Write format = "{ISO}", or a pattern such as "%d.%m.%Y %H:%M:%S"; for a number write unit = "s".'
        mapping.refuse(("time", "format"), f"{problem}.", remedy)


def _types(mapping: Mapping, raw: dict[str, Any]) -> None:
    types = mapping.spec.types
    if types is None:
        return
    for name, target in types.items():
        if target is True:
            remedy = "Write the type's name in the taxonomy, or false to drop the rows."
            mapping.refuse(("types", name), f"{name!r} is translated to true.", remedy)
    if mapping.sources()["fields", "type"].value is not None:
        mapping.refuse(("types",), "The type is a constant, which [types] does not translate.", "Remove [types].")


def _attributes(mapping: Mapping, raw: dict[str, Any]) -> None:
    names = list(mapping.spec.attributes)
    if len(names) > MAX_ATTRIBUTES:
        cause = f"There are {len(names)} attributes; an event takes {MAX_ATTRIBUTES}."
        mapping.refuse(("attributes", names[MAX_ATTRIBUTES]), cause, "Leave some out.")
    for name in names:
        if len(name) > MAX_TEXT:
            mapping.refuse(("attributes", name), f"An attribute's name is longer than {MAX_TEXT}.", "Shorten it.")
    if "*" in names:
        source = mapping.sources()["attributes", "*"]
        if source.column is None or mapping.spec.file.format == "csv":
            remedy = 'Write "*" = "path.to.object"; for CSV name each attribute and its column.'
            mapping.refuse(("attributes", "*"), '"*" takes the members of one object of JSON or Parquet.', remedy)


def _sources(mapping: Mapping, raw: dict[str, Any]) -> None:
    for key, source in mapping.sources().items():
        _one_of(mapping, key, source)
        _constant(mapping, key, source)
        for column in source.all_columns:
            _column(mapping, key, column)


def _one_of(mapping: Mapping, key: tuple[str, str], source: SourceSpec) -> None:
    written = [n for n in ("column", "columns", "value") if getattr(source, n) is not None]
    if len(written) != 1:
        cause = f"{'.'.join(key)} says {' and '.join(written) or 'neither column, columns nor value'}."
        mapping.refuse(key, cause, "Write exactly one of column, columns and value.")
    if source.columns == ():
        mapping.refuse(key, f"{'.'.join(key)} lists no column.", "Name at least one.")
    if source.join is not None and source.columns is None:
        mapping.refuse(key, "join is for several columns.", 'Write { columns = ["date", "time"], join = " " }.')
    if source.scale is not None and (key[1] not in ("price", "dwell_ms") or key[0] != "fields"):
        mapping.refuse(key, "scale is for price and dwell_ms.", "Remove it.")
    if source.scale is not None and not 0 < source.scale < 1e12:
        mapping.refuse(key, f"scale {source.scale} is not a positive number.", "Write scale = 0.01 for cents.")


def _constant(mapping: Mapping, key: tuple[str, str], source: SourceSpec) -> None:
    if source.value is None:
        return
    if key in (("fields", "user"), ("fields", "event_ms"), ("fields", "id")):
        mapping.refuse(key, f"{key[1]} cannot be the same for all rows.", "Write the column that holds it.")
    if key[1] in ("price", "dwell_ms") and (isinstance(source.value, str | bool) or not 0 <= source.value < 1e12):
        mapping.refuse(key, f"{key[1]} has to be a number, from 0.", f"Write {key[1]} = {{ value = 1 }}.")
    limit = {"device": 32}.get(key[1], MAX_TEXT)
    if len(str(source.value)) > limit:
        mapping.refuse(key, f"{key[1]} has more than {limit} characters.", "Shorten it.")


def _column(mapping: Mapping, key: tuple[str, str], column: Column) -> None:
    spec = mapping.spec.file
    if spec.format != "csv":
        try:
            parse_path(str(column))
        except ValueError as error:
            remedy = r'Write names with dots between: "user.id", "items[0].id"; \. is a dot in a name.'
            mapping.refuse(key, f"{error}.", remedy, column)
        if isinstance(column, int):
            mapping.refuse(key, f"Position {column} is for CSV.", "Write the name.", column)
    elif spec.columns is not None and _lacks(spec.columns, column):
        remedy = f"Columns are: {', '.join(spec.columns)[:500]}."
        mapping.refuse(key, f"{'.'.join(key)} names column {column!r}, which [file] columns lacks.", remedy, column)


def _lacks(columns: tuple[str, ...], column: Column) -> bool:
    return not 1 <= column <= len(columns) if isinstance(column, int) else column not in columns
