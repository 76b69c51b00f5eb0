"""The truth against an enumeration of everything that is hidden, in tiny worlds; it shares no table with the code."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import math

import numpy as np
import pytest

from lambent.simulate.parameters import Parameters
from lambent.simulate.posterior import Observer
from lambent.simulate.rows import Rows
from lambent.simulate.world import make_world
from tests.unit.test_simulate_tiny_world import (
    CART,
    DAY_MS,
    DAYS,
    FAVOURITE,
    FIRST_MS,
    HOUR_MS,
    NOTHING,
    PURCHASE,
    REST_MS,
    REVIEW,
    SEARCH,
    SHIFT,
    UNCART,
    VIEW,
    Seen,
    Visit,
    age,
    normal,
    share,
    tiny,
    tiny_rows,
    visits,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Kind:
    """What is hidden of a shopper."""

    type: int
    activity: int
    device: int
    category: int
    brand: int


class Enumeration:
    """Walks through every hidden course of events; ``joint[t][label]`` adds up the probability of all up to event t."""

    def __init__(self, p: Parameters, sessions: list[Visit]) -> None:
        self.p, self.sessions = p, sessions
        self.joint: list[list[float]] = [[0.0] * 4 for visit in sessions for _ in visit.events]
        self.emitted = functools.cache(self._emitted)
        for kind in itertools.starmap(Kind, itertools.product(range(2), range(2), range(2), range(2), range(2))):
            self.walk(kind)

    def walk(self, kind: Kind) -> None:
        own = self.p.types[kind.type]
        weight = (
            normal(tuple(t.weight for t in self.p.types))[kind.type] * normal(self.p.activity.weight)[kind.activity]
        )
        by_slot, first = {-1: weight * normal(own.device)[kind.device] / 4}, 0
        for visit in self.sessions:
            by_slot = self.session(kind, visit, by_slot, first)
            first += len(visit.events)

    def session(self, kind: Kind, visit: Visit, before: dict[int, float], first: int) -> dict[int, float]:
        after: dict[int, float] = collections.defaultdict(float)
        for start_ms in range(visit.events[0].ms - 6, visit.events[0].ms):
            slot = (start_ms - FIRST_MS) // (DAY_MS // 2)
            come = sum(w * self.comes(kind, old, slot) for old, w in before.items() if old < slot)
            come *= self.drawn(kind, slot, start_ms, visit.rest_ms)
            if come:
                intents = self.intents(kind, visit, slot, start_ms)
                for intent, device in itertools.product(range(4), range(2)):
                    weight = come * intents[intent] * self.device(kind, device)
                    after[slot] += self.stages(kind, visit, (intent, device, slot, start_ms), weight, first)
        return after

    def comes(self, kind: Kind, old: int, slot: int) -> float:
        chances = [self.chance(kind, number) for number in range(old + 1, slot + 1)]
        return math.prod(1 - chance for chance in chances[:-1]) * chances[-1]

    def chance(self, kind: Kind, slot: int) -> float:
        own, day = self.p.types[kind.type], slot // 2
        hours = normal(self.p.rhythms[own.rhythm])[slot % 2 * 12 :][:12]
        weekday = self.p.when.weekday[(FIRST_MS // DAY_MS + day + 3) % 7]
        return own.sessions_per_day * weekday * sum(hours) * self.p.activity.factor[kind.activity]

    def drawn(self, kind: Kind, slot: int, start_ms: int, rest_ms: int) -> float:
        """P(the session starts then): drawn for a millisecond of an hour, but moved if that is too early."""
        hours = normal(self.p.rhythms[self.p.types[kind.type].rhythm][slot % 2 * 12 :][:12])
        since = start_ms - FIRST_MS - slot * DAY_MS // 2
        if start_ms > rest_ms:
            return hours[since // HOUR_MS] / HOUR_MS
        if start_ms < rest_ms:
            return 0.0
        return sum(hours[: since // HOUR_MS]) + hours[since // HOUR_MS] * (since % HOUR_MS + 1) / HOUR_MS

    def intents(self, kind: Kind, visit: Visit, slot: int, start_ms: int) -> tuple[float, ...]:
        own, day, h = self.p.types[kind.type], slot // 2, self.p.history
        rows = [
            own.intent,
            self.p.when.slot[slot % 2],
            self.p.when.weekend[(FIRST_MS // DAY_MS + day + 3) % 7 >= 5],
            h.cart[age(visit.cart, start_ms, h.cart_hours)],
            h.order[age(visit.order, start_ms, h.order_hours)],
            h.returns[min(visit.returns, 3)],
            self.p.shift.intent if day >= SHIFT else (1.0,) * 4,
        ]
        weights = [math.prod(column) for column in zip(*rows, strict=True)]
        weights[1] *= own.sale if self.sale(slot) else 1.0
        weights[1] *= own.cart_tier[visit.cart[0] // 12 % 2] if visit.cart[0] != NOTHING else 1.0
        return normal(tuple(weights))

    def sale(self, slot: int) -> bool:
        sale = self.p.sale
        return (slot // 2 - sale.first_day) % sale.every_days < sale.days

    def device(self, kind: Kind, device: int) -> float:
        own = self.p.tastes.own_device
        return own * (device == kind.device) + (1 - own) * normal(self.p.types[kind.type].device)[device]

    def stages(self, kind: Kind, visit: Visit, start: tuple[int, int, int, int], weight: float, first: int) -> float:
        """All chains of stages: adds to ``joint``, returns the probability that the session is over after its events."""
        intent, device, slot, start_ms = start
        s, names = self.p.session, (*self.p.intents, "after")

        def enter(at: int, phase: int, chances: tuple[float, ...], weight: float) -> float:
            ended = chances[3] * weight if len(chances) == 4 and at == len(visit.events) else 0.0
            if at == len(visit.events) or not weight:
                return ended
            act = event(at, phase, None, 0, weight * chances[2]) if len(chances) == 4 else 0.0
            lengths = [
                event(at, phase, stage, left, weight * chances[stage] * chance)
                for stage in range(2)
                for left, chance in enumerate(normal(s.events_in_stage[stage]))
            ]
            return act + sum(lengths)

        def event(at: int, phase: int, stage: int | None, left: int, weight: float) -> float:
            now = visit.events[at]
            since = now.ms - start_ms if at == 0 else now.since
            weight *= self.emitted(kind, now, since, 2 if stage is None else stage, phase) if weight else 0.0
            if not weight or now.device not in (None, device) or now.sale not in (None, self.sale(slot)):
                return 0.0
            label = 0 if stage is None or phase == 4 else intent
            self.joint[first + at][label] += weight
            return move(at + 1, phase, stage, left, weight)

        def move(at: int, phase: int, stage: int | None, left: int, weight: float) -> float:
            if stage is None:
                goes = s.goes_on_after[intent - 1] if at < s.max_events else 0.0
                stays = enter(at, 4, normal(self.p.phases["after"].initial), weight * goes)
                return stays + (weight * (1 - goes) if at == len(visit.events) else 0.0)
            if at >= s.max_events:
                forced = (0.0, 0.0, 1.0, 0.0) if phase in (1, 2, 3) else (0.0, 0.0, 0.0, 1.0)
                return enter(at, phase, forced, weight)
            if left:
                return event(at, phase, stage, left - 1, weight) if at < len(visit.events) else 0.0
            return enter(at, phase, normal(self.p.phases[names[phase]].next[stage]), weight)

        return enter(0, intent, normal(self.p.phases[names[intent]].initial), weight)

    def _emitted(self, kind: Kind, now: Seen, since: int, stage: int, phase: int) -> float:
        """P(an event | stage), 2 the act that decides; ``since`` is the time before it."""
        e = self.p.emissions
        if (now.type >= PURCHASE) != (stage == 2) or (stage == 2 and now.type != 4 + phase):
            return 0.0
        time = 0.0
        for k, chance in enumerate(normal(e.dwell[stage])):
            for dwell, pause in itertools.product(range(e.dwell_ms[k], e.dwell_ms[k + 1]), range(e.pause_ms)):
                if dwell + pause == since and now.dwell in (None, dwell):
                    time += chance / (e.dwell_ms[k + 1] - e.dwell_ms[k]) / e.pause_ms
        if stage == 2:
            wanted = {PURCHASE: now.mind[2], REVIEW: now.mind[3]}.get(now.type, NOTHING)
            wanted = now.focus if wanted == NOTHING else wanted
            return time * (float(now.product == wanted) if wanted != NOTHING else self.new(kind, now))
        acts = enumerate(normal(e.act[stage]))
        return time * sum(chance * self.shown(kind, now, stage, self.done(now, act)) for act, chance in acts)

    def done(self, now: Seen, act: int) -> int:
        """What becomes of an act that was drawn."""
        cart = now.mind[2]
        idle = (act == CART and now.focus in (NOTHING, cart)) or (act == FAVOURITE and now.focus == NOTHING)
        return VIEW if idle or (act == UNCART and cart == NOTHING) else act

    def shown(self, kind: Kind, now: Seen, stage: int, act: int) -> float:
        if act != now.type:
            return 0.0
        if act == SEARCH:
            return self.searched(kind, now, stage)
        if act != VIEW:
            return float(now.product == (now.mind[2] if act == UNCART else now.focus))
        total = 0.0
        for choice, chance in enumerate(normal(self.p.emissions.product[stage])):
            product = NOTHING if choice == 0 else now.mind[choice - 1]
            total += chance * (self.new(kind, now) if product == NOTHING else product == now.product)
        return total

    def searched(self, kind: Kind, now: Seen, stage: int) -> float:
        rest, text = divmod(now.query, 4)
        category, brand = divmod(rest, 2)
        brand_fits = text != 1 or brand == kind.brand  # the other texts name none
        return normal(self.p.emissions.query[stage])[text] * self.category(kind, category) * brand_fits

    def category(self, kind: Kind, category: int) -> float:
        own = self.p.tastes.own_category
        return own * (category == kind.category) + (1 - own) * share(category, 2)

    def new(self, kind: Kind, now: Seen) -> float:
        """P(a new product)."""
        rest, rank = divmod(now.product, 6)
        rest, brand = divmod(rest, 2)
        category, level = divmod(rest, 2)
        own, ranks = self.p.tastes.own_brand, rank_chance(now.product, rank, now.mind)
        tier = normal(self.p.types[kind.type].tier)[level]
        return (
            self.category(kind, category) * tier * ranks * (own * (brand == kind.brand) + (1 - own) * share(brand, 2))
        )


@functools.cache
def rank_chance(product: int, rank: int, mind: tuple[int, ...]) -> float:
    """P(the rank of a new product): a draw moves on while the product is one in mind."""
    moved = (next(k % 6 for k in range(drawn, drawn + 6) if product - rank + k % 6 not in mind) for drawn in range(6))
    return sum(share(drawn, 6) for drawn, arrived in enumerate(moved) if arrived == rank)


def compare(rows: Rows) -> bool:
    """The truth of one user's events is that of the enumeration. False: the events are impossible."""
    rows = rows.copy()
    rows["user"] = 0
    joint = np.array(Enumeration(tiny(), visits(rows)).joint)
    if not joint.sum(axis=1).all():
        return False
    truth = Observer(make_world(tiny()), 1, FIRST_MS, DAYS, SHIFT).observe(rows)
    np.testing.assert_allclose(truth.intent, joint / joint.sum(axis=1, keepdims=True), rtol=0, atol=1e-10)
    return True


@pytest.mark.parametrize("seed", range(8))
def test_the_truth_is_that_of_an_enumeration(seed: int) -> None:
    assert compare(max(tiny_rows(12, seed), key=len)[:14])


def moved(rows: Rows, session: int, to_ms: int) -> Rows:
    """The first event of a session at ``to_ms``, prices those of its day; with the next session, if that is late enough."""
    opens = [*(np.flatnonzero(np.diff(rows["event_ms"], prepend=-(10**15)) > 1_800_000)), len(rows), len(rows)]
    first, following, last = (int(opens[session + n]) for n in range(3))
    rows = rows[:last].copy()
    rows["event_ms"][first:following] += to_ms - rows["event_ms"][first]
    day = (rows["event_ms"][first:following] - FIRST_MS) // DAY_MS
    rows["sale"][first:following] = (day - 4) % 10 < 2
    if following < last and rows["event_ms"][following] < rows["event_ms"][following - 1] + REST_MS + 8:
        return rows[:following]
    return rows


def doubtful_times(rows: Rows) -> list[int]:
    """Moments for the third session about which it is not sure when it began, or what that changes."""
    second = visits(rows)[1].events
    last_ms = second[-1].ms
    half = (last_ms - FIRST_MS) // (DAY_MS // 2) + 1
    boundaries = [FIRST_MS + n * DAY_MS // 2 for n in (half, half + 1)]
    carts = [event.ms + hours * HOUR_MS for event in second if event.type == CART for hours in (8, 48)]
    orders = [event.ms + 20 * HOUR_MS for event in second if event.type == PURCHASE]
    hours = [boundaries[0] + 2 * HOUR_MS]
    sale = [FIRST_MS + 4 * DAY_MS, FIRST_MS + 6 * DAY_MS]
    times_ms = (*sale, *boundaries, *hours, *carts, *orders)
    return [time_ms + 3 for time_ms in times_ms if time_ms > last_ms + REST_MS]


def test_the_truth_is_exact_where_the_beginning_of_a_session_is_not_sure() -> None:
    checked = 0
    for rows in tiny_rows(120, 9):
        if len(visits(rows)) > 3 and len(rows) < 12 and checked < 16:
            checked += sum(compare(moved(rows, 2, to_ms)) for to_ms in doubtful_times(rows))
    assert checked >= 16


def test_the_truth_is_exact_where_a_session_had_to_wait_for_its_rest() -> None:
    checked = 0
    for rows in tiny_rows(120, 9):
        if len(visits(rows)) > 2 and len(rows) < 12 and checked < 8:
            midnight_ms = rows["event_ms"][0] // DAY_MS * DAY_MS + 2 * DAY_MS
            rows = moved(rows, 1, midnight_ms - HOUR_MS // 4)
            if len(visits(rows)) > 2:
                second = visits(rows)[1].events
                checked += sum(compare(moved(rows, 2, second[-1].ms + REST_MS + wait_ms)) for wait_ms in (2, 5))
    assert checked >= 8
