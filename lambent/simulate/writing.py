"""Lines to a file, plain or compressed."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from lambent.errors import DataError
from lambent.progress import Progress

if TYPE_CHECKING:
    from lambent.simulate.simulation import Simulation

_GZIP_LEVEL = 1  # the lines repeat themselves so much that more effort saves little


def write(simulation: Simulation, out: str | Path) -> None:
    """Write all lines to ``out``; one that ends in .gz is compressed, its bytes the same for the same lines.

    Folders on the way are made.

    Raises:
        DataError: the file cannot be written.
    """
    try:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        with _opened(Path(out)) as file, Progress("simulating", simulation.summary.days, "days") as bar:
            for lines in simulation.batches():
                file.write(b"\n".join(lines) + b"\n")
                bar.update(simulation.days_done - bar.done)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}).", "Give another --out.") from error


def _opened(path: Path) -> IO[bytes]:
    """The file to write to. The header of a compressed one holds no time and no name, which would differ by run."""
    if path.suffix != ".gz":
        return path.open("wb")
    return cast(IO[bytes], _NamelessGzip(path))


class _NamelessGzip(gzip.GzipFile):
    """Compressed output that closes the file under it."""

    def __init__(self, path: Path) -> None:
        self._raw = path.open("wb")
        super().__init__(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=self._raw, mtime=0)

    def close(self) -> None:
        super().close()
        self._raw.close()
