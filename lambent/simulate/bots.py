"""Visitors that are no persons: hundreds of events at a rate that no person reaches."""

from __future__ import annotations

import numpy as np

from lambent.simulate.catalogue import NOTHING, grid, popular
from lambent.simulate.rows import Day, Rows, make_rows
from lambent.simulate.shoppers import Shoppers, uniform
from lambent.simulate.world import HOUR_MS, SEARCH, VIEW, Ints, World

_FIRST_HOUR, _HOURS = 1, 22  # so that runs of two days lie apart by more than a session's gap
_SEARCHES = 0.1
_DESKTOP = 2


def run_bots(world: World, shoppers: Shoppers, day: Day, rng: np.random.Generator) -> tuple[Rows, int]:
    """A day of all bots: the events, and how many bots ran (one session each)."""
    bots = np.flatnonzero(shoppers.bot)
    bots = bots[rng.random(len(bots)) < world.parameters.bots.active_days]
    low, high = world.parameters.bots.events
    events = low + uniform(rng.random(len(bots)), high - low)
    start_ms = day.start_ms + _FIRST_HOUR * HOUR_MS + uniform(rng.random(len(bots)), _HOURS * HOUR_MS)
    total = int(events.sum())
    act = np.where(rng.random(total) < _SEARCHES, SEARCH, VIEW)
    sizes = grid(world.parameters.catalogue)
    product = popular(rng.random(total), sizes.products)
    rows = make_rows(
        total,
        event_ms=np.repeat(start_ms, events) + _times_ms(world, events, rng),
        user=np.repeat(bots, events),
        type=act,
        device=_DESKTOP,
        product=np.where(act == VIEW, product, NOTHING),
        query=np.where(act == SEARCH, product % (sizes.categories * sizes.brands * 4), NOTHING),
        sale=day.has_sale(world),
    )
    return rows, len(bots)


def _times_ms(world: World, events: Ints, rng: np.random.Generator) -> Ints:
    """Times of the events after each bot's start, milliseconds, (total,)."""
    low_ms, high_ms = world.parameters.bots.gap_ms
    clock_ms = np.cumsum(low_ms + uniform(rng.random(int(events.sum())), high_ms - low_ms))
    before_ms = np.concatenate([[0], clock_ms])[np.cumsum(events) - events]
    return clock_ms - np.repeat(before_ms, events)
