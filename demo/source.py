"""Where the demo's events come from: a simulated shop, or a real log with a mapping; split by time into past and live."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

from lambent.errors import DataError, UsageError
from lambent.events import Event
from lambent.mapping import load_mapping, read_events
from lambent.settings import Settings
from lambent.simulate import simulate
from lambent.simulate.writing import write

HISTORY_SHARE = 0.7
SIMULATED_USERS, SIMULATED_DAYS, SIMULATED_SEED = 4_000, 14, 1
MIN_EVENTS = 100


@dataclasses.dataclass(frozen=True)
class Source:
    """A log, and the moment that parts its history from its live traffic.

    Attributes:
        path, mapping: the log and how to read it.
        before: the moment, ISO 8601: what happened earlier is history.
        live: what is still to come, in the order in which it arrives: an event, or the bytes of something broken.
        history_events: how many events are history.
        label: for people.
    """

    path: Path
    mapping: str
    before: str
    live: list[Event | bytes]
    history_events: int
    label: str


def simulated(settings: Settings, users: int) -> Source:
    """A simulated shop, written to a file as its producers would send it."""
    path = settings.root / "events.jsonl.gz"
    write(simulate(users, SIMULATED_DAYS, SIMULATED_SEED), str(path))
    label = f"simulated: {users:,} shoppers, {SIMULATED_DAYS} days, seed {SIMULATED_SEED}"
    return split(settings, path, "lambent", label, in_order=True)


def real(settings: Settings, path: Path, mapping: str | None) -> Source:
    """A real log."""
    if mapping is None:
        raise UsageError(
            f"How is {path} to be read?", "Name a mapping: MAPPING=rees46, taobao, lambent or a TOML file."
        )
    return split(settings, path.expanduser().resolve(), mapping, f"{path.name}, read by {mapping}", in_order=False)


def split(settings: Settings, path: Path, mapping: str, label: str, *, in_order: bool) -> Source:
    """Read a log once and split it.

    Args:
        settings: give taxonomy and the key of the pseudonyms.
        path, mapping, label: of the log.
        in_order: the file is in the order of arrival; else events are sent in the order in which they happened.

    Raises:
        DataError: the log holds too few events to be split.
    """
    rows: list[Event | bytes] = []
    for row in read_events(path, load_mapping(mapping), settings.load_taxonomy(), settings.user_key_bytes()):
        if row.event or row.rejection:
            rows.append(row.event or row.raw)
    times = sorted(one.event_ms for one in rows if isinstance(one, Event))
    if len(times) < MIN_EVENTS:
        raise DataError(f"{path} holds {len(times)} events; the demo needs {MIN_EVENTS}.", "Check the mapping.")
    # A whole second, so that ISO text, Spark and Python agree on it to the millisecond.
    split_ms = times[int(len(times) * HISTORY_SHARE)] // 1000 * 1000
    live = _live(rows, split_ms)
    if not in_order:
        events = [one for one in live if isinstance(one, Event)]
        live = [*sorted(events, key=lambda event: event.event_ms)]
    before = datetime.datetime.fromtimestamp(split_ms / 1000, datetime.UTC).isoformat().replace("+00:00", "Z")
    history = sum(one < split_ms for one in times)
    return Source(path, mapping, before, live, history, label)


def _live(rows: list[Event | bytes], split_ms: int) -> list[Event | bytes]:
    """Events from the split on, and what is broken once the first of them has arrived."""
    live: list[Event | bytes] = []
    for one in rows:
        if isinstance(one, Event) and one.event_ms < split_ms:
            continue
        if live or isinstance(one, Event):
            live.append(one)
    return live
