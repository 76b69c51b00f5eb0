"""What happens to events on the way: fields left out, late ones, copies, broken ones. The model knows nothing of it."""

from __future__ import annotations

import dataclasses

import numpy as np

from lambent.simulate.encode import BREAKERS
from lambent.simulate.rows import Rows
from lambent.simulate.shoppers import uniform
from lambent.simulate.world import Ints, World, cumulative, pick

OMITTABLE = ("id", "category", "brand", "price", "dwell_ms", "device")
"""Fields that a producer may leave out; a field's bit in ``omitted`` is its position."""


@dataclasses.dataclass(frozen=True)
class Sent:
    """What was sent: the rows, in no order, and how many of them are late, copies, broken."""

    rows: Rows
    late: int
    duplicates: int
    broken: int


def send(world: World, rows: Rows, rng: np.random.Generator) -> Sent:
    """Give events their arrival, and add copies and broken attempts. A broken attempt comes besides its event."""
    mess = world.parameters.mess
    rows["omitted"] = _omissions(world, len(rows), rng)
    late = np.flatnonzero(rng.random(len(rows)) < mess.late)
    rows["arrival_ms"] = rows["event_ms"]
    rows["arrival_ms"][late] += _delay_ms(world, len(late), rng)
    copies = rows[rng.random(len(rows)) < mess.duplicate]
    low_s, high_s = mess.duplicate_seconds
    copies["arrival_ms"] += 1000 * low_s + uniform(rng.random(len(copies)), 1000 * (high_s - low_s))
    broken = rows[rng.random(len(rows)) < mess.broken]
    broken["broken"] = 1 + uniform(rng.random(len(broken)), len(BREAKERS))
    return Sent(np.concatenate([broken, rows, copies]), len(late), len(copies), len(broken))


def _omissions(world: World, n: int, rng: np.random.Generator) -> Ints:
    """Bits of the fields that are left out, (n,)."""
    bits = np.zeros(n, dtype=np.int64)
    for position, name in enumerate(OMITTABLE):
        probability: float = getattr(world.parameters.omissions, name)
        bits |= (rng.random(n) < probability).astype(np.int64) << position
    return bits


def _delay_ms(world: World, n: int, rng: np.random.Generator) -> Ints:
    """How late late events come, milliseconds, (n,)."""
    mess = world.parameters.mess
    bounds_ms = np.array(mess.late_minutes) * 60_000
    kind = pick(cumulative([mess.late_weight]), 0, rng.random(n))
    return bounds_ms[kind] + (rng.random(n) * (bounds_ms[kind + 1] - bounds_ms[kind])).astype(np.int64)
