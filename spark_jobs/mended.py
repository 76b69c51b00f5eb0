"""Rejected rows as JSON lines, to be mended by hand or by a script, and read again.

A line is ``{"origin", "line", "seq", "reason", "detail", "raw"}``; only ``raw`` is to be mended: the row's text as its file
or the log has it. Where that is no text, ``raw_base64`` holds its bytes. A row of a file is fetched from the file, since
the table keeps no raw user ids; so what is written here is not for others' eyes, and only its owner may read it.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

import msgspec

from lambent.errors import DataError, UsageError
from lambent.events import UNDECODABLE, Rejection
from lambent.mapping import Mapping, Row, read_events
from lambent.mapping.readers import RAW_BYTES, LogFile
from lambent.mapping.spec import FileSpec
from lambent.taxonomy import Taxonomy
from spark_jobs import quarantine
from spark_jobs.quarantine import Place

Lines = dict[str, "array[int]"]
"""Wanted lines of each file, ascending: 8 bytes a row."""


class Mended(msgspec.Struct, omit_defaults=True):
    """One line; what it holds besides is passed over."""

    origin: str
    line: int
    seq: int = 0
    reason: str = ""
    detail: str = ""
    raw: str | None = None
    raw_base64: str | None = None

    @property
    def place(self) -> Place:
        """Where the row was met."""
        return Place(self.origin, self.line, self.seq)


@dataclasses.dataclass(frozen=True)
class Door:
    """What rows of files go through, as ingest reads them.

    Attributes:
        mapping: how to read them.
        taxonomy: which types there are.
        user_key: the key of the pseudonyms.
    """

    mapping: Mapping
    taxonomy: Taxonomy
    user_key: bytes

    def read(self, path: Path) -> Iterator[Row]:
        """The rows of a file; see ``read_events``."""
        return read_events(path, self.mapping, self.taxonomy, self.user_key)


def lines_of(places: Iterable[Place]) -> Lines:
    """The lines of rows of files."""
    found: Lines = {}
    for place in places:
        found.setdefault(place.origin, array("q")).append(place.line)
    return {origin: array("q", sorted(set(lines))) for origin, lines in found.items()}


def at_lines(rows: Iterable[Row], lines: array[int]) -> Iterator[Row]:
    """Those rows that begin at ``lines``; both ascend."""
    wanted = iter(lines)
    line = next(wanted, None)
    for row in rows:
        while line is not None and line < row.line:  # no row begins there any more
            line = next(wanted, None)
        if line is None:
            return
        if line == row.line:
            yield row


# --- written for mending -----------------------------------------------------------------------------------------------


def write_out(rows: Iterable[quarantine.Row], path: Path, door: Door | None, most: int | None = None) -> Counter[str]:
    """Write rows for mending, those of the log first.

    Args:
        rows: open rows of the table.
        path: a new file.
        door: fetches rows of files; None: they are left out.
        most: rows of each reason and origin, at most; None: all.

    Returns:
        How many were ``written``; are of a ``dimension``; were ``left_out`` for want of a door; ``fit`` the mapping as they
        are; cannot be mended here since they are ``unfit``; or are ``gone`` from their file.

    Raises:
        DataError: there is such a file already, or a file that rows came from cannot be read.
    """
    counts, places = Counter[str](), list[Place]()
    with _create(path) as file:
        for row in _first_of_each(rows, most):
            place = quarantine.place_of(row)
            if quarantine.is_live(row["origin"]):
                _write(file, place, Rejection(row["reason"], row["detail"] or ""), row["raw"], "utf-8")
                counts["written"] += 1
            elif quarantine.is_dimension(row["origin"]):
                counts["dimension"] += 1
            elif door is not None:
                places.append(place)
            else:
                counts["left_out"] += 1
        for origin, lines in lines_of(places).items():
            assert door is not None
            counts += _write_file(file, door, origin, lines)
    return counts


def _create(path: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError as error:
        raise DataError(f"{path} is there already.", "What is mended in it would be lost: name another.") from error
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}).", "Name another file.") from error


def _first_of_each(rows: Iterable[quarantine.Row], most: int | None) -> Iterator[quarantine.Row]:
    seen = Counter[tuple[str, str]]()
    for row in rows:
        group = row["reason"], row["origin"]
        seen[group] += 1
        if most is None or seen[group] <= most:
            yield row


def _write_file(file: BinaryIO, door: Door, origin: str, lines: array[int]) -> Counter[str]:
    counts, spec = Counter[str](gone=len(lines)), door.mapping.spec.file
    for row in at_lines(door.read(Path(origin)), lines):
        counts["gone"] -= 1
        if row.rejection is None:
            counts["fit"] += 1
        elif len(row.raw) >= RAW_BYTES or spec.format == "parquet":
            counts["unfit"] += 1
        else:
            _write(file, Place(origin, row.line, 0), row.rejection, row.raw, spec.encoding)
            counts["written"] += 1
    return counts


def _write(file: BinaryIO, place: Place, why: Rejection, raw: bytes, encoding: str) -> None:
    try:
        text, coded = raw.decode(encoding), None
    except UnicodeDecodeError:
        text, coded = None, base64.b64encode(raw).decode()
    one = Mended(*place, reason=why.reason, detail=why.detail, raw=text, raw_base64=coded)
    file.write(msgspec.json.encode(one) + b"\n")


# --- read again --------------------------------------------------------------------------------------------------------


def read_mended(path: Path) -> dict[Place, Mended]:
    """The rows of a file that ``write_out`` wrote, by their places; it fits into memory, as what is mended by hand does.

    Raises:
        DataError: the file cannot be read, or is none of these; the message names the line.
    """
    found: dict[Place, Mended] = {}
    decode = msgspec.json.Decoder(Mended).decode
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).", "Check the path.") from error
    for number, line in enumerate(lines, 1):
        try:
            one = decode(line)
            bytes_of(one, "utf-8")
        except (*UNDECODABLE, ValueError) as error:
            remedy = "Mend rows that 'lambent quarantine show --out' wrote, and only what is in 'raw'."
            raise DataError(f"{path}:{number}: {error}.", remedy) from error
        if found.setdefault(one.place, one) is not one:
            raise DataError(f"{path}:{number}: this place comes twice: {one.origin}:{one.line}.", "Keep one of them.")
    return found


def bytes_of(one: Mended, encoding: str) -> bytes:
    """The row's bytes.

    Raises:
        ValueError: it has none, or they are not what they say.
    """
    if one.raw is not None:
        return one.raw.encode(encoding)
    if one.raw_base64 is None:
        raise ValueError("the row has neither raw nor raw_base64")
    return base64.b64decode(one.raw_base64, validate=True)


class RowReader:
    """Reads single rows of files by a mapping: each behind the head of its own file, where the columns' names are.

    Use as a context manager. A row by itself cannot reach into the next one by a quote that it does not close.

    Args:
        door: what the rows go through.

    Raises:
        UsageError: the mapping is for Parquet, whose rows are no texts.
    """

    def __init__(self, door: Door) -> None:
        spec = door.mapping.spec
        if spec.file.format == "parquet":
            cause = "A row of a Parquet file cannot be mended as text."
            raise UsageError(cause, "Mend the mapping or the file, and retry without a file of rows.")
        plain = msgspec.structs.replace(spec, file=msgspec.structs.replace(spec.file, compression="none"))
        self._door = dataclasses.replace(door, mapping=msgspec.structs.replace(door.mapping, spec=plain))
        self._given = door
        self._heads: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()  # only its owner may read it
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def read(self, one: Mended) -> Row:
        """What becomes of a mended row, at its own line.

        Raises:
            DataError: the head of its file is wanted, and the file is gone.
        """
        path = Path(self._folder.name) / "row"
        try:
            raw = bytes_of(one, self._door.mapping.spec.file.encoding)
        except UnicodeEncodeError as error:
            return Row(one.line, None, Rejection("encoding", str(error)))
        path.write_bytes(self._head(one.origin) + raw + b"\n")
        rows = list(itertools.islice(self._door.read(path), 2))
        if len(rows) != 1:
            return Row(one.line, None, Rejection("malformed", "the mended text is not one row"))
        return msgspec.structs.replace(rows[0], line=one.line)

    def _head(self, origin: str) -> bytes:
        """The lines of a CSV file before its first row."""
        spec = self._given.mapping.spec.file
        if spec.format != "csv":
            return b""
        if origin not in self._heads:
            rows = self._given.read(Path(origin))
            first = next(rows, None)
            rows.close()  # type: ignore[attr-defined]
            self._heads[origin] = _first_lines(Path(origin), first.line - 1 if first else 0, spec)
        return self._heads[origin]


def _first_lines(path: Path, count: int, spec: FileSpec) -> bytes:
    log = LogFile(path, spec.compression, spec.encoding)
    try:
        lines = itertools.islice((line for _, block in log for line in block), count)
        return b"".join((line if isinstance(line, str) else "").encode(spec.encoding) + b"\n" for line in lines)
    finally:
        log.close()
