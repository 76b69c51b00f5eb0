"""``lambent server``: events in and intents out over HTTP. One process, Litestar on Granian."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import signal
from typing import TYPE_CHECKING, Any

from lambent.cli import Command
from lambent.errors import UsageError
from lambent.products import products_file
from lambent.settings import Settings

if TYPE_CHECKING:
    from litestar import Litestar

    from realtime.store import Meta


def create_app(settings: Settings, meta: Meta) -> Litestar:
    """The ASGI application on an opened store."""
    from litestar import Litestar

    from realtime.api import EXCEPTION_HANDLERS, HANDLERS
    from realtime.collector import Door
    from realtime.context import Context
    from realtime.gateway import Gateway
    from realtime.known import Watch
    from realtime.openapi import openapi_config
    from realtime.server_metrics import ServerMetrics

    gateway = Gateway(settings, meta.partitions)
    door = Door(settings.load_taxonomy(), settings.user_key_bytes(), meta.partitions)
    context = Context(settings, door, gateway, ServerMetrics())

    async def count(response: Any) -> Any:
        context.metrics.requests.labels(str(response.status_code)).inc()
        return response

    app = Litestar(
        HANDLERS,
        openapi_config=openapi_config(),
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=settings.http_max_body_bytes,
        after_request=count,
        lifespan=[Watch(door, products_file(settings)).running],
        on_shutdown=[gateway.close],
    )
    app.state.context = context
    return app


def refuse_open_address(host: str) -> None:
    """There are no API keys yet, so nobody beyond this machine may reach the server.

    Raises:
        UsageError: the address is not loopback.
    """
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(
            f"The server does not listen on {host}: it knows no API keys yet, so anybody could read intents there.",
            "Set LAMBENT_HTTP_HOST to 127.0.0.1.",
        )


async def serve(settings: Settings, meta: Meta) -> None:
    """Serve until SIGTERM or SIGINT."""
    from granian.constants import Interfaces
    from granian.server.embed import Server

    server = Server(
        create_app(settings, meta),
        address=settings.http_host,
        port=settings.http_port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.serve()


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: none of its own."""


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve until told to stop."""
    from realtime.logs import fields, get_logger, start_logging
    from realtime.store import open_store

    start_logging()
    refuse_open_address(settings.http_host)
    _, meta = open_store(settings)
    log = get_logger("server")
    log.info(fields("started", url=f"http://{settings.http_host}:{settings.http_port}", partitions=meta.partitions))
    asyncio.run(serve(settings, meta))
    log.info(fields("stopped"))


COMMAND = Command(
    help="take events and answer with intents over HTTP",
    description=(
        "POST /v1/events takes one JSON object, a JSON list or JSON lines, with the shop's own user ids; they become\n"
        "pseudonyms at this door. GET /v1/users/USER/intent reads an intent. The API is described at /schema."
    ),
    examples=(
        ("lambent server", "on LAMBENT_HTTP_HOST and LAMBENT_HTTP_PORT (127.0.0.1:8642)"),
        (
            'curl -d \'{"user":"anna","type":"view"}\' "http://127.0.0.1:8642/v1/events?wait=100"',
            "an event, and its intent",
        ),
    ),
    configure=configure,
    run=run,
)
