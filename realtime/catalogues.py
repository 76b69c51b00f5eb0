"""Catalogues that control entries have named, loaded whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from lambent.catalogue import Catalogue, read_catalogue
from lambent.control import CatalogueEntry
from realtime.logs import fields, get_logger

log = get_logger("catalogues")

LoadCatalogue = Callable[[CatalogueEntry], Catalogue]


def load_catalogue(entry: CatalogueEntry) -> Catalogue:
    """The catalogue of a control entry.

    Raises:
        DataError: see ``read_catalogue``.
    """
    return read_catalogue(Path(entry.path), entry.sha256)


class Catalogues:
    """Loaded catalogues.

    Args:
        load: loads one.
    """

    def __init__(self, load: LoadCatalogue = load_catalogue) -> None:
        self.failures = 0
        self._load = load
        self._loaded: dict[CatalogueEntry, Catalogue | None] = {}

    def get(self, entry: CatalogueEntry) -> Catalogue | None:
        """The catalogue of an entry, loaded at first use; None where it cannot be loaded, which is tried once."""
        if entry not in self._loaded:
            self._loaded[entry] = self._try(entry)
        return self._loaded[entry]

    def _try(self, entry: CatalogueEntry) -> Catalogue | None:
        try:
            catalogue = self._load(entry)
        except Exception as error:  # whatever is wrong with a file, events go on being answered
            self.failures += 1
            log.error(fields("catalogue-not-loadable", day=entry.day, reason=error))
            return None
        log.info(fields("catalogue-loaded", day=entry.day))
        return catalogue

    def keep(self, wanted: Iterable[CatalogueEntry | None]) -> None:
        """Forget those that no partition shows any more."""
        kept = set(wanted)
        self._loaded = {entry: one for entry, one in self._loaded.items() if entry in kept}
