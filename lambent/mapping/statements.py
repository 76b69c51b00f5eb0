"""Reads a file of a dimension by its mapping: each row says what is known of one user or product as of a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from lambent.dimensions import Dimension
from lambent.errors import UsageError
from lambent.events import MAX_EVENT_MS, MIN_EVENT_MS, Rejection, is_price, no_price
from lambent.mapping.fields import Reader, field_reader
from lambent.mapping.load import load_mapping
from lambent.mapping.readers import OnBytes
from lambent.mapping.rows import outcomes, user_reader
from lambent.mapping.spec import Form, Mapping, ProductSpec, UserSpec
from lambent.mapping.tables import Table, open_table
from lambent.mapping.values import Unfit
from lambent.tables import PRODUCTS, USERS

FORMS: dict[str, type[Form]] = {USERS: UserSpec, PRODUCTS: ProductSpec}
"""What a mapping of a dimension can say, by the dimension's name."""


class Statement(msgspec.Struct, frozen=True, gc=False):
    """What a row says.

    Attributes:
        key: whom or what it is of; of a user the pseudonym.
        values: the attributes, in the dimension's order; None where missing, which is a statement too.
        as_of_ms: when it was so.
    """

    key: str
    values: tuple[str | float | int | None, ...]
    as_of_ms: int


class Told(msgspec.Struct, frozen=True, gc=False):
    """What became of one row: ``statement``, or ``rejection``; ``line`` and ``raw`` as of ``rows.Row``."""

    line: int
    statement: Statement | None = None
    rejection: Rejection | None = None
    raw: bytes = b""


def load_dimension_mapping(name: str | Path, dimension: Dimension) -> Mapping:
    """Read a mapping of a dimension; as ``load_mapping``."""
    return load_mapping(name, FORMS[dimension.name])


def read_statements(
    path: str | Path, mapping: Mapping, dimension: Dimension, user_key: bytes,
    as_of_ms: int | None = None, on_bytes: OnBytes | None = None,
) -> Iterator[Told]:  # fmt: skip
    """Read a file of a dimension, row by row, in bounded memory.

    Args:
        path: a file on this machine.
        mapping: from ``load_dimension_mapping``.
        dimension: what the rows are of.
        user_key: the key of the pseudonyms.
        as_of_ms: when the file was so; None where each row says it by the mapping's field ``as_of_ms``.
        on_bytes: as for ``rows.read_events``.

    Raises:
        DataError, MappingError: as ``rows.read_events``.
        UsageError: at once, if nothing says when it was so, or both mapping and call do.
    """
    if (as_of_ms is None) == (("fields", "as_of_ms") not in mapping.sources()):
        cause = "Nothing says" if as_of_ms is None else "Both the mapping and --as-of say"
        remedy = f"Give --as-of TIME, or name the column in {mapping.path}: as_of_ms."
        raise UsageError(f"{cause} as of when {path} is.", remedy)
    table = open_table(Path(path), mapping, on_bytes)
    try:
        build = _compile(mapping, table, dimension, user_key, as_of_ms)
    except BaseException:
        table.close()
        raise
    return outcomes(table, build, Statement, Told)


def _compile(
    mapping: Mapping, table: Table, dimension: Dimension, user_key: bytes, as_of_ms: int | None
) -> Callable[[Any], Statement | Rejection]:
    """Compile the mapping into one function from a row's cells to its statement."""
    key = user_reader(mapping, table, user_key) if dimension.key == "user" else _reader(mapping, table, dimension.key)
    readers = [_reader(mapping, table, name) for name in dimension.attributes]
    when = _reader(mapping, table, "as_of_ms") if as_of_ms is None else lambda cells: as_of_ms

    def build(cells: Any) -> Statement | Rejection:
        who, at_ms = key(cells), when(cells)
        if not who or at_ms is None:
            raise Unfit("missing", f"{'as_of_ms' if who else dimension.key} is missing")
        values = tuple(reader(cells) for reader in readers)
        return _check(Statement(who, values, at_ms), dimension)

    return build


def _reader(mapping: Mapping, table: Table, name: str) -> Reader:
    return field_reader(mapping, table, name) if ("fields", name) in mapping.sources() else lambda cells: None


def _check(said: Statement, dimension: Dimension) -> Statement | Rejection:
    """What a row may say is what an event may."""
    if not MIN_EVENT_MS <= said.as_of_ms < MAX_EVENT_MS:
        return Rejection("time", f"as_of_ms {said.as_of_ms} is outside the years 2000 to 2099")
    for name, value in zip(dimension.attributes, said.values, strict=True):
        if name == "price" and isinstance(value, float) and not is_price(value):
            return no_price(value)
    if any(isinstance(value, str) and "\0" in value for value in (said.key, *said.values)):
        return Rejection("nul", "a text holds a NUL, which many a reader takes for its end")
    return said
