"""Server-sent events as a response (WHATWG HTML, 9.2): it ends with its reader, and waits for a slow one only so long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

SEND_S = 30.0
"""How long a reader may take for a chunk."""
MEDIA_TYPE = "text/event-stream"
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", MEDIA_TYPE.encode()), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")],
}

Message = dict[str, Any]
Open = Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]


class EventStream:
    """An ASGI response.

    Args:
        open: gives the chunks; what it raises before the first one is answered like any other error.
    """

    def __init__(self, open: Open) -> None:
        self._open = open

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        """Send chunks until there are no more, or nobody takes them."""
        async with self._open() as chunks:
            await send(dict(_START))
            sending = asyncio.create_task(_send(chunks, send))
            leaving = asyncio.create_task(_left(receive))
            try:
                await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, leaving):
                    task.cancel()
                await asyncio.wait((sending, leaving))
            if not sending.cancelled() and (error := sending.exception()) and not isinstance(error, TimeoutError):
                raise error


async def _send(chunks: AsyncIterator[bytes], send: Callable[[Any], Any]) -> None:
    async for chunk in chunks:
        await _in_time(send({"type": "http.response.body", "body": chunk, "more_body": True}))
    await _in_time(send({"type": "http.response.body", "body": b"", "more_body": False}))


async def _in_time(sent: Awaitable[None]) -> None:
    async with asyncio.timeout(SEND_S):
        await sent


async def _left(receive: Callable[[], Any]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
