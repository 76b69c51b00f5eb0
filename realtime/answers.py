"""What is said of one user: the newest intent, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from lambent.events import UNDECODABLE, Intent
from realtime.explanation import Explanation

ABSENT = "absent"
UNREADABLE = "unreadable"
NOT_YET = "not_yet"

DETAILS = {
    ABSENT: "No intent is known of this user: no event in the last 14 days, or none that was answered yet.",
    UNREADABLE: "What the store holds for this user is no intent of this version. Is the worker of the same one?",
    NOT_YET: "The worker has not answered in time. Read the intent later.",
}
"""By reason: what is said to a person."""

_decode = msgspec.json.Decoder(Intent).decode


class NoIntent(msgspec.Struct, frozen=True):
    """Why there is no intent: ``reason`` is a code (``absent``, ``unreadable``, ``not_yet``), ``detail`` says it in words."""

    reason: str
    detail: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said of one user.

    Attributes:
        intent: the newest one; it names the event that it speaks of, the profile's cut-off and the model.
        age_ms: how long ago the log took that event, milliseconds.
        error: in place of both, why there is none.
        explanation: where it was asked for, why the intent is what it is.
    """

    intent: Intent | None = None
    age_ms: int | None = None
    error: NoIntent | None = None
    explanation: Explanation | None = None


def no_answer(reason: str) -> Answer:
    """There is none, and why."""
    return Answer(error=NoIntent(reason, DETAILS[reason]))


def answer(value: bytes | None, now_ms: int) -> Answer:
    """What a value of the store says at ``now_ms``, by the clock that gave the log its times."""
    if value is None:
        return no_answer(ABSENT)
    try:
        intent = _decode(value)
    except UNDECODABLE:
        return no_answer(UNREADABLE)
    return Answer(intent, max(now_ms - intent.ingest_ms, 0))


def answers(values: Iterable[bytes | None], now_ms: int) -> list[Answer]:
    """The same of many."""
    return [answer(value, now_ms) for value in values]
