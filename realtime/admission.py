"""Who may call what, and how often: looked at before a request's body is read."""

from __future__ import annotations

import math
from typing import Any

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.routes import HTTPRoute

from realtime.api_keys import MEANINGS, ApiKey, Scope
from realtime.bodies import CLOSE
from realtime.context import Context, HttpRequest, context_of
from realtime.problems import Problem, ProblemError

SCOPE = "scope"
"""In a handler's ``opt``: the scope that its callers need. A handler without one is open to all."""

QUERY = "query"
"""In a handler's ``opt``: the parameters that a call may have."""

Connection = ASGIConnection[Any, Any, Any, Any]


async def admit(connection: Connection, handler: BaseRouteHandler) -> None:
    """Litestar asks this before each request; a function that is not async it would call in a thread.

    Raises:
        ProblemError: no key or none that is known (401), one without the handler's scope (403), too much of it (429), or
            a parameter that there is not (400).
    """
    scope: Scope | None = handler.opt.get(SCOPE)
    context: Context = connection.app.state.context
    connection.state.key = None
    if scope is None:
        return
    if context.keyring.asked:
        connection.state.key = _admit_key(connection, context, scope)
    _refuse_unknown(connection, handler)


def _admit_key(connection: Connection, context: Context, scope: Scope) -> ApiKey:
    key = _identify(connection, context)
    if scope not in key.scopes:
        detail = f"This key may not {MEANINGS[scope]}. It has: {', '.join(key.scopes)}."
        raise _refusal("Wrong scope", 403, detail, f'error="insufficient_scope", scope="{scope}"')
    wait_s = context.rates.enter(key.id)
    if wait_s:
        detail = f"At most {context.settings.http_rate_per_s} events and users a second are taken with one key."
        headers = {"Retry-After": str(math.ceil(wait_s)), **CLOSE}
        raise ProblemError(Problem(title="Too many requests", status=429, detail=detail), headers)
    return key


def tell_parameters(app: Litestar) -> None:
    """Write into the handlers' ``opt`` which parameters they have."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler, model in route.route_handler_map.values():
                handler.opt[QUERY] = {one.field_alias for one in model.expected_query_params}


def _refuse_unknown(connection: Connection, handler: BaseRouteHandler) -> None:
    """A misspelt parameter that is ignored is worse than an error: ``pseudonymous`` decides whose intent it is."""
    known = handler.opt.get(QUERY, ())
    for name in connection.query_params:
        if name not in known:
            detail = f"There is no parameter {name[:40]!r}. There are: {', '.join(sorted(known)) or 'none'}."
            raise ProblemError(Problem(title="Unknown parameter", status=400, detail=detail), CLOSE)


def _identify(connection: Connection, context: Context) -> ApiKey:
    given = connection.headers.getall("authorization", [])
    if not given:
        raise _refusal("No API key", 401, "Send one: Authorization: Bearer lambent_….")
    scheme, _, secret = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer":
        raise _refusal("No API key", 401, "Send one header: Authorization: Bearer lambent_….")
    key = context.keyring.find(secret.strip())
    if key is None:
        raise _refusal(
            "Unknown API key", 401, "It is not a key of this server, or was revoked.", 'error="invalid_token"'
        )
    return key


def _refusal(title: str, status: int, detail: str, *words: str) -> ProblemError:
    challenge = ", ".join(['Bearer realm="lambent"', *words])  # RFC 6750, 3
    return ProblemError(Problem(title=title, status=status, detail=detail), {"WWW-Authenticate": challenge, **CLOSE})


def key_of(request: HttpRequest) -> ApiKey | None:
    """The key that a request came with; None where no key is asked for."""
    key: ApiKey | None = request.state.key
    return key


def charge(request: HttpRequest, cost: int) -> None:
    """Take from the rate of a request's key what it named: events or users."""
    key = key_of(request)
    if key is not None:
        context_of(request).rates.charge(key.id, cost)
