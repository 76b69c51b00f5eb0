"""A world that is small enough to enumerate, and its events as an observer keeps them. It has the tests' own memory."""

from __future__ import annotations

import collections
import dataclasses
import functools
from typing import Any

import msgspec
import numpy as np

from lambent.simulate import simulate
from lambent.simulate.mess import OMITTABLE
from lambent.simulate.parameters import Activity, Catalogue, Emissions, History, Parameters, Phase, Session, When
from lambent.simulate.rows import Rows
from lambent.simulate.simulation import START, midnight_ms
from lambent.simulate.world import make_world, shop_world

HOUR_MS, DAY_MS, REST_MS = 3_600_000, 86_400_000, 1_801_000
FIRST_MS, DAYS, SHIFT = midnight_ms(START), 12, 6
VIEW, SEARCH, CART, UNCART, FAVOURITE, PURCHASE, REVIEW = 0, 1, 2, 3, 4, 5, 7
NOTHING = -1


def tiny() -> Parameters:
    """Two stages, two types, sessions of four events at most, dwells of milliseconds: small enough to enumerate."""
    shop, replace = shop_world().parameters, msgspec.structs.replace
    types = tuple(
        replace(t, tier=tier, cart_tier=cart, device=device, sessions_per_day=rate, intent=intent)
        for t, tier, cart, device, rate, intent in (
            (shop.types[0], (0.7, 0.3), (1.0, 0.5), (0.8, 0.2), 0.9, (0.5, 0.2, 0.2, 0.1)),
            (shop.types[2], (0.2, 0.8), (1.2, 0.9), (0.3, 0.7), 0.6, (0.3, 0.3, 0.1, 0.3)),
        )
    )
    return replace(
        shop,
        stages=("calm", "keen"),
        types=types,
        activity=Activity((0.6, 0.4), (0.4, 1.0)),
        when=When(12, shop.when.weekday, shop.when.slot[2:], shop.when.weekend),
        history=History((8, 48), shop.history.cart[:4], (20, 90), shop.history.order[:4], shop.history.returns),
        session=Session(3, ((3.0, 2.0), (1.0, 1.0)), (0.5, 0.6, 0.4)),
        phases=tiny_phases(),
        emissions=tiny_emissions(),
        omissions=replace(shop.omissions, dwell_ms=0.3, device=0.3, price=0.3),
        catalogue=Catalogue(2, 6, (60, 190), shop.catalogue.brands, shop.catalogue.categories[:2]),
    )


def tiny_phases() -> dict[str, Phase]:
    decisive = Phase((2.0, 3.0), ((0.0, 2.0, 1.0, 0.0), (1.0, 0.0, 3.0, 0.0)))
    return {
        "browse": Phase((3.0, 1.0), ((0.0, 2.0, 0.0, 1.0), (2.0, 0.0, 0.0, 1.0))),
        "purchase": decisive,
        "consult": Phase((1.0, 1.0), ((0.0, 1.0, 2.0, 0.0), (3.0, 0.0, 1.0, 0.0))),
        "review": Phase((1.0, 4.0), ((0.0, 1.0, 4.0, 0.0), (1.0, 0.0, 1.0, 0.0))),
        "after": Phase((2.0, 1.0), ((0.0, 1.0, 0.0, 2.0), (1.0, 0.0, 0.0, 1.0))),
    }


def tiny_emissions() -> Emissions:
    return Emissions(
        act=((60.0, 15.0, 10.0, 5.0, 10.0), (30.0, 20.0, 30.0, 15.0, 5.0)),
        product=((50.0, 10.0, 5.0, 10.0, 5.0, 20.0), (20.0, 20.0, 20.0, 20.0, 10.0, 10.0)),
        query=((4.0, 3.0, 2.0, 1.0), (1.0, 2.0, 3.0, 4.0)),
        dwell=((3.0, 1.0), (1.0, 3.0), (1.0, 1.0)),
        dwell_ms=(1, 3, 6),
        pause_ms=2,
    )


@functools.cache
def normal(row: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(value / sum(row) for value in row)


def share(k: int, n: int) -> float:
    """P(k) of a popular draw."""
    return ((k + 1) / n) ** 0.5 - (k / n) ** 0.5


def age(thing: tuple[int, int], now_ms: int, bounds: tuple[int, ...]) -> int:
    return 0 if thing[0] == NOTHING else 1 + sum(now_ms - thing[1] >= bound * HOUR_MS for bound in bounds)


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """An event and what its shopper had in mind before it."""

    ms: int
    since: int  # milliseconds from the event before
    type: int
    product: int
    query: int
    dwell: int | None
    device: int | None
    sale: bool | None
    focus: int
    mind: tuple[int, int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Visit:
    """A session and what was known as it began: products and times of cart and order."""

    events: list[Seen]
    rest_ms: int
    cart: tuple[int, int]
    order: tuple[int, int]
    returns: int


@dataclasses.dataclass
class Past:
    """What a shopper's events so far have left behind."""

    last_ms: int = -(10**15)
    last: int = NOTHING
    returns: int = 0
    cart: tuple[int, int] = (NOTHING, 0)
    order: tuple[int, int] = (NOTHING, 0)
    anchor: int = NOTHING
    focus: int = NOTHING
    before: int = NOTHING
    returned: bool = False


def visits(rows: Rows) -> list[Visit]:
    """Sessions of one user, from its rows in time's order."""
    past, result = Past(), []
    for row in rows:
        if row["event_ms"] - past.last_ms > 1_800_000:
            close(past, is_first=not result)
            result.append(Visit([], past.last_ms + REST_MS, past.cart, past.order, past.returns))
        mind = (past.focus, past.before, past.cart[0], past.order[0], past.anchor)
        result[-1].events.append(seen(row, past.last_ms, past.focus, mind))
        product = int(row["about"])
        if product not in (NOTHING, past.focus):
            past.focus, past.before = product, past.focus
        past.returned |= product == past.anchor != NOTHING
        keep(past, row, product)
    return result


def close(past: Past, is_first: bool) -> None:
    past.last = past.last if past.focus == NOTHING else past.focus
    past.returns = past.returns + 1 if past.returned and not is_first else 0
    past.anchor, past.focus, past.before, past.returned = past.last, NOTHING, NOTHING, False


def keep(past: Past, row: Any, product: int) -> None:
    past.last_ms = int(row["event_ms"])
    if row["type"] == CART:
        past.cart = (product, past.last_ms)
    if row["type"] in (UNCART, PURCHASE):
        past.cart = (NOTHING, 0)
    if row["type"] == PURCHASE:
        past.order = (product, past.last_ms)
    if row["type"] == REVIEW:
        past.order = (NOTHING, 0)


def seen(row: Any, before_ms: int, focus: int, mind: tuple[int, ...]) -> Seen:
    def told(name: str) -> bool:
        return not row["omitted"] >> OMITTABLE.index(name) & 1

    return Seen(
        ms=int(row["event_ms"]),
        since=int(row["event_ms"]) - before_ms,
        type=int(row["type"]),
        product=int(row["about"]),
        query=int(row["query"]),
        dwell=int(row["dwell_ms"]) if row["dwell_ms"] >= 0 and told("dwell_ms") else None,
        device=int(row["device"]) if told("device") else None,
        sale=bool(row["sale"]) if row["product"] >= 0 and told("price") else None,
        focus=focus,
        mind=mind,  # type: ignore[arg-type]
    )


def tiny_rows(users: int, seed: int) -> list[Rows]:
    """Events of each user of a tiny world that has some."""
    simulation = simulate(users, DAYS, seed, start=START, world=make_world(tiny()), shift=SHIFT)
    days: list[Rows] = []
    simulation.witness = days.append
    collections.deque(simulation.arrivals(), maxlen=0)
    rows = np.concatenate(days)
    rows = rows[np.lexsort((rows["event_ms"], rows["user"]))]
    return [rows[rows["user"] == user] for user in np.unique(rows["user"])]


def test_every_act_occurs_in_the_tiny_world() -> None:
    rows = np.concatenate(tiny_rows(80, 1))
    assert set(rows["type"].tolist()) == set(range(8))
    assert set(rows["query"][rows["type"] == SEARCH].tolist()) == set(range(16))
