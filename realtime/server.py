"""``lambent server``: events in and intents out over HTTP. One process, Litestar on Granian."""

from __future__ import annotations

import argparse
import asyncio
import functools
import ipaddress
import signal
from typing import TYPE_CHECKING

from lambent.cli import Command
from lambent.errors import UsageError
from lambent.products import products_file
from lambent.settings import Settings

if TYPE_CHECKING:
    from granian.server.embed import Server
    from litestar import Litestar
    from litestar.config.cors import CORSConfig
    from litestar.types import Message, Scope

    from realtime.api_keys import Keyring
    from realtime.feed import Feed
    from realtime.store import Meta


def create_app(settings: Settings, meta: Meta, keyring: Keyring) -> Litestar:
    """The ASGI application on an opened store."""
    from litestar import Litestar

    from realtime.admission import admit, tell_parameters
    from realtime.api import EXCEPTION_HANDLERS, HANDLERS
    from realtime.collector import Door
    from realtime.context import Context
    from realtime.explanation import make_explainer
    from realtime.feed import Feed
    from realtime.gateway import Gateway
    from realtime.known import Watch
    from realtime.openapi import openapi_config
    from realtime.rates import Rates
    from realtime.server_metrics import ServerMetrics

    gateway = Gateway(settings, meta.partitions)
    door = Door(settings.load_taxonomy(), settings.user_key_bytes(), meta.partitions)
    url, metrics = settings.store_url.get_secret_value(), ServerMetrics()
    feed = Feed(url, meta.partitions, settings.http_max_streams, settings.http_stream_buffer)
    metrics.streams.set_function(lambda: len(feed.followers))
    explainer = functools.cache(functools.partial(make_explainer, settings, meta.tile_ms))
    context = Context(settings, door, gateway, metrics, keyring, Rates(settings.http_rate_per_s), feed, explainer)

    async def count(message: Message, _: Scope) -> None:
        if message["type"] == "http.response.start":
            metrics.requests.labels(str(message["status"])).inc()

    app = Litestar(
        HANDLERS,
        openapi_config=openapi_config(),
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=settings.http_max_body_bytes,
        guards=[admit],
        cors_config=_cors(settings.http_cors_origins.split()),
        before_send=[count],
        lifespan=[Watch(door, products_file(settings)).running],
        on_shutdown=[feed.close, gateway.close],
    )
    app.state.context = context
    tell_parameters(app)
    return app


def _cors(origins: list[str]) -> CORSConfig | None:
    """What a browser may be told; None says nothing, so that no page of another origin reads an answer."""
    from litestar.config.cors import CORSConfig

    if not origins:
        return None
    return CORSConfig(
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type", "last-event-id"],
        expose_headers=["retry-after"],
    )


def refuse_open_address(host: str, keys: int) -> None:
    """Without an API key nobody beyond this machine may reach the server.

    Raises:
        UsageError: the address is not loopback, and there are no keys.
    """
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not keys:
        raise UsageError(
            f"The server does not listen on {host} without API keys: anybody could read intents there.",
            "Make one (lambent key create --help), or set LAMBENT_HTTP_HOST to 127.0.0.1.",
        )


async def serve(settings: Settings, meta: Meta, keyring: Keyring) -> None:
    """Serve until SIGTERM or SIGINT."""
    from granian.constants import Interfaces
    from granian.server.embed import Server

    app = create_app(settings, meta, keyring)
    server = Server(
        app,
        address=settings.http_host,
        port=settings.http_port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(_stop(stop, app.state.context.feed, server))
    try:
        await server.serve()
    finally:
        stopping.cancel()


async def _stop(stop: asyncio.Event, feed: Feed, server: Server) -> None:
    """Streams end first: the server waits for what is under way, and they would never end."""
    await stop.wait()
    await feed.close()
    server.stop()  # type: ignore[no-untyped-call]


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: none of its own."""


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve until told to stop."""
    from realtime.api_keys import Keyring
    from realtime.logs import fields, get_logger, start_logging
    from realtime.promise import refuse_promise
    from realtime.store import open_store

    start_logging()
    keyring = Keyring(settings.api_keys_file)
    refuse_open_address(settings.http_host, len(keyring))
    store, meta = open_store(settings)
    refuse_promise(store, settings)
    log = get_logger("server")
    url = f"http://{settings.http_host}:{settings.http_port}"
    log.info(
        fields(
            "started",
            url=url,
            partitions=meta.partitions,
            keys=len(keyring) if keyring.asked else "none",
            acknowledge=settings.acknowledge,
        )
    )
    asyncio.run(serve(settings, meta, keyring))
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
