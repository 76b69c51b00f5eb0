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
from lambent.settings import Settings
from realtime.answers import Answer
from realtime.collector import IncomingEvent
from realtime.context import JSON, context_of
from realtime.problems import MEDIA_TYPE, Problem
from realtime.reading import Answers, Asked
from realtime.sending import Accepted

_REF = "#/components/schemas/{name}"
_STRUCTS = (IncomingEvent, Accepted, Asked, Answers, Answer, Problem)
_PROBLEMS = {
    "400": "not JSON, or a parameter that does not fit",
    "404": "no intent is known of this user",
    "408": "the body did not arrive in time",
    "413": "too many events, users or bytes",
    "415": "the body is compressed",
    "422": "no valid event",
    "429": "the log is full; Retry-After says when to try again",
    "502": "what the store holds of this user is no intent of this version",
    "503": "the store cannot be reached, or takes nothing just now; Retry-After says when to try again",
}
_BODY = ("400", "408", "413", "415", "503")
_OF_OPERATION = {
    "/v1/events": ("post", "202", "at least one event was taken", "Accepted", (*_BODY, "422", "429")),
    "/v1/users/{user}/intent": ("get", "200", "the newest intent", "Answer", ("400", "404", "502", "503")),
    "/v1/intents": ("post", "200", "one answer a user, in the request's order", "Answers", _BODY),
    "/healthz": ("get", "200", "it runs", None, ()),
    "/readyz": ("get", "200", "it can take events", None, ("503",)),
}
"""By path: its method, the status and meaning of its answer, the answer's struct (None: text), and its problems."""


def complete(schema: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Litestar's description with what it cannot know: bodies that a handler reads and writes itself, from their structs."""
    _, components = msgspec.json.schema_components(_STRUCTS, ref_template=_REF)
    schema["components"] = {**schema.get("components", {}), "schemas": components}
    for path, item in schema["paths"].items():
        method, status, meaning, name, problems = _OF_OPERATION[path]
        operation = item[method]
        operation["description"] = operation.get("description", "").replace("``", "`")
        answer = _response(meaning, JSON, _ref(name)) if name else _response(meaning, "text/plain", {"type": "string"})
        refusals = {one: _response(_PROBLEMS[one], MEDIA_TYPE, _ref("Problem")) for one in problems}
        operation["responses"] = {status: answer, **refusals}
    schema["paths"]["/v1/events"]["post"]["requestBody"] = _events(settings.http_max_batch)
    asked = {"allOf": [_ref("Asked"), {"properties": {"users": {"maxItems": settings.http_max_batch}}}]}
    schema["paths"]["/v1/intents"]["post"]["requestBody"] = _body({JSON: {"schema": asked}})
    return schema


def _events(most: int) -> dict[str, Any]:
    one = _ref("IncomingEvent")
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": most}
    return _body({JSON: {"schema": {"oneOf": [one, many]}}, "application/x-ndjson": {"schema": one}})


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(name=name)}


def _response(meaning: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": {media_type: {"schema": schema}}}


class JsonPlugin(OpenAPIRenderPlugin):
    """The description itself."""

    def __init__(self) -> None:
        super().__init__(path="/openapi.json", media_type="application/json")  # type: ignore[arg-type]

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The JSON."""
        return json.dumps(complete(openapi_schema, context_of(request).settings)).encode()


class PagePlugin(OpenAPIRenderPlugin):
    """A plain page for people: paths, what they do, and the schemas. No script, nothing from elsewhere."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The HTML."""
        schema = complete(openapi_schema, context_of(request).settings)
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
        title="Lambent",
        version=lambent.__version__,
        path="/schema",
        render_plugins=[JsonPlugin(), PagePlugin()],
        use_handler_docstrings=True,
    )
