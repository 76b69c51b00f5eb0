"""The body of a request, within its limits."""

from __future__ import annotations

import asyncio

from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from realtime.context import HttpRequest, context_of
from realtime.problems import Problem, ProblemError

BODY_S = 30.0
"""How long a body may take to arrive."""
CLOSE = {"Connection": "close"}
"""The rest of the body is not read, so that no other request can follow it."""


async def read_body(request: HttpRequest) -> bytes:
    """All of the body.

    Raises:
        ProblemError: it is compressed (415), has more bytes than are taken (413), or does not arrive in time (408).
    """
    coding = request.headers.get("content-encoding", "identity")
    if coding != "identity":  # a few bytes could become gigabytes
        raise ProblemError(
            Problem(title="Compressed", status=415, detail=f"{coding[:40]!r} is not taken: send it plain.")
        )
    try:
        async with asyncio.timeout(BODY_S):
            return await request.body()
    except RequestEntityTooLarge:
        detail = f"At most {context_of(request).settings.http_max_body_bytes} bytes are taken at once."
        raise ProblemError(Problem(title="Too large", status=413, detail=detail), CLOSE) from None
    except TimeoutError:
        detail = f"The body did not arrive within {BODY_S:.0f} s."
        raise ProblemError(Problem(title="Too slow", status=408, detail=detail), CLOSE) from None


def check_count(request: HttpRequest, count: int, what: str) -> None:
    """Whether a request may name so many events or users.

    Raises:
        ProblemError: it may not (413).
    """
    most = context_of(request).settings.http_max_batch
    if count > most:
        detail = f"{count} {what}; at most {most} are taken at once."
        raise ProblemError(Problem(title=f"Too many {what}", status=413, detail=detail))
