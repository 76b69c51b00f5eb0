"""``GET /v1/users/USER/intent`` and ``POST /v1/intents``: what is said of one user, and of many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter
from msgspec.structs import replace

from lambent.errors import StoreError
from lambent.events import MAX_USER, UNDECODABLE, Intent
from realtime.admission import SCOPE, charge
from realtime.answers import UNREADABLE, Answer, answer, answers, no_answer
from realtime.api_keys import Scope
from realtime.bodies import check_count, read_body
from realtime.context import JSON, Context, HttpRequest, context_of
from realtime.explanation import Explanation
from realtime.problems import Problem, ProblemError
from realtime.sending import Pseudonymous

Explain = Annotated[
    bool, QueryParameter(description="Say why as well: what the profile and each of the last events did to it.")
]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of whom intents are asked.

    Attributes:
        users: the shop's own ids, or pseudonyms where the request says so.
    """

    users: Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_USER)]], msgspec.Meta(min_length=1)]


class Answers(msgspec.Struct, frozen=True):
    """What is said of the users of a request.

    Attributes:
        intents: one answer a user, in the request's order.
    """

    intents: list[Answer]


_decode = msgspec.json.Decoder(Asked).decode


@get("/v1/users/{user:str}/intent", media_type=JSON, summary="Read a user's intent", opt={SCOPE: Scope.READ})
async def read_intent(
    request: HttpRequest, user: FromPath[str], pseudonymous: Pseudonymous = False, explain: Explain = False
) -> Response[bytes]:
    """The newest intent of the user whose id in the shop is ``user``; 404 while none is known.

    An id with a slash in it is no path: ask ``POST /v1/intents`` for it.
    """
    context = context_of(request)
    if explain:
        found = await _explained(context, _names(context, [user], pseudonymous)[0])
    else:
        (value,) = await _values(context, [user], pseudonymous)
        found = answer(value, _now_ms())
    if found.error is not None:
        status = 502 if found.error.reason == UNREADABLE else 404
        raise ProblemError(Problem(title=_TITLES[status], status=status, detail=found.error.detail))
    return Response(msgspec.json.encode(found), media_type=JSON)


async def _explained(context: Context, name: str) -> Answer:
    """The answer with its explanation, for which a thread asks the model: the event loop goes on."""
    value, *beside = await context.gateway.evidence(name)
    found = answer(value, _now_ms())
    if found.intent is None:
        return found
    try:
        return replace(found, explanation=await asyncio.to_thread(_explain, context, found.intent, beside))
    except StoreError:
        return no_answer(UNREADABLE)


def _explain(context: Context, intent: Intent, beside: Sequence[bytes | None]) -> Explanation:
    return context.explainer().explain(intent, *beside)


_TITLES = {404: "No intent", 502: "Unreadable intent"}


@post("/v1/intents", status_code=200, media_type=JSON, summary="Read many users' intents", opt={SCOPE: Scope.READ})
async def read_intents(request: HttpRequest, pseudonymous: Pseudonymous = False) -> Response[bytes]:
    """What is said of each user, in the request's order: an intent, or why there is none.

    One request of a thousand users costs the store one round trip.
    """
    body = await read_body(request)
    try:
        asked = _decode(body)
    except UNDECODABLE as error:
        detail = f'{error}. Send {{"users": ["…", "…"]}}.'
        raise ProblemError(Problem(title="Not a list of users", status=400, detail=detail)) from error
    check_count(request, len(asked.users), "users")
    charge(request, len(asked.users))
    values = await _values(context_of(request), asked.users, pseudonymous)
    return Response(msgspec.json.encode(Answers(answers(values, _now_ms()))), media_type=JSON)


async def _values(context: Context, users: list[str], pseudonymous: bool) -> list[bytes | None]:
    return await context.gateway.intents(_names(context, users, pseudonymous))


def _names(context: Context, users: list[str], pseudonymous: bool) -> list[str]:
    return users if pseudonymous else [context.door.pseudonym(user) for user in users]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
