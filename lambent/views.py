"""Arrays as the compiled fold takes them: tuples of views, one for each column, through which it writes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lambent.encoding import TEXT_FIELDS

Array = Any
"""A numpy array or a view of one; Numba compiles for its dtype and number of dimensions."""


class Program(NamedTuple):
    """What an event does to a profile and what a step shows of it, as tables.

    Attributes:
        operations: [operations, 8] kind, column, mark, half-life, worth (of a last-N map: act), text (-1: none), buckets,
            width of a bucket of time in ms (0: none).
        first: [types + 1] where each event type's operations begin.
        half_life_ms: [half-lives], and half_life_of: [decayed columns] which of them.
        recent: [last-N maps, 2] first column, its text.
        price_level: [3] decayed columns of Σ log(1 + price), of the events, and of those without a price; or -1.
        embedded: [embedded texts, 2] the text, and the rows of its table.
        decided: [types] latest column of the last session that led to the type's intent; -1: it decides nothing.
        opened: that of the last session's opening, or -1.
        seen: first column of the last-N map of the products that were seen, or -1.
        returned: latest column of the last session that came back to what was seen last before it, or -1.
    """

    operations: Array
    first: Array
    half_life_ms: Array
    half_life_of: Array
    recent: Array
    price_level: Array
    embedded: Array
    decided: Array
    opened: int
    seen: int
    returned: int


PLAIN_MAP, MAP_WITH_AGES, STREAK_MAP = range(3)
"""What is shown of a last-N map: how many are in and how new the newest is; also how old it is, if it is in; how long its streak is."""


class Shown(NamedTuple):
    """What the model sees of a profile, as tables.

    Attributes:
        half_life_ms: [half-lives], and half_life_of: [decayed columns] which of them.
        decayed: the decayed columns that are shown.
        maps: [last-N maps] what is shown of one: ``PLAIN_MAP``, ``MAP_WITH_AGES`` or ``STREAK_MAP``.
        choices: [facts] how many codes a text has; 0: it is a time.
        clocks: [rhythms, 2] width of a bucket in ms, and how many there are.
    """

    half_life_ms: Array
    half_life_of: Array
    decayed: Array
    maps: Array
    choices: Array
    clocks: Array


class Events(NamedTuple):
    """Columns of [n] events; ``texts`` are their hashes, in the order of ``encoding.TEXT_FIELDS``."""

    t_ms: Array
    ingest_ms: Array
    type: Array
    opens: Array
    late: Array
    decides: Array
    returns: Array
    clock_ms: Array
    price: Array
    dwell_ms: Array
    known: Array
    texts: tuple[Array, ...]


class Last(NamedTuple):
    """Columns of [n] events that live records keep; of ``change`` the bits: see ``records.last_dtype``."""

    t_ms: Array
    clock_ms: Array
    type: Array
    opens: Array
    late: Array
    decides: Array
    returns: Array
    price: Array
    dwell_ms: Array
    texts: tuple[Array, ...]
    change: Array


class Profiles(NamedTuple):
    """Blocks of [users] profiles: see ``profile.Layout``."""

    clock_ms: Array
    count: Array
    decayed: Array
    latest: Array
    earliest: Array
    register: Array
    recent: Array
    fact: Array


class Sessions(NamedTuple):
    """Fields of [users] sessions: see ``sessions.session_dtype``."""

    clock_ms: Array
    start_ms: Array
    last_ms: Array
    events: Array
    types: Array
    products: Array
    categories: Array
    product: Array
    product_before: Array


class Tiles(NamedTuple):
    """[users] where the running tile starts, how many events it has, and when the user was last reset; then the tiles that
    end, in order.
    """

    start_ms: Array
    events: Array
    reset_ms: Array
    ended_user: Array
    ended_start_ms: Array
    ended_events: Array
    ended: Profiles


class PackedTiles(NamedTuple):
    """Columns of [m] tiles as live records hold them, user by user.

    Attributes:
        user: whose it is.
        start_ms: where it starts.
        events: how many of the user's last events it is the fold of; 0: it lies packed.
        begin, end: which rows those events are, or which bytes it takes.
    """

    user: Array
    start_ms: Array
    events: Array
    begin: Array
    end: Array


class Steps(NamedTuple):
    """What the model sees: [n] rows for the events, and [sessions] profiles as they stood before each session began."""

    starts: Array
    ids: Array
    floats: Array
    session_events: Array
    profile_ms: Array
    profile: Profiles


Arrays = tuple[Any, ...]
"""The fields of one of the tuples above, in its order: views, through which it writes."""


def event_columns(events: NDArray[np.void]) -> Arrays:
    """``Events`` of encoded events."""
    return *(events[name] for name in Events._fields[:-1]), tuple(events[name] for name in TEXT_FIELDS)


def last_columns(last: NDArray[np.void]) -> Arrays:
    """``Last`` of a structured array of ``records.last_dtype``."""
    texts = tuple(last[name] for name in TEXT_FIELDS)
    return *(last[name] for name in Last._fields[:-2]), texts, last["change"].view(np.uint16)


def profile_blocks(profiles: NDArray[np.void]) -> Arrays:
    """``Profiles`` of a structured array of ``profile.Layout.dtype``."""
    return tuple(profiles[name] for name in Profiles._fields)


def session_fields(sessions: NDArray[np.void]) -> Arrays:
    """``Sessions`` of a structured array of ``sessions.session_dtype``."""
    return tuple(sessions[name] for name in Sessions._fields)
