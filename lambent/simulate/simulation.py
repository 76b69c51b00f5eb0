"""The run: day after day, in order of arrival, with no more than a day in memory."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from lambent.errors import UsageError
from lambent.simulate.bots import run_bots
from lambent.simulate.encode import Encoder
from lambent.simulate.mess import send
from lambent.simulate.rows import ROW, Day, Rows
from lambent.simulate.sessions import Crowd, run_slot
from lambent.simulate.shoppers import draw_shoppers, no_memory
from lambent.simulate.world import DAY_MS, TYPES, Ints, World, shop_world

START = datetime.date(2025, 1, 6)
"""The first day where none is given: a Monday."""

Serials = NDArray[np.uint64]

MAX_USERS = 10_000_000
MAX_DAYS = 3_660
MIN_YEAR, MAX_YEAR = 2000, 2089  # of the start, so that no event lies outside the years that the door lets in
_BATCH_LINES = 20_000


class Summary(msgspec.Struct):
    """What a simulation has written so far.

    Attributes:
        world: version of the world's parameters.
        lines: all lines: events, duplicates and broken ones.
        events: sound, distinct events; ``events_by_type`` splits them, ``bot_events`` are some of them.
        sessions: of persons; ``sessions_by_intent`` splits them.
        bot_sessions: of bots.
        shift: the day (0 is the first) from which on the rates of the intents have shifted; None: they never do.
        late: events that were delivered minutes to hours after they happened (their duplicates do not count).
        duplicates: exact second copies.
        broken: lines that no door lets in.
    """

    world: int
    users: int
    days: int
    seed: int
    start: str
    lines: int = 0
    events: int = 0
    bot_events: int = 0
    sessions: int = 0
    bot_sessions: int = 0
    late: int = 0
    duplicates: int = 0
    broken: int = 0
    events_by_type: dict[str, int] = msgspec.field(default_factory=dict)
    sessions_by_intent: dict[str, int] = msgspec.field(default_factory=dict)
    shift: int | None = None

    def session_shares(self) -> dict[str, float]:
        """Share of persons' sessions by intent."""
        return {name: count / max(self.sessions, 1) for name, count in self.sessions_by_intent.items()}


class Simulation:
    """Iterates over the lines; ``summary`` counts along and is complete at the end. Each iteration starts anew.

    Attributes:
        world: the parameters.
        first_ms: the first midnight, milliseconds since 1970-01-01 UTC.
        summary: what has been written so far.
        days_done: how many days have been written.
        witness: is shown, day by day, the sound distinct events of the persons' sessions that begin on it.
    """

    def __init__(
        self, users: int, days: int, seed: int, start: datetime.date, world: World, shift: int | None = None
    ) -> None:
        self.world, self.first_ms = world, midnight_ms(start)
        self._encoder = Encoder(world)
        self.days_done = 0
        self.summary = Summary(world.parameters.version, users, days, seed, start.isoformat(), shift=shift)
        self.witness: Callable[[Rows], None] | None = None

    def __iter__(self) -> Iterator[bytes]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[list[bytes]]:
        """The lines, without their ends, in lists of at most 20,000: quicker to write than one at a time."""
        for rows in self.arrivals():
            for first in range(0, len(rows), _BATCH_LINES):
                lines = self._encoder.lines(rows[first : first + _BATCH_LINES])
                self.summary.lines += len(lines)
                yield lines

    def arrivals(self) -> Iterator[Rows]:
        """The rows in order of arrival, a day at a time; what is under way at midnight comes with a later day."""
        old = self.summary
        self.summary = Summary(old.world, old.users, old.days, old.seed, old.start, shift=old.shift)
        self.days_done = 0
        rng = np.random.Generator(np.random.PCG64(old.seed))
        crowd = Crowd(draw_shoppers(self.world, old.users, rng), no_memory(old.users))
        waiting = np.zeros(0, dtype=ROW)
        for number in range(old.days):
            shifted = old.shift is not None and number >= old.shift
            day = Day(number, self.first_ms + number * DAY_MS, shifted)
            sent = np.concatenate([waiting, self._day(crowd, day, rng)])
            due = sent["arrival_ms"] < day.end_ms
            waiting = sent[~due]
            yield _sorted(sent[due])
            self.days_done = number + 1
        yield _sorted(waiting)

    def _day(self, crowd: Crowd, day: Day, rng: np.random.Generator) -> Rows:
        """All that is sent of the acts that begin on a day."""
        bots, bot_sessions = run_bots(self.world, crowd.shoppers, day, rng)
        parts, intents = [bots], np.zeros(len(self.world.parameters.intents), dtype=np.int64)
        for slot in range(self.world.slots):
            rows, counts = run_slot(self.world, crowd, day, slot, rng)
            parts += rows
            intents += counts
        events = np.concatenate(parts)
        events["serial"] = _serials(self.summary.seed, self.summary.events, len(events))
        self.summary.bot_events += len(bots)
        self.summary.bot_sessions += bot_sessions
        self._count(events, intents)
        sent = self._send(events, rng)
        if self.witness:
            self.witness(events[len(bots) :])
        return sent

    def _count(self, events: Rows, intents: Ints) -> None:
        summary = self.summary
        summary.events += len(events)
        summary.sessions += int(intents.sum())
        types = np.bincount(events["type"], minlength=len(TYPES)).tolist()
        _add(summary.events_by_type, TYPES, types)
        _add(summary.sessions_by_intent, self.world.parameters.intents, intents.tolist())

    def _send(self, events: Rows, rng: np.random.Generator) -> Rows:
        sent = send(self.world, events, rng)
        self.summary.late += sent.late
        self.summary.duplicates += sent.duplicates
        self.summary.broken += sent.broken
        return sent.rows


def simulate(
    users: int,
    days: int,
    seed: int,
    *,
    start: datetime.date = START,
    world: World | None = None,
    shift: int | None = None,
) -> Simulation:
    """Simulate a shop.

    Args:
        users: how many shoppers there are (few of them bots); not all of them come.
        days: how many days, from ``start`` (UTC) on.
        seed: the same seed gives the same bytes.
        start: the first day.
        world: the parameters; default: the world that is shipped.
        shift: the rates of the intents shift from this day on (0 is the first); None: they never do.

    Returns:
        An iterable of lines (bytes without a line's end) in order of arrival, with ``summary`` and ``batches()``.

    Raises:
        UsageError: a number is out of range.
    """
    _check("users", users, 1, MAX_USERS)
    _check("days", days, 1, MAX_DAYS)
    _check("seed", seed, 0, 2**63 - 1)
    _check("start", start.year, MIN_YEAR, MAX_YEAR)
    _check("shift", shift or 0, 0, MAX_DAYS)
    return Simulation(users, days, seed, start, world or shop_world(), shift)


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UsageError(f"--{name}: {value} is out of range.", f"Give {least} to {most}.")


def midnight_ms(date: datetime.date) -> int:
    """Its midnight, milliseconds since 1970-01-01 UTC."""
    return (date - datetime.date(1970, 1, 1)).days * DAY_MS


def _sorted(rows: Rows) -> Rows:
    return rows[np.argsort(rows["arrival_ms"], kind="stable")]


def _add(counts: dict[str, int], names: tuple[str, ...], more: list[int]) -> None:
    for name, count in zip(names, more, strict=True):
        counts[name] = counts.get(name, 0) + count


def _serials(seed: int, first: int, n: int) -> Serials:
    """Ids as numbers: all different in a run, and unlike those of another seed (splitmix64 of seed and position)."""
    return _mixed(_mixed(np.array([seed], dtype=np.uint64)) + np.arange(first, first + n, dtype=np.uint64))


def _mixed(x: Serials) -> Serials:
    """The finaliser of splitmix64: a bijection of 64-bit numbers, which wrap around."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
