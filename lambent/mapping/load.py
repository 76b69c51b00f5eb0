"""Reads a mapping file and refuses what is wrong in it, with the line to mend and what to write."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from lambent.errors import MappingError
from lambent.mapping.checks import check_spec
from lambent.mapping.locate import locate, syntax_line
from lambent.mapping.spec import FileSpec, Form, Mapping, Source, SourceSpec, Spec, TimeSpec
from lambent.taxonomy import Taxonomy

MAX_MAPPING_BYTES = 1 << 20

_REFERENCE = "See docs/reference/mapping.md."
_WHERE = re.compile(r" - at `\$?(?:key in )?\.?([^`]*)`$")
_NAME = re.compile(r"`([^`]*)`")
_TABLES: dict[str, type[msgspec.Struct]] = {"file": FileSpec, "time": TimeSpec}
_ENTRIES: dict[tuple[str, ...], Any] = {("types",): str | bool, ("attributes",): Source}


def shipped() -> list[str]:
    """Names of the mappings that come with Lambent."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.toml"))


def load_mapping(name: str | Path, form: type[Form] = Spec) -> Mapping:
    """Read a mapping.

    Args:
        name: one that is shipped (``rees46``, ``taobao``, ``lambent``), or the path of a TOML file.
        form: what its rows are of.

    Raises:
        MappingError: there is no such file, or it is wrong: names the file, the 1-based line and what to write.
    """
    path = Path(__file__).with_name(f"{name}.toml") if name in shipped() else Path(name)
    text = _read(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = syntax_line(text, str(error))
        raise MappingError(str(path), line, f"not TOML: {error}.", "Mend that line.") from error
    except RecursionError as error:
        raise MappingError(str(path), 1, "nested too deep to be a mapping.", _REFERENCE) from error
    mapping = Mapping(path.stem, str(path), text, _convert(raw, str(path), text, form))
    check_spec(mapping, raw)
    return mapping


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MAPPING_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        remedy = f"Shipped mappings are: {', '.join(shipped())}. Or give the path of a TOML file."
        raise MappingError(str(path), 0, f"cannot be read ({reason}).", remedy) from error
    if len(data) > MAX_MAPPING_BYTES:
        raise MappingError(str(path), 0, "is larger than 1 MiB.", "Give the mapping, not the log.")
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MappingError(str(path), line, "not UTF-8, as TOML has to be.", "Save the file as UTF-8.") from error


def _convert(raw: dict[str, Any], path: str, text: str, form: type[Form]) -> Form:
    try:
        return msgspec.convert(raw, form)
    except msgspec.ValidationError as error:
        place = _WHERE.search(str(error))
        key = _key_at(place[1] if place else "", raw)
        message = str(error)[: place.start()] if place else str(error)
        at, cause, remedy = _explain(message, key, _tables(form))
        raise MappingError(path, locate(text, at, _odd_element(raw, at)), cause, remedy) from error


def _key_at(place: str, raw: dict[str, Any]) -> tuple[str, ...]:
    """The key at msgspec's ``types[...]``, which does not tell the entry: the first that does not fit."""
    head, entry, rest = place.partition("[...]")
    key = tuple(head.split(".")) if head else ()
    if entry and key in _ENTRIES:
        key += (next(name for name, value in raw[head].items() if not _fits(value, _ENTRIES[key])),)
    return tuple(part.partition("[")[0] for part in key) + tuple(part for part in rest.split(".") if part)


def _fits(value: Any, form: Any) -> bool:
    try:
        msgspec.convert(value, form)
    except msgspec.ValidationError:
        return False
    return True


def _odd_element(raw: Any, key: tuple[str, ...]) -> Any:
    """In a list over several lines, the element that is no text, so that its line is found."""
    for part in key:
        raw = raw.get(part) if isinstance(raw, dict) else None
    elements = raw if isinstance(raw, list) else []
    return next((element for element in elements if not isinstance(element, str)), None)


Tables = dict[str, type[msgspec.Struct]]


def _tables(form: type[Form]) -> Tables:
    """The tables of a mapping file by name; the file itself is ``""``."""
    return {"": form, "fields": get_type_hints(form)["fields"], **_TABLES}


def _explain(message: str, key: tuple[str, ...], tables: Tables) -> tuple[tuple[str, ...], str, str]:
    """The key to mend, what is wrong, and what to write."""
    names = _NAME.findall(message)
    table = f"[{'.'.join(key)}]" if key else "the file"
    if "unknown field" in message:
        return (
            (*key, names[0]),
            f"{table} has no key {names[0]!r}.",
            _suggest(names[0], tables.get(".".join(key), SourceSpec).__struct_fields__),
        )
    if "missing required field" in message:
        return key, f"{table} lacks {names[0]!r}.", _example(names[0], tables)
    return key, f"{'.'.join(key)}: {message.replace('`', '')}.", _expected(key)


def _suggest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"Write {near[0]!r}." if near else f"Keys are: {', '.join(known)}."


def _example(name: str, tables: Tables) -> str:
    needed = [field.name for field in msgspec.structs.fields(tables["fields"]) if field.required]
    examples = {
        "file": 'Write a table [file] with format = "csv", "jsonl" or "parquet".',
        "fields": f"Write a table [fields] with {' and '.join(filter(None, (', '.join(needed[:-1]), needed[-1])))}.",
        "format": 'Write format = "csv", "jsonl" or "parquet".',
    }
    return examples.get(name, f'Write {name} = "…", the name of the column that holds it.')


def _expected(key: tuple[str, ...]) -> str:
    if key[:1] == ("types",):
        return 'Write the type\'s name in the taxonomy, or false to drop it: add_to_cart = "cart", scroll = false.'
    if key[-1:] == ("missing",):
        return 'Write a list: missing = ["", "NULL"].'
    if key[:1] in (("fields",), ("attributes",)):
        return 'Write a column: "price", a list of columns, or a table: { column = "price", scale = 0.01 }.'
    form = get_type_hints(_TABLES[key[0]]).get(key[1]) if len(key) == 2 and key[0] in _TABLES else None
    return _choices(key[-1], form)


def _choices(name: str, form: Any) -> str:
    """The values that a key with a fixed choice can have."""
    parts = [part for part in (form, *get_args(form)) if get_origin(part) is Literal]
    words = [f'"{word}"' for part in parts for word in get_args(part)]
    return f"Write {name} = {' or '.join(words)}." if words else _REFERENCE


def check_types(mapping: Mapping, taxonomy: Taxonomy) -> None:
    """Refuse a mapping that makes types which the taxonomy lacks.

    Raises:
        MappingError: with the line of the type.
    """
    targets = {("types", name): target for name, target in (mapping.spec.types or {}).items()}
    source = mapping.sources()["fields", "type"]
    if source.value is not None:
        targets["fields", "type"] = str(source.value)
    for key, target in targets.items():
        if isinstance(target, str) and target not in taxonomy.type_code:
            known = tuple(taxonomy.type_code)
            near = difflib.get_close_matches(target, known, 1)
            remedy = f"Write {near[0]!r}." if near else f"Types are: {', '.join(known)}; false drops the rows."
            mapping.refuse(key, f"{target!r} is no type of the taxonomy.", remedy)
