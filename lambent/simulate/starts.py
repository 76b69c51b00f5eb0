"""When a session may have begun: its first event comes up to minutes later, and only that is seen.

The time before the first event is cut where something changes with the beginning: at full hours (and with them slots and
days), where the cart's or the order's age changes class, and at the least time after the session before, to which earlier
draws are moved. Within a piece all is constant but the time to the first event, whose probability is summed exactly.

A session always begins in its own slot: no session is so long that it, and the rest after it, outlast the next slot
(``probabilities`` checks it). So the slot is that of the first event, or, just after a boundary, the one before.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from lambent.simulate import evidence
from lambent.simulate.probabilities import Probabilities
from lambent.simulate.rows import Rows
from lambent.simulate.sessions import REST_MS, Openings, intent_weights
from lambent.simulate.shoppers import Memory
from lambent.simulate.timetable import Timetable
from lambent.simulate.world import HOUR_MS, Floats, Ints, Mask, World


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Spans of time in which sessions may have begun, ordered by session, each array (m,).

    Attributes:
        session: position of the session in the batch; each has one piece at least.
        low_ms, high_ms: the span, its end not included.
        moved: whether the draw was moved to ``low_ms`` from a time not after it.
    """

    session: Ints
    low_ms: Ints
    high_ms: Ints
    moved: Mask


@dataclasses.dataclass(frozen=True)
class Starts:
    """Pieces with what they say, for the forward pass.

    Attributes:
        session: as in ``Pieces``, (m,).
        slot: number of the slot since the first day, (m,).
        sale: whether prices are low, (m,).
        gap: P(time to the first event, its dwell | class of dwell), (m, K).
        hour: P(the draw | type), (m, T): a density, or the probability of having been moved.
        intent: P(intent | type), (m, T, Z).
    """

    session: Ints
    slot: Ints
    sale: Mask
    gap: Floats
    hour: Floats
    intent: Floats


def find_starts(world: World, tables: Probabilities, timetable: Timetable, memory: Memory, first: Rows) -> Starts:
    """All pieces of sessions whose first events are ``first``, one a user."""
    pieces = _pieces(world, tables, memory, first)
    slot = timetable.slot_of(pieces.low_ms)
    known = slot >= 0
    pieces = Pieces(*(getattr(pieces, field.name)[known] for field in dataclasses.fields(Pieces)))
    user, slot = first["user"][pieces.session], slot[known]
    openings = timetable.openings(user, pieces.low_ms, slot)
    return Starts(
        session=pieces.session,
        slot=slot,
        sale=openings.sale,
        gap=_gap(tables, first[pieces.session], pieces),
        hour=_hour(tables, timetable, pieces, slot),
        intent=_intent(world, memory, openings),
    )


def _pieces(world: World, tables: Probabilities, memory: Memory, first: Rows) -> Pieces:
    """The window of each session, cut; and the moment of the least rest, where the window holds it."""
    low_ms, high_ms = _window(tables, first)
    rest_ms = memory.last_ms[first["user"]] + REST_MS
    cuts_ms = np.stack([low_ms, high_ms, rest_ms + 1, *_changes(world, memory, first["user"], high_ms)], axis=1)
    edges_ms = np.sort(np.clip(cuts_ms, low_ms[:, None], high_ms[:, None]), axis=1)
    begin_ms = np.concatenate([rest_ms[:, None], edges_ms[:, :-1]], axis=1)
    end_ms = np.concatenate([rest_ms[:, None] + 1, edges_ms[:, 1:]], axis=1)
    moved = np.zeros(begin_ms.shape, dtype=np.bool_)
    moved[:, 0] = True
    within = (begin_ms >= low_ms[:, None]) & (end_ms <= high_ms[:, None]) & (begin_ms < end_ms)
    kept = within & (moved | (begin_ms > rest_ms[:, None]))
    return Pieces(np.nonzero(kept)[0], begin_ms[kept], end_ms[kept], moved[kept])


def _window(tables: Probabilities, first: Rows) -> tuple[Ints, Ints]:
    """When a session may have begun by its first event's time, the end not included, (n,)."""
    seen, time_ms = evidence.dwell_is_seen(first), first["event_ms"]
    least_ms = np.where(seen, first["dwell_ms"], tables.bounds_ms[0])
    most_ms = np.where(seen, first["dwell_ms"], tables.bounds_ms[-1] - 1) + tables.pause_ms - 1
    return time_ms - most_ms, time_ms - least_ms + 1


def _changes(world: World, memory: Memory, user: Ints, high_ms: Ints) -> list[Ints]:
    """Times at which something changes, (n,) each: the last full hour, the bounds of the ages."""
    history = world.parameters.history
    cart = [memory.cart_ms[user] + hours * HOUR_MS for hours in history.cart_hours]
    order = [memory.order_ms[user] + hours * HOUR_MS for hours in history.order_hours]
    return [(high_ms - 1) // HOUR_MS * HOUR_MS, *cart, *order]


def _gap(tables: Probabilities, first: Rows, pieces: Pieces) -> Floats:
    """P(time to the first event, its dwell | class), summed over a piece, (m, K)."""
    time_ms = first["event_ms"]
    by_time = tables.gap_cdf(time_ms - pieces.low_ms) - tables.gap_cdf(time_ms - pieces.high_ms)
    by_dwell = tables.dwell_class(first["dwell_ms"].astype(np.int64))
    pauses = (pieces.high_ms - pieces.low_ms)[:, None]
    return np.where(evidence.dwell_is_seen(first)[:, None], by_dwell * pauses / tables.pause_ms, by_time)


def _hour(tables: Probabilities, timetable: Timetable, pieces: Pieces, slot: Ints) -> Floats:
    """P(a draw within the piece, by the millisecond | type), or P(a draw not after it), (m, T)."""
    since_ms = pieces.low_ms - timetable.start_of(slot)
    hour, within_ms = since_ms // HOUR_MS, since_ms % HOUR_MS + 1
    hours = tables.hour[:, slot % tables.hour.shape[1]]
    at = np.take_along_axis(hours, hour[None, :, None], axis=2)[..., 0]
    before = np.where(np.arange(hours.shape[2]) < hour[:, None], hours, 0.0).sum(axis=2)
    likelihood: Floats = np.where(pieces.moved, before + at * within_ms / HOUR_MS, at / HOUR_MS).T
    return likelihood


def _intent(world: World, memory: Memory, openings: Openings) -> Floats:
    """P(intent | type), (m, T, Z)."""
    m = len(openings.user)
    kinds = [np.full(m, kind) for kind in range(len(world.parameters.types))]
    weights = np.stack([intent_weights(world, memory, kind, openings) for kind in kinds], axis=1)
    return weights / weights.sum(axis=2, keepdims=True)
