"""The simulated world: the parameters, read from ``world.toml``, and the tables that sampling needs.

Only additions, products and quotients are used to make and to sample tables, since those give the same bits in every
release of numpy and on every processor; exponentials do not.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lambent.errors import SettingsError
from lambent.simulate.parameters import Parameters, Table
from lambent.toml_files import read_toml

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SESSION_GAP_MS = 30 * 60_000
"""A silence that is longer ends a session."""

TYPES = ("view", "search", "cart", "uncart", "favourite", "purchase", "consult", "review")
VIEW, SEARCH, CART, UNCART, FAVOURITE, PURCHASE, CONSULT, REVIEW = range(8)
DEVICES = ("phone", "tablet", "desktop")
PHASES = ("browse", "purchase", "consult", "review", "after")
BROWSE, AFTER = 0, 4
NEW, SAME, BACK, IN_CART, ORDERED, LAST = range(6)
"""Which product a view is of: one not in mind, the one in focus, the one in focus before, the cart's, …"""


def cumulative(rows: Table | Sequence[Sequence[float]]) -> Floats:
    """Cumulative probabilities of rows of weights, the last column left out.

    Args:
        rows: weights, (rows, n) or shorter rows, which are filled up with zeros.

    Returns:
        (rows, n - 1): a uniform ``u`` picks the class ``(u >= row).sum()``.
    """
    n = max(len(row) for row in rows)
    weights = np.array([[*row, *[0.0] * (n - len(row))] for row in rows], dtype=np.float64)
    sums = np.cumsum(weights, axis=1)
    table: Floats = sums[:, :-1] / sums[:, -1:]
    return table


def pick(table: Floats, rows: Ints | int, u: Floats) -> Ints:
    """Draw a class for each ``u`` in [0, 1), shape (n,), from its row of a table of ``cumulative``."""
    chosen = np.zeros(len(u), dtype=np.int64)
    for column in table.T:
        chosen += u >= column[rows]
    return chosen


@dataclasses.dataclass(frozen=True)
class World:
    """Parameters and tables. Codes are positions in the lists of ``world.toml``; S stages, A = S acts, E = S + 1 ends.

    Attributes:
        parameters: the file.
        sessions: probability of a session, (types, weekdays, slots), before the factor of the activity.
        hours: cumulative, (types * slots, hours of a slot - 1).
        next_stage: cumulative, (phases * S, S + 1).
        initial: cumulative, (phases, S - 1).
        events_in_stage: cumulative, (S, longest - 1).
        tier, device: cumulative, a row a type.
        act, product, query, dwell: cumulative emissions, a row a stage; dwell has one more for the act.
    """

    parameters: Parameters
    sessions: Floats
    hours: Floats
    next_stage: Floats
    initial: Floats
    events_in_stage: Floats
    tier: Floats
    device: Floats
    act: Floats
    product: Floats
    query: Floats
    dwell: Floats

    @property
    def stages(self) -> int:
        """S: how many stages there are; also the code of the decisive act's place. S + 1 is the end's."""
        return len(self.parameters.stages)

    @property
    def slots(self) -> int:
        """Slots of a day."""
        return 24 // self.parameters.when.slot_hours


def make_world(parameters: Parameters) -> World:
    """The tables of a world."""
    phases = [parameters.phases[name] for name in PHASES]
    emissions = parameters.emissions
    return World(
        parameters=parameters,
        sessions=_session_probabilities(parameters),
        hours=cumulative([row for t in parameters.types for row in _slots(parameters, t.rhythm)]),
        next_stage=cumulative([row for phase in phases for row in phase.next]),
        initial=cumulative([phase.initial for phase in phases]),
        events_in_stage=cumulative(parameters.session.events_in_stage),
        tier=cumulative([t.tier for t in parameters.types]),
        device=cumulative([t.device for t in parameters.types]),
        act=cumulative(emissions.act),
        product=cumulative(emissions.product),
        query=cumulative(emissions.query),
        dwell=cumulative(emissions.dwell),
    )


def _slots(parameters: Parameters, rhythm: str) -> list[list[float]]:
    """Weights of the hours, a row a slot."""
    hours, width = list(parameters.rhythms[rhythm]), parameters.when.slot_hours
    return [hours[first : first + width] for first in range(0, 24, width)]


def _session_probabilities(parameters: Parameters) -> Floats:
    """(types, weekdays, slots)."""
    slot_share = np.array(
        [
            [sum(row) / sum(parameters.rhythms[t.rhythm]) for row in _slots(parameters, t.rhythm)]
            for t in parameters.types
        ]
    )
    per_day = np.array([t.sessions_per_day for t in parameters.types])
    weekday = np.array(parameters.when.weekday)
    table: Floats = per_day[:, None, None] * weekday[None, :, None] * slot_share[:, None, :]
    return table


def load_world(path: Path | None = None) -> World:
    """Read a world; None means the one that is shipped.

    Raises:
        SettingsError: the file cannot be read, is not TOML or not of the form of ``Parameters``.
    """
    path = path or Path(__file__).with_name("world.toml")
    parameters = read_toml(path, Parameters, "See the shipped world.toml for the form.")
    missing = [name for name in PHASES if name not in parameters.phases]
    if missing:
        raise SettingsError(f"{path}: phases lacks {missing[0]!r}.", "See the shipped world.toml for the form.")
    return make_world(parameters)


@functools.cache
def shop_world() -> World:
    """The world that is shipped."""
    return load_world()
