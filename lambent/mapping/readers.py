"""Opens a log and cuts it into lines: decompression, encoding, limits. What cannot be a line is broken, never a crash."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from lambent.errors import DataError, UsageError
from lambent.events import Rejection

MAX_LINE_BYTES = 1 << 20
RAW_BYTES = 4096
CHUNK_BYTES = 1 << 18

_MAGIC = {
    b"\x1f\x8b\x08": "gzip",
    b"BZh": "bz2",  # and what follows: see _sniff
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_BZ2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")  # the first block, or the end of an empty file
_BOM = codecs.BOM_UTF8
OnBytes = Callable[[int], object]


class Broken(NamedTuple):
    """A line that cannot be read: why, and its first bytes."""

    rejection: Rejection
    raw: bytes


Line = str | Broken


def check_path(path: Path) -> None:
    """Refuse what is not a file with something in it.

    Raises:
        DataError: there is no such file, it is a folder or it is empty.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder.", "Give a file in it; one call reads one file.")
    if not path.exists():
        raise DataError(f"{path} does not exist.", "Check the path.")
    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"{path} is empty.", "Leave it out, or fetch it again.")


def open_binary(path: Path) -> IO[bytes]:
    """Open a file for reading.

    Raises:
        DataError: see ``check_path``; or the file cannot be read.
    """
    try:
        check_path(path)
        return path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(path)!r} cannot be read ({reason}).", "Check the path and its permissions.") from error


class LogFile:
    """An open log: iterating yields its lines by blocks, each with the number of its first line.

    Args:
        path: the file.
        compression: as in ``[file]``; ``auto`` goes by the first bytes, and by the name where there are none to go by.
        encoding: a superset of ASCII.
        on_bytes: called about four times a MiB of text, with the number of compressed bytes consumed since its last call.

    Raises:
        DataError: the file is not what it has to be (at once), or its compressed data are damaged (while iterating).
    """

    def __init__(self, path: Path, compression: str, encoding: str, on_bytes: OnBytes | None = None) -> None:
        self.path = path
        self._encoding = encoding
        self._on_bytes = on_bytes
        self._told_bytes = 0
        self._file = open_binary(path)
        try:
            self._kind = _sniff(path, self._file) if compression == "auto" else compression
            self._stream = _decompressor(self._kind, self._file)
            self._first = self._read()
            if not self._first:
                raise DataError(f"{path} is empty.", "Leave it out, or fetch it again.")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; what was not read stays unread."""
        self._file.close()

    def __iter__(self) -> Iterator[tuple[int, list[Line]]]:
        number = 1
        for block in self._blocks():
            lines: list[Line] = [block] if isinstance(block, Broken) else decode_lines(block, self._encoding)
            yield number, lines
            number += len(lines)

    def _read(self) -> bytes:
        try:
            chunk = self._stream.read(CHUNK_BYTES)
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
            raise DataError(
                f"{self.path}: its {self._kind} data cannot be read ({error}).",
                "Fetch the file again, or set [file] compression to what it is.",
            ) from error
        if self._on_bytes is not None and self._file.seekable():
            consumed = self._file.tell()
            self._on_bytes(consumed - self._told_bytes)
            self._told_bytes = consumed
        return bytes(chunk)

    def _blocks(self) -> Iterator[bytes | Broken]:
        """Blocks of whole lines; a line beyond the limit is a block of its own, and is never held in memory."""
        rest, chunk = b"", self._first.removeprefix(_BOM)
        self._first = b""
        while chunk:
            head, newline, tail = chunk.rpartition(b"\n")
            if newline:
                yield from _within_limit(rest + head)
                rest = tail
            else:
                rest += chunk
            chunk = self._read()
            if len(rest) > MAX_LINE_BYTES:
                broken, chunk = self._skip_line(rest, chunk)
                yield broken
                rest = b""
        if rest:
            yield from _within_limit(rest)

    def _skip_line(self, start: bytes, chunk: bytes) -> tuple[Broken, bytes]:
        """Read past the end of a line that is too long; returns what follows it."""
        length = len(start)
        while chunk:
            line, newline, chunk = chunk.partition(b"\n")
            length += len(line)
            if newline:
                return _too_large(start, length), chunk or self._read()
            chunk = self._read()
        return _too_large(start, length), b""


def _within_limit(block: bytes) -> Iterator[bytes | Broken]:
    """Only the first line of a block can be longer than a chunk."""
    if len(block) > MAX_LINE_BYTES:
        line, newline, others = block.partition(b"\n")
        if len(line) > MAX_LINE_BYTES:
            yield _too_large(line, len(line))
            if newline:
                yield others
            return
    yield block


def _too_large(start: bytes, length: int) -> Broken:
    detail = f"the line has {length} bytes; at most {MAX_LINE_BYTES} are taken"
    return Broken(Rejection("too_large", detail), start[:RAW_BYTES])


def decode_lines(block: bytes, encoding: str) -> list[Line]:
    """The lines of a block as text, without their ends; what is not text is broken."""
    try:
        text = block.decode(encoding)
    except UnicodeDecodeError:
        return [_decode_line(line, encoding) for line in block.split(b"\n")]
    if "\0" in text:
        return [_decode_line(line, encoding) for line in block.split(b"\n")]
    if "\r" in text:
        return [line.removesuffix("\r") for line in text.split("\n")]
    return [*text.split("\n")]


def _decode_line(line: bytes, encoding: str) -> Line:
    if b"\0" in line:
        return Broken(Rejection("nul", f"the line has a NUL byte at {line.index(0) + 1}"), line[:RAW_BYTES])
    try:
        return line.decode(encoding).removesuffix("\r")
    except UnicodeDecodeError as error:
        detail = f"byte {error.start + 1} of the line (0x{line[error.start]:02x}) is not {encoding}"
        return Broken(Rejection("encoding", detail), line[:RAW_BYTES])


def _sniff(path: Path, file: IO[bytes]) -> str:
    """The compression of a file: its first bytes say, or else its name (``.lzma`` has no mark of its own)."""
    peek: Callable[[int], bytes] = getattr(file, "peek", lambda size: b"")
    start = peek(16)
    if start.startswith(b"PK\x03\x04"):
        raise DataError(f"{path} is a zip archive.", "Unpack it first: unzip.")
    for magic, kind in _MAGIC.items():
        if start.startswith(magic) and (kind != "bz2" or start[4:10] in _BZ2_BLOCKS):
            return kind
    return "xz" if path.suffix.lower() == ".lzma" else "none"


def _decompressor(kind: str, file: IO[bytes]) -> Any:
    """Something with ``read(size)``."""
    if kind == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    if kind == "bz2":
        return bz2.BZ2File(file)
    if kind == "xz":
        return lzma.LZMAFile(file)
    if kind == "zstd":
        pa = import_pyarrow("zstd")
        return pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    return file


def import_pyarrow(purpose: str) -> Any:
    """The package pyarrow, which only some files need.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise UsageError(
            f"Reading {purpose} needs pyarrow, which is missing.", "pip install 'lambent[batch]'."
        ) from error
    return pyarrow
