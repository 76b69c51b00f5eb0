"""Reads Parquet by batches of rows, with only the columns that the mapping names."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from lambent.errors import DataError
from lambent.mapping.readers import RAW_BYTES, OnBytes, import_pyarrow, open_binary
from lambent.mapping.spec import Column, Mapping
from lambent.mapping.tables import Getter, Table
from lambent.mapping.values import Instant, Unfit, as_text, first_name, follow, parse_path

BATCH_ROWS = 8192
_PER_SECOND = {"s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000}


class _Parquet:
    """An open Parquet file."""

    def __init__(self, path: Path, mapping: Mapping, on_bytes: OnBytes | None) -> None:
        self._pa = import_pyarrow("Parquet")
        self._path = path
        self._zone = mapping.spec.time.zone
        self._on_bytes = on_bytes
        self._stream = open_binary(path)
        try:
            self._file = self._open()
        except BaseException:
            self.close()
            raise
        columns = {first_name(str(c)) for source in mapping.sources().values() for c in source.all_columns}
        self._names = [name for name in self._file.schema_arrow.names if name in columns]

    def close(self) -> None:
        self._stream.close()

    def _open(self) -> Any:
        import pyarrow.parquet

        try:
            return pyarrow.parquet.ParquetFile(self._stream)
        except (self._pa.ArrowException, OSError) as error:
            raise DataError(
                f"{self._path} is not a Parquet file ({error}).", "Set [file] format to what it is, or fetch it again."
            ) from error

    def getter(self, column: Column) -> Getter:
        """A value at a dotted path, which begins with a column's name."""
        name = first_name(str(column))
        if name not in self._names:
            names = self._file.schema_arrow.names
            raise LookupError(f"column {name!r}", f"Columns are: {', '.join(names)[:500]}.")
        index = self._names.index(name)
        steps = parse_path(str(column))[1:]
        if not steps:
            return operator.itemgetter(index)
        rest = follow(steps)
        return lambda cells: rest(cells[index])

    def rows(self) -> Iterator[tuple[int, Any, Any]]:
        """Each row's number, and its cells twice: what it was read from is what it is."""
        number = 0
        try:
            for batch in self._file.iter_batches(BATCH_ROWS, columns=self._names):
                for cells in zip(*map(self._values, batch.columns), strict=True):
                    number += 1
                    yield number, cells, cells
                self._tell(batch.num_rows)
        except (self._pa.ArrowException, OSError) as error:
            raise DataError(f"{self._path}: damaged after row {number} ({error}).", "Fetch the file again.") from error

    def _tell(self, rows: int) -> None:
        if self._on_bytes is not None and self._path.is_file():
            self._on_bytes(self._path.stat().st_size * rows // self._file.metadata.num_rows)

    def _values(self, column: Any) -> list[Any]:
        if self._pa.types.is_timestamp(column.type):
            return self._instants(column)
        try:
            values: list[Any] = column.to_pylist()
        except (ValueError, OverflowError):
            values = [_value(cell) for cell in column]
        return values

    def _instants(self, column: Any) -> list[Instant | None]:
        """A time without a zone holds where the mapping says; the first of two in autumn, as for texts."""
        import pyarrow.compute

        if column.type.tz is None and self._zone != "UTC":
            column = pyarrow.compute.assume_timezone(column, self._zone, ambiguous="earliest", nonexistent="latest")
        per_s = _PER_SECOND[column.type.unit]
        counts = column.cast(self._pa.int64()).to_pylist()
        return [None if count is None else Instant(count * 1000 // per_s) for count in counts]


def _value(cell: Any) -> Any:
    """One value of a column that cannot be read at once: where the value is to blame, its bytes or a word about it."""
    try:
        return cell.as_py()
    except (ValueError, OverflowError):
        return (
            cell.as_buffer().to_pybytes()
            if hasattr(cell, "as_buffer")
            else f"a {cell.type} beyond what Python can hold"
        )


def open_parquet(path: Path, mapping: Mapping, on_bytes: OnBytes | None) -> Table:
    """Open a Parquet file.

    Raises:
        DataError: it is missing, empty or not Parquet.
        UsageError: pyarrow is not installed.
    """
    file = _Parquet(path, mapping, on_bytes)
    return Table(file.rows(), file.getter, _raw, file.close)


def _raw(cells: Any) -> bytes:
    """A row has no bytes of its own: its cells as JSON."""
    return msgspec.json.encode([repr(c) if isinstance(c, bytes) else c for c in cells], enc_hook=_cell_text)[:RAW_BYTES]


def _cell_text(cell: Any) -> str | None:
    try:
        return as_text(cell)
    except Unfit:
        return str(cell)
