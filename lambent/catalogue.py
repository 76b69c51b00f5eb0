"""The catalogue: what is known of each product and category from all shoppers, by the hash of its name.

A worker loads it whole. A control entry says from where in the log it counts, so that training can see the same.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lambent.errors import DataError

STEPS = (("view", "cart"), ("cart", "purchase"), ("view", "purchase"))
"""Event types between which a rate is told: of the visits with the first, the share that had the second too."""
SHOWN = (*("_".join(step) for step in STEPS), "popularity_log")
"""What is known of a product or category and shown as it is, in order."""
VALUES = (*SHOWN, "usual_price_log")
"""All that is known, in order; last a price, which is shown beside the event's. NaN where nobody has seen one."""
KINDS = ("product", "category")
"""What rows are of, in the order of their codes; also the fields of an event by which they are found."""

ROW_DTYPE = np.dtype([("kind", "u1"), ("hash", "u4"), ("values", "f4", (len(VALUES),))])

Rows = NDArray[np.void]
"""A structured array of ``ROW_DTYPE``, ascending by kind and hash."""


class Catalogue:
    """What is known, to be looked up.

    Args:
        rows: [n]; they are put in order here.
    """

    def __init__(self, rows: Rows) -> None:
        rows = np.sort(rows, order=["kind", "hash"])
        of_kind = [rows[rows["kind"] == code] for code in range(len(KINDS))]
        # Copies of the columns: a search in a field of records would make one each time.
        self._of_kind = [(one["hash"].copy(), one["values"].copy()) for one in of_kind]

    def look_up(self, kind: str, hashes: NDArray[np.uint32]) -> NDArray[np.float32]:
        """[n, values] what is known of each hash (``encoding.text_hash``); NaN where nothing is, as of 0, the missing one.

        Args:
            kind: of ``KINDS``.
            hashes: [n].
        """
        found = np.full((len(hashes), len(VALUES)), np.nan, np.float32)
        self._look_up(kind, hashes, found)
        return found

    def _look_up(self, kind: str, hashes: NDArray[np.uint32], found: NDArray[np.float32]) -> None:
        from lambent import compiled  # what only declares features needs no compiler

        compiled.look_up(*self._of_kind[KINDS.index(kind)], hashes, found)

    def known(self, product: NDArray[np.uint32], category: NDArray[np.uint32]) -> NDArray[np.float32]:
        """[n, kinds * values] what is known of each event's product, then of its category; NaN where nothing is."""
        found = np.full((len(product), len(KINDS) * len(VALUES)), np.nan, np.float32)
        self._look_up("product", product, found[:, : len(VALUES)])
        self._look_up("category", category, found[:, len(VALUES) :])
        return found


def write_catalogue(folder: Path, day: str, rows: Rows) -> tuple[Path, str]:
    """Write a catalogue beside the earlier ones; equal rows give an equal file, which is left as it is.

    Args:
        folder: where to.
        day: at whose start it was so, ``YYYY-MM-DD``.
        rows: [n].

    Returns:
        The file, and its sha256 in hex.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{day}.draft"
    with draft.open("wb") as file:
        np.save(file, np.sort(rows, order=["kind", "hash"]), allow_pickle=False)
    sha256 = hashlib.sha256(draft.read_bytes()).hexdigest()
    path = folder / f"{day}-{sha256[:16]}.npy"
    draft.replace(path)
    return path, sha256


def read_catalogue(path: Path, sha256: str) -> Catalogue:
    """A catalogue whose file is the one that was named.

    Raises:
        DataError: it is missing, altered, or none of these.
    """
    try:
        if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            raise DataError(f"{path}: not the bytes that were announced.", "Publish again: lambent batch catalogue.")
        with path.open("rb") as file:
            rows = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}).", "Publish again: lambent batch catalogue.") from error
    if rows.dtype != ROW_DTYPE:
        cause = f"{path} holds {rows.dtype}; this version reads {ROW_DTYPE}."
        raise DataError(cause, "Publish again: lambent batch catalogue.")
    return Catalogue(rows)
