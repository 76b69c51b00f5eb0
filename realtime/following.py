"""``GET /v1/stream``: every new intent, as it is said, to whoever follows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Annotated

import msgspec
from litestar import get
from litestar.params import HeaderParameter, QueryParameter
from litestar.types import ASGIApp

from lambent.errors import UsageError
from realtime.admission import SCOPE, key_of
from realtime.api_keys import Scope
from realtime.connection import UNAVAILABLE
from realtime.context import Context, HttpRequest, context_of
from realtime.event_stream import MEDIA_TYPE, EventStream
from realtime.feed import SLOW, STOPPING, Follower, FullError, Share, Wanted
from realtime.partition_list import parse_partitions
from realtime.places import Ids, read_place, write_place
from realtime.problems import Problem, ProblemError
from realtime.sending import TRY_AGAIN
from realtime.trim import INTENTS_KEPT_MS

RETRY_MS = 1_000
"""How long a browser waits before it comes back."""
SURE_MS = INTENTS_KEPT_MS - 60_000
"""Whoever comes back within this time has missed nothing; the minute is for clocks that differ."""
MOST_CHUNK_BYTES = 64 * 1024
REVOKED, STORE, LEFT = "revoked", "store", "left"

ENDS = {
    SLOW: "You read more slowly than intents come. Ask for less (intent, min, partitions), or read faster.",
    STOPPING: "The server stops. Come back with Last-Event-ID.",
    REVOKED: "The API key was revoked.",
    STORE: "The store cannot be reached just now. Come back with Last-Event-ID.",
}
"""Why a stream ends, by code: what is said to a person."""


class Notice(msgspec.Struct, frozen=True):
    """What is said beside the intents: a code, and words."""

    reason: str
    detail: str


@get("/v1/stream", media_type=MEDIA_TYPE, summary="Follow new intents", opt={SCOPE: Scope.READ})
async def follow_intents(
    request: HttpRequest,
    intent: Annotated[
        str | None, QueryParameter(description="Only intents in which this one is at least as probable as `min`.")
    ] = None,
    least: Annotated[
        float, QueryParameter(name="min", ge=0, le=1, description="With `intent`: the least probability.")
    ] = 0,
    partitions: Annotated[
        str | None,
        QueryParameter(description="Only users of these partitions, such as 0-7,12: a part of several readers."),
    ] = None,
    last_id: Annotated[
        str | None,
        HeaderParameter(name="Last-Event-ID", description="Go on after this event, as browsers do by themselves."),
    ] = None,
) -> ASGIApp:
    """Server-sent events; the data of each is an answer as of ``GET /v1/users/USER/intent``.

    An event ``gap`` says that intents may be missing since ``Last-Event-ID``, an event ``end`` why the stream ends. Some
    events have an id; whoever goes on after it gets what came after it, and may get a few of those again that came before.
    """
    context = context_of(request)
    wanted = _wanted(context, intent, least, partitions)
    place = _place(last_id, context.gateway.partitions) if last_id else None

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[AsyncIterator[bytes]]:
        try:
            async with (
                context.feed.follow(wanted) as follower,
                contextlib.aclosing(_chunks(_Stream(request, follower, place))) as chunks,
            ):
                yield chunks
        except FullError:
            detail = f"{context.settings.http_max_streams} streams are open at this server, which is all that may be."
            raise ProblemError(Problem(title="Too many streams", status=503, detail=detail), TRY_AGAIN) from None

    return EventStream(opened)


def _wanted(context: Context, intent: str | None, least: float, partitions: str | None) -> Wanted:
    known = context.door.taxonomy.intents
    if intent is not None and intent not in known:
        raise _wrong(f"There is no intent {intent[:40]!r}. There are: {', '.join(known)}.")
    if intent is None and least:
        raise _wrong("min is the least probability of an intent: name it (intent=purchase).")
    try:
        own = set(parse_partitions(partitions, context.gateway.partitions)) if partitions is not None else None
    except UsageError as error:
        raise _wrong(str(error)) from error

    def wanted(partition: int, probabilities: dict[str, float]) -> bool:
        return (own is None or partition in own) and (intent is None or probabilities.get(intent, 0.0) >= least)

    return wanted


def _place(last_id: str, partitions: int) -> tuple[int, Ids]:
    try:
        return read_place(last_id, partitions)
    except UsageError as error:
        raise _wrong(str(error)) from error


def _wrong(detail: str) -> ProblemError:
    return ProblemError(Problem(title="Wrong parameter", status=400, detail=detail))


class _Stream:
    """One reader's stream: where it is, and what it is sent.

    Args:
        request: its request.
        follower: its buffer.
        place: when, and where, it was before; None: it begins now.
    """

    def __init__(self, request: HttpRequest, follower: Follower, place: tuple[int, Ids] | None) -> None:
        self.context, self.key = context_of(request), key_of(request)
        self.follower, self.place = follower, place
        self.at = list(place[1] if place else follower.start)
        self.heartbeat_s = self.context.settings.http_heartbeat_ms / 1000

    def end(self) -> str:
        """Why it has to end now; empty: it need not."""
        if self.key is not None and self.key not in self.context.keyring:
            return REVOKED
        return self.follower.ended

    def mark(self) -> bytes:
        """Where it is, as an id."""
        return f"id: {write_place(_now_ms(), self.at)}\n".encode()

    def take(self, share: Share) -> Iterator[bytes]:
        """The events of a share, in chunks; the last one has the id, so that no event is lost between two streams."""
        now_ms, events, size = _now_ms(), [], 0
        for partition, entry_id, intents in share.entries:
            if entry_id <= self.at[partition]:
                continue
            for ingest_ms, data in intents:
                event = b'data: {"intent":%b,"age_ms":%d}\n' % (data, max(now_ms - ingest_ms, 0))
                events.append(event)
                size += len(event)
                if size > MOST_CHUNK_BYTES:
                    yield b"\n".join([*events, b""])
                    events, size = [], 0
        for partition, entry_id in share.heads.items():
            self.at[partition] = max(self.at[partition], entry_id)
        if events:
            yield b"\n".join(events) + self.mark() + b"\n"


async def _chunks(stream: _Stream) -> AsyncGenerator[bytes, None]:
    yield b"retry: %d\n" % RETRY_MS + stream.mark() + b"\n"
    if stream.place and _now_ms() - stream.place[0] > SURE_MS:
        yield _notice("gap", "trimmed", "You were away for too long: some intents since then may be missing here.")
    reason = LEFT
    try:
        async for share in stream.context.feed.history(stream.follower, stream.at):
            for chunk in stream.take(share):
                yield chunk
        async for chunk in _news(stream):
            yield chunk
        reason = stream.end()
    except UNAVAILABLE:
        reason = STORE
    finally:  # a reader that takes nothing is left where it stands
        stream.context.metrics.streams_ended.labels(stream.end() or reason).inc()
    yield _notice("end", reason, ENDS[reason])


async def _news(stream: _Stream) -> AsyncIterator[bytes]:
    due_s = time.monotonic() + stream.heartbeat_s
    while not stream.end():
        share = await stream.follower.next(max(due_s - time.monotonic(), 0))
        chunks = stream.take(share) if share else ()
        for chunk in chunks:
            yield chunk
            due_s = time.monotonic() + stream.heartbeat_s
        if time.monotonic() >= due_s:
            yield b": nothing new\n" + stream.mark() + b"\n"
            due_s = time.monotonic() + stream.heartbeat_s


def _notice(event: str, reason: str, detail: str) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), msgspec.json.encode(Notice(reason, detail)))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
