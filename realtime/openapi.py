"""The API's description: OpenAPI 3.1 at ``/schema/openapi.json``, and a page at ``/schema`` that fetches nothing."""

from __future__ import annotations

import html
import json
from typing import Any

import msgspec
from litestar import Request
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin

import lambent
from realtime.api import Accepted, Answer
from realtime.collector import IncomingEvent
from realtime.problems import MEDIA_TYPE, Problem

_REF = "#/components/schemas/{name}"
_STRUCTS = (IncomingEvent, Accepted, Answer, Problem)
_PROBLEMS = {
    "400": "not JSON, or a parameter that does not fit",
    "404": "no intent is known of this user",
    "413": "too many events or bytes",
    "422": "no valid event",
    "429": "the log is full; Retry-After says when to try again",
    "503": "the store cannot be reached, or takes nothing just now",
}
_OF_PATH = {
    "/v1/events": ("400", "413", "422", "429", "503"),
    "/v1/users/{user}/intent": ("404", "503"),
    "/readyz": ("503",),
}


def complete(schema: dict[str, Any]) -> dict[str, Any]:
    """Litestar's description with what it cannot know: bodies that a handler reads and writes itself, from their structs."""
    _, components = msgspec.json.schema_components(_STRUCTS, ref_template=_REF)
    schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
    for path, item in schema["paths"].items():
        for operation in item.values():
            for status in _OF_PATH.get(path, ()):
                operation["responses"][status] = _response(_PROBLEMS[status], "Problem", MEDIA_TYPE)
    events = schema["paths"]["/v1/events"]["post"]
    events["requestBody"] = {"required": True, "content": _bodies()}
    events["responses"]["202"] = _response("at least one event was taken", "Accepted")
    schema["paths"]["/v1/users/{user}/intent"]["get"]["responses"]["200"] = _response("the newest intent", "Answer")
    return schema


def _bodies() -> dict[str, Any]:
    one = {"$ref": _REF.format(name="IncomingEvent")}
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": 1000}
    return {"application/json": {"schema": {"oneOf": [one, many]}}, "application/x-ndjson": {"schema": one}}


def _response(description: str, name: str, media_type: str = "application/json") -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": {"$ref": _REF.format(name=name)}}}}


class JsonPlugin(OpenAPIRenderPlugin):
    """The description itself."""

    def __init__(self) -> None:
        super().__init__(path="/openapi.json", media_type="application/json")  # type: ignore[arg-type]

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The JSON."""
        return json.dumps(complete(openapi_schema)).encode()


class PagePlugin(OpenAPIRenderPlugin):
    """A plain page for people: paths, what they do, and the schemas. No script, nothing from elsewhere."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The HTML."""
        schema = complete(openapi_schema)
        parts = [f"<h2>{html.escape(path)}</h2>{_operations(item)}" for path, item in schema["paths"].items()]
        parts += [
            f"<h2 id={name!r}>{html.escape(name)}</h2><pre>{html.escape(json.dumps(body, indent=2))}</pre>"
            for name, body in sorted(schema["components"]["schemas"].items())
        ]
        return _PAGE.format(version=html.escape(lambent.__version__), body="\n".join(parts)).encode()


def _operations(item: dict[str, Any]) -> str:
    return "".join(
        f"<p><b>{method.upper()}</b> {html.escape(operation.get('summary', ''))}<br>"
        f"{html.escape(operation.get('description', ''))}</p>"
        f"<pre>{html.escape(json.dumps({k: operation[k] for k in ('parameters', 'requestBody', 'responses') if k in operation}, indent=2))}</pre>"
        for method, operation in item.items()
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Lambent API</title>
<style>body{{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}}pre{{overflow:auto;background:#8882;padding:1em}}</style>
</head><body><h1>Lambent API {version}</h1><p>The same for machines: <a href="/schema/openapi.json">openapi.json</a></p>
{body}
</body></html>"""


def openapi_config() -> OpenAPIConfig:
    """Where the description lies."""
    return OpenAPIConfig(
        title="Lambent", version=lambent.__version__, path="/schema", render_plugins=[JsonPlugin(), PagePlugin()]
    )
