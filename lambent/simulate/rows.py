"""Events before they are written: one numpy record each."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.simulate.world import DAY_MS, HOUR_MS, Ints, World

Rows = NDArray[Any]
"""Records of ``ROW``, (n,)."""

ROW = np.dtype(
    [
        ("event_ms", np.int64),
        ("arrival_ms", np.int64),
        ("serial", np.uint64),  # the id, as a number
        ("user", np.int32),
        ("product", np.int32),  # code, or -1: none
        ("about", np.int32),  # the product that the act is of, even where the producer leaves it out; -1: none
        ("query", np.int32),  # code, or -1: none
        ("dwell_ms", np.int32),  # -1: none
        ("type", np.int8),
        ("device", np.int8),
        ("sale", np.bool_),  # the price is a sale's
        ("omitted", np.uint8),  # bits of ``mess.OMITTABLE``
        ("broken", np.int8),  # 0: sound; else 1 + position in ``encode.BREAKERS``
    ]
)


@dataclasses.dataclass(frozen=True)
class Day:
    """One day of the simulation.

    Attributes:
        number: 0 is the first.
        start_ms: its midnight, milliseconds since 1970-01-01 UTC.
        shifted: whether the rates of the intents have shifted.
    """

    number: int
    start_ms: int
    shifted: bool = False

    @property
    def end_ms(self) -> int:
        """The next midnight."""
        return self.start_ms + DAY_MS

    @property
    def weekday(self) -> int:
        """0 is Monday (1970-01-01 was a Thursday)."""
        return (self.start_ms // DAY_MS + 3) % 7

    def slot_ms(self, world: World, slot: int) -> int:
        """Start of a slot of the day, milliseconds since 1970-01-01 UTC."""
        return self.start_ms + slot * world.parameters.when.slot_hours * HOUR_MS

    def has_sale(self, world: World) -> bool:
        """Whether prices are low."""
        sale = world.parameters.sale
        return (self.number - sale.first_day) % sale.every_days < sale.days


def make_rows(n: int, **columns: Ints | int | bool) -> Rows:
    """Records with the given columns, the others 0; those that say "none" with -1 have that."""
    rows = np.zeros(n, dtype=ROW)
    for name in ("product", "about", "query", "dwell_ms"):
        rows[name] = -1
    for name, values in columns.items():
        rows[name] = values
    return rows
