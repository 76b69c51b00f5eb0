"""The API's description: OpenAPI 3.1 at ``/schema/openapi.json``, and a page at ``/schema`` that fetches nothing."""

from __future__ import annotations

import html
import json
import re
from typing import Any, NamedTuple

import msgspec
from litestar import Request
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin

import lambent
from lambent.events import MAX_DWELL_MS, MAX_EVENT_MS, MAX_PRICE, MIN_EVENT_MS
from lambent.taxonomy import Taxonomy
from realtime.admission import SCOPE
from realtime.answers import Answer
from realtime.api import HANDLERS
from realtime.api_keys import Scope
from realtime.collector import IncomingEvent
from realtime.context import JSON, Context, context_of
from realtime.problems import MEDIA_TYPE, Problem
from realtime.reading import Answers, Asked
from realtime.sending import Accepted

_REF = "#/components/schemas/{name}"
_STRUCTS = (IncomingEvent, Accepted, Asked, Answers, Answer, Problem)
_PROBLEMS = {
    "400": "not JSON, or a parameter that does not fit",
    "401": "no API key, or none of this server",
    "403": "the API key has not the scope",
    "404": "no intent is known of this user",
    "408": "the body did not arrive in time",
    "413": "too many events, users or bytes",
    "415": "the body is compressed",
    "422": "no valid event",
    "429": "too many requests with this API key, or the log or the store's memory is full",
    "502": "what the store holds of this user is no intent of this version",
    "503": "the store cannot be reached or takes nothing just now, or does not say in time that it keeps what it took, or as many "
    "streams are open as may be",
}
_TELLING = {"401": "WWW-Authenticate", "403": "WWW-Authenticate", "429": "Retry-After", "503": "Retry-After"}
"""By status: the header that says more."""
_BODY = ("400", "408", "413", "415", "503")
_SCOPED = ("401", "403", "429")
_TEXT = {"type": "string"}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(name=name)}


class _Operation(NamedTuple):
    method: str
    status: str
    meaning: str
    media_type: str
    schema: dict[str, str]
    problems: tuple[str, ...]


_OPERATIONS = {
    "/v1/events": _Operation("post", "202", "at least one event was taken", JSON, _ref("Accepted"), (*_BODY, "422")),
    "/v1/users/{user}/intent": _Operation(
        "get", "200", "the newest intent", JSON, _ref("Answer"), ("400", "404", "502", "503")
    ),
    "/v1/intents": _Operation("post", "200", "one answer a user, in the request's order", JSON, _ref("Answers"), _BODY),
    "/v1/stream": _Operation(
        "get", "200", "events, for as long as they are read", "text/event-stream", _TEXT, ("400", "503")
    ),
    "/healthz": _Operation("get", "200", "it runs", "text/plain", _TEXT, ()),
    "/readyz": _Operation("get", "200", "it can take events", "text/plain", _TEXT, ("503",)),
    "/metrics": _Operation("get", "200", "in Prometheus's text format", "text/plain", _TEXT, ("400",)),
}
"""By path: what a handler that writes its own responses cannot tell Litestar."""
SCOPES: dict[str, Scope | None] = {
    re.sub(r":\w+}", "}", path): handler.opt.get(SCOPE) for handler in HANDLERS for path in handler.paths
}
"""By path: the scope that its callers need."""
_KEY = "api_key"
_SCHEMES = {
    _KEY: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key with the operation's scope (`lambent key create`); asked for where the server has keys.",
    }
}


def complete(schema: dict[str, Any], context: Context) -> dict[str, Any]:
    """Litestar's description with what it cannot know: bodies that a handler reads and writes itself, from their structs."""
    _, components = msgspec.json.schema_components(_STRUCTS, ref_template=_REF)
    _tell_rules(components["IncomingEvent"]["properties"], context.door.taxonomy)
    schema["components"] = {"schemas": components, "securitySchemes": _SCHEMES}
    for path, item in schema["paths"].items():
        _complete(item[_OPERATIONS[path].method], path, keys=context.keyring.asked)
    most = context.settings.http_max_batch
    schema["paths"]["/v1/events"]["post"]["requestBody"] = _events(most)
    asked = {"allOf": [_ref("Asked"), {"properties": {"users": {"maxItems": most}}}]}
    schema["paths"]["/v1/intents"]["post"]["requestBody"] = _body({JSON: {"schema": asked}})
    return schema


def _tell_rules(fields: dict[str, Any], taxonomy: Taxonomy) -> None:
    """What ``lambent.events.check`` asks of an event besides its form."""
    fields["type"] = {"enum": list(taxonomy.type_code)}
    for name, limits in (
        ("event_ms", {"minimum": MIN_EVENT_MS, "exclusiveMaximum": MAX_EVENT_MS}),
        ("price", {"minimum": 0, "maximum": MAX_PRICE}),
        ("dwell_ms", {"minimum": 0, "exclusiveMaximum": MAX_DWELL_MS}),
    ):
        (number,) = (one for one in fields[name]["anyOf"] if one["type"] != "null")
        number.update(limits)
    texts = [fields["id"], *(one for field in fields.values() for one in field.get("anyOf", ()))]
    attributes = [one for one in fields["attributes"]["anyOf"] if one["type"] == "object"]
    texts += [one[part] for one in attributes for part in ("propertyNames", "additionalProperties")]
    for one in texts:
        if one.get("type", "string") == "string":  # a name has no type: it is always a text
            one["pattern"] = _NO_NUL


_NO_NUL = "^[^\\u0000]*$"


def _complete(operation: dict[str, Any], path: str, *, keys: bool) -> None:
    told, scope = _OPERATIONS[path], SCOPES[path]
    problems = (*told.problems, *(_SCOPED if scope else ()))
    answers = {told.status: _response(told.meaning, told.media_type, told.schema)}
    answers |= {one: _response(_PROBLEMS[one], MEDIA_TYPE, _ref("Problem")) for one in sorted(problems)}
    for status, header in _TELLING.items():
        if status in problems:
            answers[status]["headers"] = {header: {"schema": _TEXT}}
    operation["description"] = operation.get("description", "").replace("``", "`")
    operation["responses"] = answers
    operation["security"] = [{_KEY: [str(scope)]}] if scope and keys else []


def _events(most: int) -> dict[str, Any]:
    one = _ref("IncomingEvent")
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": most}
    return _body({JSON: {"schema": {"oneOf": [one, many]}}, "application/x-ndjson": {"schema": one}})


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content}


def _response(meaning: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": {media_type: {"schema": schema}}}


class JsonPlugin(OpenAPIRenderPlugin):
    """The description itself."""

    def __init__(self) -> None:
        super().__init__(path="/openapi.json", media_type="application/json")  # type: ignore[arg-type]

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The JSON."""
        return json.dumps(complete(openapi_schema, context_of(request))).encode()


class PagePlugin(OpenAPIRenderPlugin):
    """A plain page for people: paths, what they do, and the schemas. No script, nothing from elsewhere."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The HTML."""
        schema = complete(openapi_schema, context_of(request))
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
