"""What the handlers of the HTTP API share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from litestar import Request
from litestar.datastructures import State

from lambent.settings import Settings
from realtime.api_keys import Keyring
from realtime.collector import Door
from realtime.feed import Feed
from realtime.gateway import Gateway
from realtime.rates import Rates
from realtime.server_metrics import ServerMetrics

if TYPE_CHECKING:
    from realtime.explain import Explainer

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
        explainer: says why an intent is what it is; it is made when it is first asked for, since it takes seconds to load.
    """

    settings: Settings
    door: Door
    gateway: Gateway
    metrics: ServerMetrics
    keyring: Keyring
    rates: Rates
    feed: Feed
    explainer: Callable[[], Explainer]


def context_of(request: Request[Any, Any, Any]) -> Context:
    """The parts of the server that has this request."""
    context: Context = request.app.state.context
    return context
