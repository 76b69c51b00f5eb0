"""The HTTP API: all its handlers, and what is answered when something fails."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import HTTPException
from redis.exceptions import NoPermissionError, OutOfMemoryError

from realtime.admission import SCOPE
from realtime.api_keys import Scope
from realtime.connection import UNAVAILABLE
from realtime.context import HttpRequest, context_of
from realtime.following import follow_intents
from realtime.logs import fields, get_logger
from realtime.problems import Problem, ProblemError, from_exception, from_problem, respond
from realtime.promise import NotKeptError
from realtime.reading import read_intent, read_intents
from realtime.sending import TRY_AGAIN, send_events
from realtime.server_metrics import CONTENT_TYPE

log = get_logger("api")


@get("/healthz", media_type="text/plain", summary="Does the server run?")
async def healthz() -> str:
    """``ok`` as long as the server answers at all."""
    return "ok"


@get("/readyz", media_type="text/plain", summary="Can it take events?")
async def readyz(request: HttpRequest) -> str:
    """``ok`` while the store can be reached; else 503."""
    await context_of(request).gateway.ping()
    return "ok"


@get("/metrics", media_type=CONTENT_TYPE, summary="What does it do?", opt={SCOPE: Scope.ADMIN})
async def metrics(request: HttpRequest) -> Response[bytes]:
    """Counters for Prometheus."""
    return Response(context_of(request).metrics.text(), media_type=CONTENT_TYPE)


def store_gone(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The store cannot be reached or is full: part of the request may have been taken, so a retry needs ids."""
    log.warning(fields("store-unavailable", reason=f"{type(error).__name__}: {error}"))
    detail = (
        "The store cannot be reached, or takes nothing just now. Send the request again; events with an id count once."
    )
    return respond(Problem(title="Store unavailable", status=503, detail=detail), TRY_AGAIN)


def store_full(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The store has no memory left, and took nothing of the request."""
    log.warning(fields("store-full", reason=str(error)))
    detail = "The store's memory is full. Nothing was taken: send the request again later."
    return respond(Problem(title="The store is full", status=429, detail=detail), TRY_AGAIN)


def not_allowed(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """This server's user in the store has not the right; its log says which."""
    log.error(fields("store-refuses", path=request.scope["path_template"], reason=str(error)))
    detail = "This server's user in the store may not do that: it runs as another role (infra/users.acl)."
    return respond(Problem(title="The store refuses this server", status=503, detail=detail))


def not_kept(request: Request[Any, Any, Any], error: NotKeptError) -> Response[bytes]:
    """What is in the log may be lost with the store's memory: whoever sent it has to send it again."""
    log.warning(fields("not-kept", reason=str(error)))
    detail = f"{error} Send the request again; events with an id count once."
    return respond(Problem(title="Not kept yet", status=503, detail=detail), TRY_AGAIN)


def failed(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A mistake of this server; its log says which."""
    log.error(fields("request-failed", path=request.scope["path_template"], error=type(error).__name__), exc_info=error)
    return respond(Problem(title="The server failed", status=500, detail="Its log says why."))


HANDLERS = [send_events, read_intent, read_intents, follow_intents, healthz, readyz, metrics]
EXCEPTION_HANDLERS: dict[Any, Any] = {
    **dict.fromkeys(UNAVAILABLE, store_gone),
    OutOfMemoryError: store_full,
    NoPermissionError: not_allowed,
    NotKeptError: not_kept,
    ProblemError: from_problem,
    HTTPException: from_exception,
    Exception: failed,
}
