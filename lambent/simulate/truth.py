"""The truth of a simulation, day by day and as JSON lines: what was to be expected after each event."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lambent.simulate.evidence import ID
from lambent.simulate.posterior import Observer, Truth
from lambent.simulate.rows import Rows
from lambent.simulate.simulation import Simulation


def observer_of(simulation: Simulation) -> Observer:
    """An observer who has seen nothing yet, and knows the world and its calendar."""
    summary = simulation.summary
    return Observer(simulation.world, summary.users, simulation.first_ms, summary.days, summary.shift)


def truths(simulation: Simulation) -> Iterator[Truth]:
    """The truth of a simulation's events, by the day on which their sessions were drawn. Runs it anew; writes no lines.

    Bots have no truth: at a rate that no person reaches, nobody takes them for shoppers.
    """
    observer, seen = observer_of(simulation), list[Rows]()
    simulation.witness = seen.append
    try:
        for _ in simulation.arrivals():
            while seen:
                yield observer.observe(seen.pop())
    finally:
        simulation.witness = None


def truth_lines(truth: Truth, intents: tuple[str, ...]) -> list[bytes]:
    """One line of JSON for each event, without a line's end, probabilities to 12 digits.

    ``id`` is null where the producer gave none; user and time find such an event.
    """
    form = b",".join(b'"%b":%%.12g' % name.encode() for name in intents)
    line = b'{"id":%b,"user":"u%06d","event_ms":%d,"session":%d,"intent":{' + form + b"}}"
    rows = truth.rows
    columns = (_ids(rows), rows["user"].tolist(), rows["event_ms"].tolist(), truth.session.tolist())
    return [line % values for values in zip(*columns, *truth.intent.T.tolist(), strict=True)]


def _ids(rows: Rows) -> list[bytes]:
    ids = list(map(b'"%016x"'.__mod__, rows["serial"].tolist()))
    for position in np.flatnonzero(rows["omitted"] & ID).tolist():
        ids[position] = b"null"
    return ids
