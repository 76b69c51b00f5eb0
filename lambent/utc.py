"""Times as people write and read them: ISO 8601, UTC where nothing else is said."""

from __future__ import annotations

import datetime

from lambent.errors import UsageError

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def parse_time(text: str) -> int:
    """Milliseconds since 1970-01-01 UTC of an ISO 8601 time; without a zone it is UTC.

    Raises:
        UsageError: it is no such time.
    """
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not an ISO 8601 time.", "Write it as 2025-01-31T12:00:00Z.") from error
    utc = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    return (utc - EPOCH) // datetime.timedelta(milliseconds=1)


def time_text(ms: int) -> str:
    """Such as ``2025-01-31 12:00:00``, of milliseconds since 1970-01-01; it is UTC."""
    return (EPOCH + datetime.timedelta(milliseconds=ms)).replace(tzinfo=None).isoformat(" ", "seconds")
