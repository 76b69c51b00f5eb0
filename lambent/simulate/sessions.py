"""The generative model of persons: which sessions there are, what each is about, and the chain of stages within it.

Given the type, a session's intent depends on the hour, the day and ``Memory`` alone, all of which can be observed. Given
the intent, stages follow a semi-Markov chain: a stage lasts a drawn number of events, then leads to another, to the act
that decides, or to the end. An event's act, product, query and dwell depend on the stage; what a new product is, on taste
alone. Hence the posterior of the intent can be computed by a forward pass over (intent, stage, events left): ``posterior``.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from lambent.simulate.catalogue import NOTHING, grid
from lambent.simulate.rows import Day, Rows
from lambent.simulate.shoppers import Memory, Shoppers
from lambent.simulate.steps import Live, step
from lambent.simulate.world import HOUR_MS, SESSION_GAP_MS, Floats, Ints, Mask, World, pick

REST_MS = SESSION_GAP_MS + 1000
"""The least time from the last event of a session to the beginning of the next one."""
_PURCHASE_INTENT = 1


@dataclasses.dataclass(frozen=True)
class Crowd:
    """The shoppers and their past; the past changes as they act."""

    shoppers: Shoppers
    memory: Memory


@dataclasses.dataclass(frozen=True)
class Openings:
    """Beginnings of sessions, each array (n,).

    Attributes:
        user: whose.
        start_ms: when.
        slot: the slot of the day that it was drawn for, which is the one of ``start_ms``.
        weekend: 1 on Saturdays and Sundays, else 0.
        sale: whether prices are low.
        shifted: whether the rates of the intents have shifted.
    """

    user: Ints
    start_ms: Ints
    slot: Ints
    weekend: Ints
    sale: Mask
    shifted: Mask


def run_slot(world: World, crowd: Crowd, day: Day, slot: int, rng: np.random.Generator) -> tuple[list[Rows], Ints]:
    """All sessions that begin in one slot of a day.

    Returns:
        The events, in no order across users but in time's order within each, and the number of sessions by intent.
    """
    user = _visitors(world, crowd.shoppers, day, slot, rng)
    start_ms = _start_ms(world, crowd, day, slot, user, rng)
    openings = _openings(world, day, slot, user, start_ms)
    weights = intent_weights(world, crowd.memory, crowd.shoppers.type[user], openings)
    intent = draw_intents(weights, rng.random(len(user)))
    live = _begin(world, crowd, user, start_ms, intent, rng)
    rows = []
    while len(live):
        rows.append(step(world, crowd.shoppers, crowd.memory, live, rng))
        rows[-1]["sale"] = day.has_sale(world)
        end(world, crowd.memory, live)
    return rows, np.bincount(intent, minlength=len(world.parameters.intents))


def _visitors(world: World, shoppers: Shoppers, day: Day, slot: int, rng: np.random.Generator) -> Ints:
    """Who has a session in the slot, (n,)."""
    factor = np.array(world.parameters.activity.factor)[shoppers.activity]
    probability = world.sessions[shoppers.type, day.weekday, slot] * factor
    return np.flatnonzero((rng.random(len(shoppers)) < probability) & ~shoppers.bot)


def _start_ms(world: World, crowd: Crowd, day: Day, slot: int, user: Ints, rng: np.random.Generator) -> Ints:
    """When the sessions begin: by the hour's weight, but more than the session gap after the last event."""
    row = crowd.shoppers.type[user] * world.slots + slot
    hour = pick(world.hours, row, rng.random(len(user)))
    drawn_ms = day.slot_ms(world, slot) + hour * HOUR_MS + (rng.random(len(user)) * HOUR_MS).astype(np.int64)
    return np.maximum(drawn_ms, crowd.memory.last_ms[user] + REST_MS)


def _openings(world: World, day: Day, slot: int, user: Ints, start_ms: Ints) -> Openings:
    """Sessions of one slot of a day."""
    n = len(user)
    sale, shifted = np.full(n, day.has_sale(world)), np.full(n, day.shifted)
    return Openings(user, start_ms, np.full(n, slot), np.full(n, int(day.weekday >= 5)), sale, shifted)


def intent_weights(world: World, memory: Memory, kind: Ints, openings: Openings) -> Floats:
    """Weights of the intents of sessions that begin, (n, intents), given the type ``kind``, (n,), and the past."""
    when, history, user = world.parameters.when, world.parameters.history, openings.user
    cart = age_row(memory.cart[user], openings.start_ms - memory.cart_ms[user], history.cart_hours)
    order = age_row(memory.order[user], openings.start_ms - memory.order_ms[user], history.order_hours)
    weights: Floats = np.array([t.intent for t in world.parameters.types])[kind]
    weights *= np.array(when.slot)[openings.slot] * np.array(when.weekend)[openings.weekend]
    weights *= np.array(history.cart)[cart] * np.array(history.order)[order]
    weights *= np.array(history.returns)[np.minimum(memory.returns[user], len(history.returns) - 1)]
    weights[:, _PURCHASE_INTENT] *= _price_factor(world, kind, memory.cart[user], openings.sale)
    weights[openings.shifted] *= np.array(world.parameters.shift.intent)
    return weights


def _price_factor(world: World, kind: Ints, cart: Ints, sale: Mask) -> Floats:
    """Factor on a purchase by the price: dear things in the cart hold some types back, a sale draws them; (n,)."""
    types, level = world.parameters.types, grid(world.parameters.catalogue).level(cart)
    by_level: Floats = np.array([t.cart_tier for t in types])[kind, level]
    factor = np.where(cart == NOTHING, 1.0, by_level)
    return np.where(sale, factor * np.array([t.sale for t in types])[kind], factor)


def age_row(product: Ints, age_ms: Ints, bounds_hours: tuple[int, ...]) -> Ints:
    """Row of a table of ages: 0 where there is no product, else 1 + the class of the age; (n,)."""
    bounds_ms = np.array(bounds_hours) * HOUR_MS
    return np.where(product == NOTHING, 0, 1 + np.searchsorted(bounds_ms, age_ms, side="right"))


def draw_intents(weights: Floats, u: Floats) -> Ints:
    """Draw an intent for each row of weights, (n,)."""
    sums = np.cumsum(weights, axis=1)
    chosen: Ints = (u[:, None] * sums[:, -1:] >= sums[:, :-1]).sum(axis=1)
    return chosen


def _begin(world: World, crowd: Crowd, user: Ints, start_ms: Ints, intent: Ints, rng: np.random.Generator) -> Live:
    """Sessions before their first event. The codes of the first phases are those of the intents."""
    n, nothing = len(user), np.full(len(user), NOTHING, dtype=np.int64)
    stage = pick(world.initial, intent, rng.random(n))
    own = rng.random(n) < world.parameters.tastes.own_device
    any_device = pick(world.device, crowd.shoppers.type[user], rng.random(n))
    return Live(
        user=user,
        phase=intent,
        stage=stage,
        left=1 + pick(world.events_in_stage, stage, rng.random(n)),
        events=np.zeros(n, dtype=np.int64),
        clock_ms=start_ms,
        device=np.where(own, crowd.shoppers.device[user], any_device),
        focus=nothing.copy(),
        before=nothing.copy(),
        anchor=crowd.memory.last[user],
        returned=np.zeros(n, dtype=np.bool_),
    )


def end(world: World, memory: Memory, live: Live) -> None:
    """Let go of the sessions that are over, and remember them."""
    over = live.stage > world.stages
    user, focus = live.user[over], live.focus[over]
    memory.last_ms[user] = live.clock_ms[over]
    memory.last[user] = np.where(focus == NOTHING, memory.last[user], focus)
    memory.returns[user] = np.where(live.returned[over], memory.returns[user] + 1, 0)
    live.keep(~over)
