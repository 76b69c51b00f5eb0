"""The slots of all days, numbered on from the first day: when they begin, and how likely visits are in them."""

from __future__ import annotations

import dataclasses

import numpy as np

from lambent.simulate.probabilities import Probabilities
from lambent.simulate.rows import Day
from lambent.simulate.sessions import Openings
from lambent.simulate.world import DAY_MS, HOUR_MS, Floats, Ints, Mask, World


@dataclasses.dataclass(frozen=True)
class Timetable:
    """Slots, (slots,) over all days and the one after the last.

    Attributes:
        first_ms: the first midnight, milliseconds since 1970-01-01 UTC.
        slot_ms: how long a slot is.
        per_day: slots of a day.
        visit: probability of a session by type and activity, (slots, T, A).
        silence: logarithm of the probability of none in all slots before, (slots + 1, T, A).
        weekend, sale, shifted: of the slot's day, (slots,).
    """

    first_ms: int
    slot_ms: int
    per_day: int
    visit: Floats
    silence: Floats
    weekend: Ints
    sale: Mask
    shifted: Mask

    def slot_of(self, time_ms: Ints) -> Ints:
        """Numbers of the slots that times lie in, (n,); negative before the first day."""
        return (time_ms - self.first_ms) // self.slot_ms

    def start_of(self, slot: Ints) -> Ints:
        """When slots begin, (n,)."""
        return self.first_ms + slot * self.slot_ms

    def openings(self, user: Ints, start_ms: Ints, slot: Ints) -> Openings:
        """Sessions that begin then."""
        of_day = slot % self.per_day
        return Openings(user, start_ms, of_day, self.weekend[slot], self.sale[slot], self.shifted[slot])

    def none_between(self, before: Ints, slot: Ints) -> Floats:
        """P(no session in the slots after ``before`` and before ``slot`` | type, activity), (m, T, A).

        0 where ``slot`` is not after ``before``: a slot has one session at most.
        """
        likelihood = np.exp(self.silence[slot] - self.silence[before + 1])
        return np.where((slot > before)[:, None, None], likelihood, 0.0)


def make_timetable(world: World, tables: Probabilities, first_ms: int, days: int, shift: int | None) -> Timetable:
    """The slots of ``days`` days; the rates of the intents shift on day ``shift``, if it is given."""
    calendar = [Day(number, first_ms + number * DAY_MS) for number in range(days + 1)]
    shifted = np.array([shift is not None and day.number >= shift for day in calendar])
    visit = np.concatenate([np.moveaxis(tables.visit[:, :, day.weekday], 2, 0) for day in calendar])
    none = np.log1p(-visit)
    return Timetable(
        first_ms=first_ms,
        slot_ms=world.parameters.when.slot_hours * HOUR_MS,
        per_day=world.slots,
        visit=visit,
        silence=np.concatenate([np.zeros_like(none[:1]), np.cumsum(none, axis=0)]),
        weekend=np.repeat([int(day.weekday >= 5) for day in calendar], world.slots),
        sale=np.repeat([day.has_sale(world) for day in calendar], world.slots),
        shifted=np.repeat(shifted, world.slots),
    )
