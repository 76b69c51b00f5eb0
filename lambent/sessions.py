"""A user's clock and sessions, and the session's own fold.

The clock is ``c = max(t)`` so far. An event with ``t > c + 30 min`` opens a session; one with ``t < c - 30 min`` is late
and goes to the profile only. A user silent for longer than the horizon starts from the identity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lambent.encoding import Events
from lambent.taxonomy import Taxonomy

GAP_MS = 30 * 60 * 1000
HORIZON_MS = 365 * 24 * 3600 * 1000
NEVER_MS = 0
"""Clock of a user who was never seen; admitted events are all later (``events.MIN_EVENT_MS``)."""

Sessions = NDArray[np.void]
"""A structured array of ``session_dtype``."""

IN_LOG_ORDER = ("user", "source", "ingest_ms", "seq", "event_id")
"""Columns of ``events`` that put a user's events into the log's order: files (source 0) before the live log (source 1)."""

_APART_MS = 1 << 43
"""More than any time that is admitted: keeps the clocks of users apart who lie side by side."""


def session_dtype(taxonomy: Taxonomy) -> np.dtype[np.void]:
    """What is kept of a session while it runs. All zero is the identity."""
    return np.dtype(
        [
            ("clock_ms", "i8"),  # the user's clock; goes on from session to session
            ("start_ms", "i8"),
            ("last_ms", "i8"),
            ("events", "u4"),
            ("types", "u2", (len(taxonomy.types),)),  # events by type, saturating
            ("products", "u8"),  # bit (hash mod 64) of each product seen
            ("categories", "u8"),
        ]
    )


def mark(clock_ms: NDArray[np.int64], user: NDArray[np.int64], events: Events) -> NDArray[np.bool_]:
    """Set ``opens`` and ``late``, in place.

    Args:
        clock_ms: [users] their clocks before the events; ``NEVER_MS`` where there is none.
        user: [n] index of each event's user; at most 2^20 different ones.
        events: [n] each user's events in the log's order.

    Returns:
        [n] true where the user was silent for longer than the horizon and starts from the identity.
    """
    t_ms, before_ms = events["t_ms"], clock_before(clock_ms, user, events["t_ms"])
    known = before_ms != NEVER_MS
    events["opens"] = ~known | (t_ms > before_ms + GAP_MS)
    events["late"] = known & (t_ms < before_ms - GAP_MS)
    return known & (t_ms > before_ms + HORIZON_MS)


def clock_before(clock_ms: NDArray[np.int64], user: NDArray[np.int64], t_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """[n] the user's clock before each event: one running maximum over all users, each lifted above the one before."""
    order = np.argsort(user, kind="stable")
    own, time_ms = user[order], t_ms[order]
    lift_ms = np.cumsum(np.diff(own, prepend=own[:1]) != 0) * _APART_MS
    newest_ms = np.maximum.accumulate(time_ms + lift_ms)
    before_ms = np.empty_like(t_ms)
    before_ms[order] = np.maximum(clock_ms[own], np.concatenate([[0], newest_ms[:-1]])[: len(own)] - lift_ms)
    return before_ms


def starts(sessions: Sessions, events: Events) -> NDArray[np.bool_]:
    """[n] true where the event starts a session here: it opens one, or the one it belongs to was never seen here."""
    return np.asarray((events["opens"] | (sessions["events"] == 0)) & ~events["late"])


def advance(sessions: Sessions, events: Events) -> Sessions:
    """The sessions after one more event each, which ``mark`` has marked. A late event moves nothing."""
    after = sessions.copy()
    restart = starts(sessions, events)
    after[restart] = 0
    after["start_ms"][restart] = events["t_ms"][restart]
    after["clock_ms"] = np.maximum(sessions["clock_ms"], events["t_ms"])
    inside = ~events["late"]
    rows = np.flatnonzero(inside)
    after["last_ms"][rows] = np.maximum(after["last_ms"][rows], events["t_ms"][rows])
    after["events"][rows] += 1
    counts = after["types"]
    counts[rows, events["type"][rows]] = np.minimum(counts[rows, events["type"][rows]], 65_534) + 1
    for field, name in (("products", "product"), ("categories", "category")):
        after[field][rows] |= bit(events[name][rows])
    return after


def bit(hashes: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """[n] one bit of 64 for each hash; no bit for 0, which means missing."""
    bits = np.uint64(1) << (hashes.astype(np.uint64) % np.uint64(64))
    return np.where(hashes == 0, np.uint64(0), bits)
