"""The HTTP API: what each path does. ``docs`` of the responses come from the structs here.

A request's events are looked at one by one: the valid ones are taken, the others are named with their index and reason. So
202 means that at least one was taken, 422 that none was; nothing is taken in silence and nothing is dropped in silence.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.params import Parameter

from lambent.errors import UsageError
from lambent.events import Intent, Rejection
from realtime.collector import MAX_BODY_BYTES, MAX_EVENTS, Door, Taken, split_body
from realtime.connection import UNAVAILABLE
from realtime.gateway import Gateway
from realtime.logs import fields, get_logger
from realtime.problems import Problem, respond
from realtime.server_metrics import CONTENT_TYPE, ServerMetrics

log = get_logger("api")

MAX_WAIT_MS = 10_000
RETRY_AFTER_S = 1
TRY_AGAIN = {"Retry-After": str(RETRY_AFTER_S)}


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
        intents: with ``wait``: the newest intent of each user, in the order of their first event; null where the worker has
            not answered in time.
    """

    accepted: int
    ids: list[str | None]
    rejected: list[Refused] = []
    intents: list[msgspec.Raw | None] | None = None


class Answer(msgspec.Struct, frozen=True):
    """A visitor's newest intent, and how long ago the log took the event that it speaks of, milliseconds."""

    intent: Intent
    age_ms: int


class Context:
    """What the handlers share."""

    def __init__(self, door: Door, gateway: Gateway, metrics: ServerMetrics) -> None:
        self.door, self.gateway, self.metrics = door, gateway, metrics


@post("/v1/events", status_code=202, media_type="application/json", summary="Send events")
async def send_events(
    request: Request[Any, Any, State],
    wait: Annotated[int, Parameter(ge=0, le=MAX_WAIT_MS, description="Wait so many ms for the intents.")] = 0,
    pseudonymous: Annotated[bool, Parameter(description="Users are pseudonyms already: for trusted replays.")] = False,
) -> Response[bytes]:
    """Take one JSON object, a JSON list, or JSON lines: at most 1,000 events and 1 MiB a request.

    A request that is sent twice counts once if its events have an ``id``.
    """
    context: Context = request.app.state.context
    try:
        texts = split_body(await _body(request))
    except UsageError as error:
        return respond(Problem(title="Not a list of events", status=400, detail=str(error)))
    except OverflowError:
        detail = f"At most {MAX_BODY_BYTES} bytes are taken at once."
        return respond(Problem(title="Too large", status=413, detail=detail))
    if len(texts) > MAX_EVENTS:
        detail = f"{len(texts)} events; at most {MAX_EVENTS} are taken at once."
        return respond(Problem(title="Too many events", status=413, detail=detail))
    with context.metrics.seconds.time():
        return await _take(context, context.door.take(texts, pseudonymous=pseudonymous), wait)


async def _body(request: Request[Any, Any, State]) -> bytes:
    size = 0
    parts = []
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise OverflowError
        parts.append(part)
    return b"".join(parts)


async def _take(context: Context, outcomes: list[Taken | Rejection], wait_ms: int) -> Response[bytes]:
    taken = [one for one in outcomes if isinstance(one, Taken)]
    refused = [Refused(i, r.reason, r.detail) for i, r in enumerate(outcomes) if isinstance(r, Rejection)]
    if not taken:
        _count_refused(context, refused)
        errors = tuple(msgspec.to_builtins(one) for one in refused)
        return respond(Problem(title="No valid event", status=422, detail="Nothing was taken.", errors=errors))
    if full := await context.gateway.full(one.partition for one in taken):
        detail = f"The log is full in partition {full[0]}: the workers or the archiver are behind. Nothing was taken."
        return respond(Problem(title="The log is full", status=429, detail=detail), TRY_AGAIN)
    entry_ids = await context.gateway.append(taken)
    _count_refused(context, refused)
    context.metrics.accepted.inc(len(taken))
    event_ids = [one.event_id if isinstance(one, Taken) else None for one in outcomes]
    intents = await _intents(context, taken, entry_ids, wait_ms) if wait_ms else None
    body = msgspec.json.encode(Accepted(len(taken), event_ids, refused, intents))
    return Response(body, status_code=202, media_type="application/json")


def _count_refused(context: Context, refused: list[Refused]) -> None:
    for one in refused:
        context.metrics.rejected.labels(one.reason).inc()


async def _intents(
    context: Context, taken: list[Taken], entry_ids: list[bytes], wait_ms: int
) -> list[msgspec.Raw | None]:
    ends = {one.partition: entry_id for one, entry_id in zip(taken, entry_ids, strict=True)}  # the last one stays
    users = list(dict.fromkeys(one.user for one in taken))
    if not await context.gateway.passed(ends, wait_ms):
        return [None] * len(users)
    found = await context.gateway.intents(users)
    return [None if value is None else msgspec.Raw(value) for value in found]


@get("/v1/users/{user:str}/intent", media_type="application/json", summary="Read a visitor's intent")
async def read_intent(request: Request[Any, Any, State], user: str) -> Response[bytes]:
    """The newest intent of the visitor whose id in the shop is ``user``; 404 while none is known."""
    context: Context = request.app.state.context
    value = (await context.gateway.intents([context.door.pseudonym(user)]))[0]
    if value is None:
        detail = "No intent is known of this user: no event in the last 14 days, or none that was answered yet."
        return respond(Problem(title="Unknown user", status=404, detail=detail))
    intent = msgspec.json.decode(value, type=Intent)
    age_ms = max(time.time_ns() // 1_000_000 - intent.ingest_ms, 0)
    return Response(msgspec.json.encode(Answer(intent, age_ms)), media_type="application/json")


@get("/healthz", media_type="text/plain", summary="Does the server run?")
async def healthz() -> str:
    """``ok`` as long as the server answers at all."""
    return "ok"


@get("/readyz", media_type="text/plain", summary="Can it take events?")
async def readyz(request: Request[Any, Any, State]) -> str:
    """``ok`` while the store can be reached; else 503."""
    await request.app.state.context.gateway.ping()
    return "ok"


@get("/metrics", media_type=CONTENT_TYPE, include_in_schema=False)
async def metrics(request: Request[Any, Any, State]) -> Response[bytes]:
    """For Prometheus."""
    return Response(request.app.state.context.metrics.text(), media_type=CONTENT_TYPE)


def store_gone(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The store cannot be reached or is full: part of the request may have been taken, so a retry needs ids."""
    log.warning(fields("store-unavailable", reason=f"{type(error).__name__}: {error}"))
    detail = (
        "The store cannot be reached, or takes nothing just now. Send the request again; events with an id count once."
    )
    return respond(Problem(title="Store unavailable", status=503, detail=detail), TRY_AGAIN)


def failed(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A mistake of this server; its log says which."""
    log.error(fields("request-failed", path=request.scope["path_template"], error=type(error).__name__), exc_info=error)
    return respond(Problem(title="The server failed", status=500, detail="Its log says why."))


HANDLERS = [send_events, read_intent, healthz, readyz, metrics]
STORE_ERRORS = UNAVAILABLE
