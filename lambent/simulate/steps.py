"""One event of every session under way: what it shows, then where the session goes."""

from __future__ import annotations

import dataclasses

import numpy as np

from lambent.simulate.catalogue import NOTHING, grid, popular
from lambent.simulate.rows import Rows, make_rows
from lambent.simulate.shoppers import Memory, Shoppers, uniform
from lambent.simulate.world import (
    AFTER,
    CART,
    CONSULT,
    FAVOURITE,
    PURCHASE,
    REVIEW,
    SEARCH,
    UNCART,
    VIEW,
    Floats,
    Ints,
    Mask,
    World,
    pick,
)

_ACT_OF_PHASE = np.array([VIEW, PURCHASE, CONSULT, REVIEW, VIEW])
QUERY_KINDS = 4


@dataclasses.dataclass
class Live:
    """Sessions under way, each array (n,). No user has two.

    Attributes:
        user: number of the shopper.
        phase: the intent, or ``AFTER`` once the act that decides is done.
        stage: where the chain is; S at the act that decides, S + 1 at the end.
        left: events that the stage still has.
        events: how many there were.
        clock_ms: time of the newest event.
        device: code.
        focus, before: the newest two different products.
        anchor: the product in focus when the session before ended.
        returned: whether this session came back to ``anchor``.
    """

    user: Ints
    phase: Ints
    stage: Ints
    left: Ints
    events: Ints
    clock_ms: Ints
    device: Ints
    focus: Ints
    before: Ints
    anchor: Ints
    returned: Mask

    def __len__(self) -> int:
        return len(self.user)

    def keep(self, mask: Mask) -> None:
        """Let go of the sessions outside the mask."""
        if not mask.all():
            for field in dataclasses.fields(self):
                setattr(self, field.name, getattr(self, field.name)[mask])


def step(world: World, shoppers: Shoppers, memory: Memory, live: Live, rng: np.random.Generator) -> Rows:
    """One event of each session; moves the sessions on and keeps the memory."""
    n, stage = len(live), np.minimum(live.stage, world.stages - 1)
    dwell_ms = _pass_time(world, live, rng)
    act = _acts(world, memory, live, stage, rng)
    category = _categories(world, shoppers, live.user, rng)
    product = _products(world, shoppers, memory, live, (stage, act, category), rng)
    query = _queries(world, shoppers.brand[live.user], stage, category, rng)
    look_at(live, product)
    remember(memory, live, act, product)
    vague = (act == CONSULT) & (rng.random(n) < world.parameters.omissions.consult_product)
    rows = make_rows(
        n,
        event_ms=live.clock_ms,
        user=live.user,
        type=act,
        device=live.device,
        product=np.where(vague, NOTHING, product),
        about=product,
        query=np.where(act == SEARCH, query, NOTHING),
        dwell_ms=np.where(act == VIEW, dwell_ms, -1),
    )
    _move(world, live, stage, rng)
    return rows


def _pass_time(world: World, live: Live, rng: np.random.Generator) -> Ints:
    """Move the clocks to the event; returns the dwell before it, milliseconds, (n,)."""
    emissions = world.parameters.emissions
    bounds_ms = np.array(emissions.dwell_ms)
    kind = pick(world.dwell, live.stage, rng.random(len(live)))
    dwell_ms: Ints = bounds_ms[kind] + (rng.random(len(live)) * (bounds_ms[kind + 1] - bounds_ms[kind])).astype(
        np.int64
    )
    live.clock_ms = live.clock_ms + dwell_ms + uniform(rng.random(len(live)), emissions.pause_ms)
    return dwell_ms


def _acts(world: World, memory: Memory, live: Live, stage: Ints, rng: np.random.Generator) -> Ints:
    """Types of the events, (n,). An act that has no object becomes a view."""
    act = pick(world.act, stage, rng.random(len(live)))
    cart = memory.cart[live.user]
    idle = ((act == CART) | (act == FAVOURITE)) & (live.focus == NOTHING)
    idle |= (act == CART) & (live.focus == cart)
    idle |= (act == UNCART) & (cart == NOTHING)
    act = np.where(idle, VIEW, act)
    return np.where(live.stage == world.stages, _ACT_OF_PHASE[live.phase], act)


def _categories(world: World, shoppers: Shoppers, user: Ints, rng: np.random.Generator) -> Ints:
    """A category for each by taste, (n,)."""
    own = rng.random(len(user)) < world.parameters.tastes.own_category
    other = popular(rng.random(len(user)), grid(world.parameters.catalogue).categories)
    return np.where(own, shoppers.category[user], other)


def _products(
    world: World,
    shoppers: Shoppers,
    memory: Memory,
    live: Live,
    seen: tuple[Ints, Ints, Ints],
    rng: np.random.Generator,
) -> Ints:
    """Which product each event is of, (n,). ``seen`` is stage, act and category."""
    stage, act, category = seen
    focus, cart, order = live.focus, memory.cart[live.user], memory.order[live.user]
    in_mind = (focus, live.before, cart, order, live.anchor)
    new = _new_products(world, shoppers, live.user, category, in_mind, rng)
    viewed = np.choose(pick(world.product, stage, rng.random(len(live))), (new, *in_mind))
    product = np.where(act == VIEW, viewed, focus)
    product = np.where(act == UNCART, cart, product)
    product = np.where((act == PURCHASE) & (cart != NOTHING), cart, product)
    product = np.where((act == REVIEW) & (order != NOTHING), order, product)
    product = np.where(product == NOTHING, new, product)
    return np.where(act == SEARCH, NOTHING, product)


def _new_products(
    world: World, shoppers: Shoppers, user: Ints, category: Ints, in_mind: tuple[Ints, ...], rng: np.random.Generator
) -> Ints:
    """Products by taste that are none of those in mind, so that "new" can be told from "again"; (n,)."""
    n, sizes = len(user), grid(world.parameters.catalogue)
    level = pick(world.tier, shoppers.type[user], rng.random(n))
    own = rng.random(n) < world.parameters.tastes.own_brand
    brand = np.where(own, shoppers.brand[user], popular(rng.random(n), sizes.brands))
    product = sizes.code(category, level, brand, popular(rng.random(n), sizes.ranks))
    for _ in in_mind:
        taken = np.logical_or.reduce([product == other for other in in_mind])
        if not taken.any():
            break
        product = np.where(taken, sizes.neighbour(product), product)
    return product


def _queries(world: World, brand: Ints, stage: Ints, category: Ints, rng: np.random.Generator) -> Ints:
    """Codes of queries, (n,): see ``catalogue.queries``."""
    kind = pick(world.query, stage, rng.random(len(stage)))
    return (category * grid(world.parameters.catalogue).brands + brand) * QUERY_KINDS + kind


def look_at(live: Live, product: Ints) -> None:
    """Move the focus to the event's product."""
    moved = (product != NOTHING) & (product != live.focus)
    live.before = np.where(moved, live.focus, live.before)
    live.focus = np.where(moved, product, live.focus)
    live.returned = live.returned | ((product == live.anchor) & (product != NOTHING))
    live.events = live.events + 1


def remember(memory: Memory, live: Live, act: Ints, product: Ints) -> None:
    """Keep what carts and orders hold."""
    put, bought = act == CART, act == PURCHASE
    memory.cart[live.user[put]] = product[put]
    memory.cart_ms[live.user[put]] = live.clock_ms[put]
    memory.cart[live.user[(act == UNCART) | bought]] = NOTHING
    memory.order[live.user[bought]] = product[bought]
    memory.order_ms[live.user[bought]] = live.clock_ms[bought]
    memory.order[live.user[act == REVIEW]] = NOTHING


def _move(world: World, live: Live, stage: Ints, rng: np.random.Generator) -> None:
    """To the next event's stage. ``stage`` is the present one, S - 1 where the act that decides was done."""
    n, s = len(live), world.stages
    acted, long = live.stage == s, live.events >= world.parameters.session.max_events
    live.left = live.left - 1
    following = pick(world.next_stage, live.phase * s + stage, rng.random(n))
    decisive = (live.phase > 0) & (live.phase < AFTER)
    following = np.where(long, np.where(decisive, s, s + 1), following)
    afterwards = np.where(
        _goes_on(world, live.phase, rng.random(n)) & ~long, pick(world.initial, AFTER, rng.random(n)), s + 1
    )
    moved = acted | long | (live.left == 0)
    live.stage = np.where(acted, afterwards, np.where(moved, following, live.stage))
    live.phase = np.where(acted, AFTER, live.phase)
    drawn = 1 + pick(world.events_in_stage, np.minimum(live.stage, s - 1), rng.random(n))
    live.left = np.where(moved, drawn, live.left)


def _goes_on(world: World, phase: Ints, u: Floats) -> Mask:
    """Whether something follows the act that decides, (n,)."""
    probability = np.array([0.0, *world.parameters.session.goes_on_after, 0.0])
    return u < probability[phase]
