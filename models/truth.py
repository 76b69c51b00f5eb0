"""The exact posterior of a simulated shop's events (``lambent simulate --truth``), found for the events of a split.

Sessions are the same in both, so that a session is found by its user and its first event's time.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lambent.errors import DataError
from lambent.keys import pseudonym
from models.scored import Scored

Array = NDArray[Any]


class Line(msgspec.Struct):
    """What a line says."""

    user: str
    event_ms: int
    session: int
    intent: dict[str, float]


class Truth:
    """The lines of a file.

    Args:
        path: JSON lines; compressed if it ends with ``.gz``.
        key: makes pseudonyms of raw ids, as at ingest.
        intents: K names, in the order that is wanted.

    Raises:
        DataError: it cannot be read, or is of other intents.
    """

    def __init__(self, path: Path, key: bytes, intents: Sequence[str]) -> None:
        opened = gzip.open if path.suffix == ".gz" else open
        decoder, codes = msgspec.json.Decoder(Line), dict[str, int]()
        rows, said = list[tuple[int, int, int]](), list[list[float]]()
        try:
            with opened(path, "rb") as file:
                for line in file:
                    one = decoder.decode(line)
                    rows.append((codes.setdefault(one.user, len(codes)), one.session, one.event_ms))
                    said.append([one.intent[name] for name in intents])
        except (OSError, msgspec.MsgspecError) as error:
            raise DataError(
                f"{path}: no truth of a simulation ({error}).", "Make it: lambent simulate --truth."
            ) from error
        except KeyError as error:
            raise DataError(f"{path}: says nothing of the intent {error}.", "Use the shipped taxonomy.") from error
        columns = np.array(rows, np.int64).reshape(-1, 3)
        order = np.lexsort((columns[:, 2], columns[:, 1], columns[:, 0]))
        user, session, event_ms = columns[order].T
        self._said = np.array(said, np.float64).reshape(-1, len(intents))[order]
        first = np.flatnonzero(np.r_[True, (np.diff(user) != 0) | (np.diff(session) != 0)]) if len(user) else order
        length = np.diff(np.r_[first, len(user)])
        names = [pseudonym(raw, key) for raw in codes]
        owners = [names[code] for code in user[first].tolist()]
        keys = zip(owners, event_ms[first].tolist(), strict=True)
        self._sessions = dict(zip(keys, zip(first.tolist(), length.tolist(), strict=True), strict=True))

    def of(self, scored: Scored) -> Array:
        """[n, K] of the events of a split; NaN where their session is not in the file, or not as long."""
        result = np.full((len(scored.labels), self._said.shape[1]), np.nan)
        begins = np.cumsum(scored.length) - scored.length
        keys = zip(scored.owner.tolist(), scored.start_ms.tolist(), strict=True)
        for key, begin, length in zip(keys, begins.tolist(), scored.length.tolist(), strict=True):
            first, known = self._sessions.get(key, (0, 0))
            if known == length:
                result[begin : begin + length] = self._said[first : first + length]
        return result
