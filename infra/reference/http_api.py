"""The page of the HTTP API, from the description that the server gives of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from infra.reference.markdown import code, markdown, table
from lambent.settings import Settings
from realtime.api_keys import MEANINGS, Keyring
from realtime.following import ENDS
from realtime.openapi import SCOPES, complete
from realtime.server import create_app
from realtime.store import Meta

LIMITS = (
    "http_max_body_bytes", "http_max_batch", "http_rate_per_s", "stream_max_events", "http_max_streams",
    "http_stream_buffer", "http_heartbeat_ms",
)  # fmt: skip


def described() -> dict[str, Any]:
    """The description of a server of the default settings, which is not started."""
    settings = Settings(user_key=SecretStr("00" * 32))
    app = create_app(settings, Meta(settings.partitions, settings.tile_ms), Keyring(Path("/nowhere/api-keys.json")))
    return complete(app.openapi_schema.to_schema(), app.state.context)


def http_page() -> str:
    """Every path of the HTTP API."""
    paths = described()["paths"]
    calls = [(method.upper(), path, operation) for path, item in paths.items() for method, operation in item.items()]
    overview = (
        (
            f"[`{method} {path}`](#{_anchor(method, path)})",
            operation["summary"],
            code(scope) if (scope := SCOPES[path]) else "–",
        )
        for method, path, operation in calls
    )
    limits = ((f"[`{name}`](settings.md)", Settings.model_fields[name].description, _default(name)) for name in LIMITS)
    return f"""# The HTTP API

`lambent server` describes itself: for people at `/schema`, for machines at `/schema/openapi.json` (OpenAPI 3.1), from the same
structs that read and write. This page is made from that description.

{table(("call", "what it does", "scope"), overview)}
Where the server has API keys, a call needs one with its scope: `Authorization: Bearer KEY`. A scope includes no other:
{", ".join(f"`{scope}` may {meaning}" for scope, meaning in MEANINGS.items())}.
[Give a service a key](../how-to/give-a-service-a-key.md) makes one. Without keys the server listens on this machine only, and
all is open there.

What goes wrong is told as `application/problem+json` (RFC 9457): `title`, `status`, `detail` with what to do, and `errors` where
parts of a request are meant. A body is not to be compressed.

{"".join(_call(*call) for call in calls)}
## Why a stream ends

Its last event is `end`, with a reason:

{table(("reason", "what it is"), ((code(reason), words) for reason, words in ENDS.items()))}
## Limits

{table(("setting", "what it bounds", "default"), limits)}
A rate is counted by each server process for itself, and twice as much may come at once. What a request costs is the number of
events or users in it, and is paid back before the next one passes: `Retry-After` says when.
"""


def _default(name: str) -> str:
    return f"{Settings.model_fields[name].default:,}"


def _anchor(method: str, path: str) -> str:
    return "".join(c for c in f"{method}-{path}".lower() if c.isalnum() or c in "-_")


def _call(method: str, path: str, operation: Mapping[str, Any]) -> str:
    answers = (
        (status, answer["description"], ", ".join(map(code, answer.get("headers", ()))))
        for status, answer in sorted(operation["responses"].items())
    )
    parameters = list(_parameters(operation))
    return f"""## {method} {path} {{: #{_anchor(method, path)} }}

{operation["summary"]} {markdown(operation["description"])}

{table(("parameter", "in", "what it is"), parameters) if parameters else ""}
{table(("status", "when", "header"), answers)}
"""


def _parameters(operation: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for one in operation.get("parameters", ()):
        yield code(one["name"]), one["in"], markdown(one.get("description", ""))
