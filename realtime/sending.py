"""``POST /v1/events``: events into the log.

A request's events are looked at one by one: the valid ones are taken, the others are named with their index and reason. So
202 means that at least one was taken, 422 that none was; nothing is taken in silence and nothing is dropped in silence.
How well what was taken is kept is a setting (``realtime.promise``).
"""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from litestar import Response, post
from litestar.params import QueryParameter

from lambent.errors import UsageError
from lambent.events import Rejection
from realtime.admission import SCOPE, charge
from realtime.answers import NOT_YET, Answer, answers, no_answer
from realtime.api_keys import Scope
from realtime.bodies import check_count, read_body
from realtime.collector import Taken, split_body
from realtime.context import JSON, Context, HttpRequest, context_of
from realtime.problems import Problem, ProblemError, respond

MAX_WAIT_MS = 10_000
RETRY_AFTER_S = 1
TRY_AGAIN = {"Retry-After": str(RETRY_AFTER_S)}

Pseudonymous = Annotated[
    bool, QueryParameter(description="Users are pseudonyms already: for trusted replays and readers.")
]


class Refused(msgspec.Struct, frozen=True):
    """An event that was not taken: its place in the request, a code, and the reason in words."""

    index: int
    reason: str
    detail: str


class Accepted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a request's events.

    Attributes:
        accepted: how many were taken.
        ids: for each event of the request its id; null where it was refused.
        rejected: those that were refused.
        intents: with ``wait``: what is said of each user now, in the order of their first event.
    """

    accepted: int
    ids: list[str | None]
    rejected: list[Refused] = []
    intents: list[Answer] | None = None


@post("/v1/events", status_code=202, media_type=JSON, summary="Send events", opt={SCOPE: Scope.WRITE})
async def send_events(
    request: HttpRequest,
    wait: Annotated[int, QueryParameter(ge=0, le=MAX_WAIT_MS, description="Wait so many ms for the intents.")] = 0,
    pseudonymous: Pseudonymous = False,
) -> Response[bytes]:
    """Take one JSON object, a JSON list, or JSON lines: as many events and bytes as the settings allow.

    A request that is sent twice counts once if its events have an ``id``.
    """
    context = context_of(request)
    try:
        texts = split_body(await read_body(request))
    except UsageError as error:
        raise ProblemError(Problem(title="Not a list of events", status=400, detail=str(error))) from error
    check_count(request, len(texts), "events")
    charge(request, len(texts))
    with context.metrics.seconds.time():
        return await _take(context, context.door.take(texts, pseudonymous=pseudonymous), wait)


async def _take(context: Context, outcomes: list[Taken | Rejection], wait_ms: int) -> Response[bytes]:
    taken = [one for one in outcomes if isinstance(one, Taken)]
    refused = [Refused(i, r.reason, r.detail) for i, r in enumerate(outcomes) if isinstance(r, Rejection)]
    if not taken:
        _count_refused(context, refused)
        errors = tuple(msgspec.to_builtins(one) for one in refused)
        return respond(Problem(title="No valid event", status=422, detail="Nothing was taken.", errors=errors))
    if full := await context.gateway.full(one.partition for one in taken):
        return _no_room(context, "stream", f"The log is full in partition {full[0]}")
    if await context.gateway.short_of_memory():
        return _no_room(context, "memory", "The store's memory is almost full")
    entry_ids = await context.gateway.append(taken)
    _count_refused(context, refused)
    context.metrics.accepted.inc(len(taken))
    event_ids = [one.event_id if isinstance(one, Taken) else None for one in outcomes]
    intents = await _intents(context, taken, entry_ids, wait_ms) if wait_ms else None
    body = msgspec.json.encode(Accepted(len(taken), event_ids, refused, intents))
    return Response(body, status_code=202, media_type=JSON)


def _no_room(context: Context, what: str, cause: str) -> Response[bytes]:
    context.metrics.full.labels(what).inc()
    detail = f"{cause}: the workers or the archiver are behind. Nothing was taken."
    return respond(Problem(title="The log is full", status=429, detail=detail), TRY_AGAIN)


def _count_refused(context: Context, refused: list[Refused]) -> None:
    for one in refused:
        context.metrics.rejected.labels(one.reason).inc()


async def _intents(context: Context, taken: list[Taken], entry_ids: list[bytes], wait_ms: int) -> list[Answer]:
    ends = {one.partition: entry_id for one, entry_id in zip(taken, entry_ids, strict=True)}  # the last one stays
    users = list(dict.fromkeys(one.user for one in taken))
    if not await context.gateway.passed(ends, wait_ms):
        return [no_answer(NOT_YET)] * len(users)
    found = await context.gateway.intents(users)
    return answers(found, time.time_ns() // 1_000_000)
