"""A user's clock and sessions: the rules' constants, and what is kept of a session while it runs.

The clock is ``c = max(t)`` so far. An event with ``t > c + 30 min`` opens a session; one with ``t < c - 30 min`` is late
and goes to the profile only. A user silent for longer than the horizon starts from the identity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lambent.taxonomy import Taxonomy

GAP_MS = 30 * 60 * 1000
HORIZON_MS = 365 * 24 * 3600 * 1000
NEVER_MS = 0
"""Clock of a user who was never seen; admitted events are all later (``events.MIN_EVENT_MS``)."""

Sessions = NDArray[np.void]
"""A structured array of ``session_dtype``."""

IN_LOG_ORDER = ("user", "source", "ingest_ms", "seq", "event_id")
"""Columns of ``events`` that put a user's events into the log's order: files (source 0) before the live log (source 1)."""


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
            ("product", "u4"),  # hash of the newest product …
            ("product_before", "u4"),  # … and of the newest one that is another
        ]
    )
