"""What the handlers of the HTTP API share."""

from __future__ import annotations

import dataclasses
from typing import Any

from litestar import Request
from litestar.datastructures import State

from lambent.settings import Settings
from realtime.api_keys import Keyring
from realtime.collector import Door
from realtime.feed import Feed
from realtime.gateway import Gateway
from realtime.rates import Rates
from realtime.server_metrics import ServerMetrics

HttpRequest = Request[Any, Any, State]
JSON = "application/json"


@dataclasses.dataclass(frozen=True)
class Context:
    """One server's parts.

    Attributes:
        settings: name the limits.
        door: makes events of texts, and pseudonyms of ids.
        gateway: the store.
        metrics: what is counted.
        keyring: the API keys.
        rates: what each key has left.
        feed: the new intents.
    """

    settings: Settings
    door: Door
    gateway: Gateway
    metrics: ServerMetrics
    keyring: Keyring
    rates: Rates
    feed: Feed


def context_of(request: Request[Any, Any, Any]) -> Context:
    """The parts of the server that has this request."""
    context: Context = request.app.state.context
    return context
