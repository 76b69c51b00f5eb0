"""What a mapping file can say, as data. ``load.py`` reads and checks it; ``docs/reference/mapping.md`` explains it."""

from __future__ import annotations

from typing import Any, Literal, NoReturn

import msgspec

from lambent.errors import MappingError
from lambent.mapping.locate import locate

Column = str | int
"""A column by its name (CSV), its 1-based position (CSV), or its dotted path (JSON, Parquet)."""


class FileSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[file]``: how the bytes become rows. Keys after ``missing`` are for CSV only."""

    format: Literal["csv", "jsonl", "parquet"]
    compression: Literal["auto", "none", "gzip", "bz2", "xz", "zstd"] = "auto"
    encoding: str = "utf-8"
    decimal: Literal[".", ","] = "."
    thousands: str = ""
    missing: tuple[str, ...] = ("",)
    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    header: bool = True
    columns: tuple[str, ...] | None = None
    skip_lines: int = 0
    trim: bool = False


CSV_ONLY = ("delimiter", "quote", "escape", "header", "columns", "skip_lines", "trim")


class SourceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a field comes from, in full: exactly one of ``column``, ``columns`` and ``value``."""

    column: Column | None = None
    columns: tuple[Column, ...] | None = None
    value: str | int | float | bool | None = None
    join: str | None = None
    scale: float | None = None
    missing: tuple[str, ...] | None = None

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns that are read, in order."""
        return self.columns or (() if self.column is None else (self.column,))


Source = str | int | tuple[Column, ...] | SourceSpec


class FieldsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[fields]``: which column is which field of ``lambent.events.Event``."""

    user: Source
    type: Source
    event_ms: Source
    id: Source | None = None
    product: Source | None = None
    category: Source | None = None
    brand: Source | None = None
    price: Source | None = None
    query: Source | None = None
    dwell_ms: Source | None = None
    device: Source | None = None


class UserFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[fields]`` of a file of users: which column is which of ``lambent.tables.USER_COLUMNS``."""

    user: Source
    age_band: Source | None = None
    gender: Source | None = None
    member_since_ms: Source | None = None
    as_of_ms: Source | None = None


class ProductFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[fields]`` of a file of products: which column is which of ``lambent.tables.PRODUCT_COLUMNS``."""

    product: Source
    category: Source | None = None
    brand: Source | None = None
    price: Source | None = None
    as_of_ms: Source | None = None


class TimeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[time]``: how times are written. ``format`` and ``unit`` exclude each other."""

    format: str | None = None
    unit: Literal["s", "ms", "us", "ns"] | None = None
    zone: str = "UTC"


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole mapping file, whatever its rows are of. ``types`` and ``attributes`` are for events only."""

    file: FileSpec
    fields: Any
    description: str = ""
    time: TimeSpec = TimeSpec()
    types: dict[str, str | bool] | None = None
    attributes: dict[str, Source] = {}


class Spec(Form, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping of events."""

    fields: FieldsSpec


class UserSpec(Form, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping of what is known of users."""

    fields: UserFields


class ProductSpec(Form, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping of what is known of products."""

    fields: ProductFields


EVENTS_ONLY = ("types", "attributes")


class Mapping(msgspec.Struct, frozen=True):
    """A mapping that has been read and checked. It is plain data, so that it can be sent to other processes.

    Attributes:
        name: the file's name without its suffix.
        path: where it was read, for messages.
        text: the TOML itself, in which the line to mend is found.
        spec: what it says.
    """

    name: str
    path: str
    text: str
    spec: Form

    def refuse(self, key: tuple[str, ...], cause: str, remedy: str, value: Column | None = None) -> NoReturn:
        """Raise a ``MappingError`` at the line of ``key``, or of ``value`` among the values written there."""
        raise MappingError(self.path, locate(self.text, key, value), cause, remedy)

    def sources(self) -> dict[tuple[str, str], SourceSpec]:
        """Every source by where it is written: ``("fields", "price")`` or ``("attributes", "colour")``."""
        fields = {name: getattr(self.spec.fields, name) for name in self.spec.fields.__struct_fields__}
        found = {("fields", name): full(source) for name, source in fields.items() if source is not None}
        return found | {("attributes", name): full(source) for name, source in self.spec.attributes.items()}


def full(source: Source) -> SourceSpec:
    """The full form of a source that was written short."""
    if isinstance(source, SourceSpec):
        return source
    return SourceSpec(columns=source) if isinstance(source, tuple) else SourceSpec(column=source)
