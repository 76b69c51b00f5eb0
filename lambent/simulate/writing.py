"""Lines to a file, plain or compressed."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from lambent.errors import DataError
from lambent.progress import Progress

if TYPE_CHECKING:
    from lambent.simulate.rows import Rows
    from lambent.simulate.simulation import Simulation

_GZIP_LEVEL = 1  # the lines repeat themselves so much that more effort saves little


def write(simulation: Simulation, out: str | Path, truth: str | Path | None = None) -> None:
    """Write all lines to ``out``, and the truth of the events to ``truth`` if it is given.

    A file that ends in .gz is compressed, its bytes the same for the same lines. Folders on the way are made.

    Raises:
        DataError: a file cannot be written.
    """
    with contextlib.ExitStack() as files, Progress("simulating", simulation.summary.days, "days") as bar:
        if truth:
            files.callback(setattr, simulation, "witness", None)
            simulation.witness = _truth_writer(simulation, files.enter_context(_writable(truth, "--truth")))
        file = files.enter_context(_writable(out, "--out"))
        for lines in simulation.batches():
            file.write(b"\n".join(lines) + b"\n")
            bar.update(simulation.days_done - bar.done)


def _truth_writer(simulation: Simulation, file: IO[bytes]) -> Callable[[Rows], None]:
    """What writes the truth of a day's events."""
    from lambent.simulate.truth import observer_of, truth_lines

    observer, intents = observer_of(simulation), simulation.world.parameters.intents

    def look(rows: Rows) -> None:
        file.writelines(line + b"\n" for line in truth_lines(observer.observe(rows), intents))

    return look


@contextlib.contextmanager
def _writable(path: str | Path, option: str) -> Iterator[IO[bytes]]:
    """A file to write to; trouble with it is told in words."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with _opened(Path(path)) as file:
            yield file
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}).", f"Give another {option}.") from error


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
