"""The tables of a world as probabilities: what its cumulative ones draw from, in the shapes that a forward pass needs."""

from __future__ import annotations

import dataclasses

import numpy as np

from lambent.errors import SettingsError
from lambent.simulate.sessions import REST_MS
from lambent.simulate.world import AFTER, HOUR_MS, PHASES, Floats, Ints, World

_NEARLY_SURE = 1 - 2.0**-40  # of a visit: that none came must stay possible


@dataclasses.dataclass(frozen=True)
class Probabilities:
    """Z intents, S stages, D events of the longest stage, K classes of dwell, T types, A activities, F devices.

    Attributes:
        kind: of a type, an activity and a favourite device, (T, A, F).
        visit: of a session, (T, A, weekdays, slots).
        hour: of an hour of a slot, (T, slots, hours).
        device: of a session's device given type and favourite, (T, F, devices).
        tier: of a new product's price level given the type, (T, levels).
        initial: of the first stage, (Z + 1, S); the last row is for what follows the act.
        following: of what follows a stage, (Z + 1, S, S + 2): the stages, the act, the end.
        length: of the number of events of a stage, (S, D).
        goes_on: that something follows the act, (Z,).
        act, product, query: what an event shows, (S, ·).
        dwell: of the classes of dwell, (S + 1, K); the last row is for the act that decides.
        bounds_ms: of these classes, (K + 1,).
        pause_ms: how many milliseconds a pause may have, from 0.
        max_events: then the session acts or ends.
    """

    kind: Floats
    visit: Floats
    hour: Floats
    device: Floats
    tier: Floats
    initial: Floats
    following: Floats
    length: Floats
    goes_on: Floats
    act: Floats
    product: Floats
    query: Floats
    dwell: Floats
    bounds_ms: Ints
    pause_ms: int
    max_events: int

    @property
    def width_ms(self) -> Ints:
        """How many milliseconds the classes of dwell have, (K,)."""
        return np.diff(self.bounds_ms)

    def gap_cdf(self, gap_ms: Ints) -> Floats:
        """P(dwell + pause <= gap) by class, (n, K): both are uniform integers, hence counts of lattice points."""
        y = gap_ms[:, None] - self.bounds_ms[None, :-1] + 1
        width, pause = self.width_ms, self.pause_ms
        pairs = _triangle(y) - _triangle(y - pause) - _triangle(y - width) + _triangle(y - width - pause)
        return pairs / (width * pause)

    def dwell_class(self, dwell_ms: Ints) -> Floats:
        """P(dwell) by class, (n, K)."""
        own = (dwell_ms[:, None] >= self.bounds_ms[:-1]) & (dwell_ms[:, None] < self.bounds_ms[1:])
        return own / self.width_ms


def _triangle(m: Ints) -> Ints:
    """1 + 2 + … + m."""
    m = np.maximum(m, 0)
    return m * (m + 1) // 2


def probabilities(world: World) -> Probabilities:
    """The probabilities of a world.

    Raises:
        SettingsError: sessions last so long that the slot of one could not be told from its first event.
    """
    parameters, s, phases = world.parameters, world.stages, len(PHASES)
    session, emissions = parameters.session, parameters.emissions
    _check_lengths(world)
    device = between(world.device)
    activity = np.array(parameters.activity.weight) / sum(parameters.activity.weight)
    types = np.array([t.weight for t in parameters.types]) / sum(t.weight for t in parameters.types)
    factor = np.array(parameters.activity.factor)
    return Probabilities(
        kind=types[:, None, None] * activity[:, None] * device[:, None, :],
        visit=np.minimum(world.sessions[:, None] * factor[:, None, None], _NEARLY_SURE),
        hour=between(world.hours).reshape(len(types), world.slots, -1),
        device=_own_or_any(parameters.tastes.own_device, device),
        tier=between(world.tier),
        initial=between(world.initial),
        following=between(world.next_stage).reshape(phases, s, s + 2),
        length=between(world.events_in_stage),
        goes_on=np.array([0.0, *session.goes_on_after]),
        act=between(world.act),
        product=between(world.product),
        query=between(world.query),
        dwell=between(world.dwell),
        bounds_ms=np.array(emissions.dwell_ms),
        pause_ms=emissions.pause_ms,
        max_events=session.max_events,
    )


def between(table: Floats) -> Floats:
    """Probabilities of the classes of a cumulative table, (rows, n)."""
    return np.diff(table, prepend=0.0, append=1.0)


def _own_or_any(own: float, device: Floats) -> Floats:
    """(T, F, devices) of (T, devices)."""
    return own * np.eye(device.shape[1]) + (1 - own) * device[:, None, :]


def _check_lengths(world: World) -> None:
    """A session must be over, and the rest after it, before the next slot but one begins; see ``starts``."""
    parameters = world.parameters
    step_ms = parameters.emissions.dwell_ms[-1] + parameters.emissions.pause_ms
    longest_ms = (parameters.session.max_events + 1) * step_ms + REST_MS
    if longest_ms >= parameters.when.slot_hours * HOUR_MS or step_ms >= HOUR_MS or len(PHASES) != AFTER + 1:
        raise SettingsError(
            "A session of this world may outlast a slot of the day, so that its truth is not known.",
            "Lower session.max_events or emissions.dwell_ms, or raise when.slot_hours.",
        )
