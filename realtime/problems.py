"""Errors over HTTP: ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What went wrong.

    Attributes:
        title: what kind of problem it is.
        status: the HTTP status.
        detail: what happened here, and what to do.
        errors: the parts of the request that are wrong: index, reason, detail.
    """

    title: str
    status: int
    detail: str = ""
    errors: tuple[dict[str, Any], ...] = ()


class ProblemError(Exception):
    """Ends a request with a problem.

    Args:
        problem: what is answered.
        headers: what is said besides.
    """

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.title)
        self.problem, self.headers = problem, headers


def respond(problem: Problem, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """The response that says it."""
    body = msgspec.json.encode(problem)
    return Response(body, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def from_problem(request: Request[Any, Any, Any], error: ProblemError) -> Response[bytes]:
    """What a handler refuses."""
    return respond(error.problem, error.headers)


def from_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """What Litestar itself refuses: no such path, wrong method, a parameter that does not fit."""
    problem = Problem(title=type(error).__name__, status=error.status_code, detail=error.detail)
    return respond(problem, error.headers)
