"""The parts of the test events that a model is looked at in by itself: who, with what, when, and how far in the session."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lambent.encoding import text_hash
from lambent.features import EMBEDDED
from models.scored import Scored

Array = NDArray[Any]

POSITIONS = (1, 2, 3, 5, 10)
WAY = (0.25, 0.50, 0.75, 1.0)
HOURS = (0, 6, 12, 18, 24)
DEVICES = ("desktop", "phone", "mobile", "tablet", "app")
"""Names that a device's hash is read back to; others go by number."""
MIN_EVENTS = 200
"""A part with fewer says nothing, and is left out."""


class Slice(NamedTuple):
    """A part of the events: its group and name, and which events [n'] it has."""

    group: str
    name: str
    events: Array


def slices(scored: Scored) -> list[Slice]:
    """All parts that are large enough."""
    return [one for one in _slices(scored) if len(one.events) >= MIN_EVENTS]


def _slices(scored: Scored) -> Iterator[Slice]:
    for new in (True, False):
        yield _slice("user", "new" if new else "known", scored.new_user == new)
    for code in np.unique(scored.device):
        yield _slice("device", device_name(int(code)), scored.device == code)
    for low, high in itertools.pairwise(HOURS):
        yield _slice("hour", f"{low:02d}–{high:02d} UTC", (scored.hour >= low) & (scored.hour < high))
    for position in POSITIONS:
        yield _slice("position", str(position), scored.position == position)
    for share in WAY:
        # Of the events before the session decides, so that at the end there is still something to tell.
        at = np.ceil(share * scored.way - 1e-9)
        yield _slice("way", f"{share:.0%}", (scored.position == at) & (scored.way > 0))


def _slice(group: str, name: str, inside: Array) -> Slice:
    return Slice(group, name, np.flatnonzero(inside))


def device_name(code: int) -> str:
    """What a device's id stands for, as far as that is known."""
    if code == 0:
        return "not said"
    rows = EMBEDDED["device"] - 1
    known = [name for name in DEVICES if 1 + text_hash(name) % rows == code]
    return known[0] if len(known) == 1 else f"number {code}"
