"""Keeps the door's products those of the file, which a batch job replaces now and then."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from lambent.errors import DataError
from lambent.products import read_products
from realtime.collector import Door
from realtime.logs import fields, get_logger

EVERY_S = 5.0
"""How often the file is looked at."""

log = get_logger("known")


class Watch:
    """Reads the file when it has changed.

    Args:
        door: whose products they are.
        path: the file.
    """

    def __init__(self, door: Door, path: Path) -> None:
        self._door, self._path = door, path
        self._seen: tuple[int, int] | None = None

    def look(self) -> None:
        """Once. A file that cannot be read leaves the door what it had, and is said once."""
        seen = self._stamp()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._door.products = read_products(self._path)
        except DataError as error:
            log.error(fields("products-not-readable", reason=error))
            return
        log.info(fields("products-read", version=self._door.products.version, products=len(self._door.products.rows)))

    def _stamp(self) -> tuple[int, int] | None:
        """What changes when the file is replaced; None where there is none."""
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    @contextlib.asynccontextmanager
    async def running(self, _: object = None) -> AsyncIterator[None]:
        """Looks at once, and then again and again beside the requests."""
        await asyncio.to_thread(self.look)
        task = asyncio.create_task(self._again())
        try:
            yield
        finally:
            task.cancel()

    async def _again(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await asyncio.to_thread(self.look)
