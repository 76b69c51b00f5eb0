"""The page of the event, the intent, and what is neither."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from infra.reference.markdown import attributes_of, code, markdown, table
from lambent import events, keys, taxonomy

BROKEN = (
    ("not JSON, or not one object", b"{"),
    ("a field that an event does not have", b'{"user":"A","type":"view","event_ms":1,"colour":"red"}'),
    ("`user`, `type` or `event_ms` is missing", b'{"type":"view","event_ms":1700000000000}'),
    ("`user` is no pseudonym", b'{"user":"anna","type":"view","event_ms":1700000000000}'),
    ("a type that the taxonomy lacks", b'{"user":"AAAAAAAAAAAAAAAAAAAAAA","type":"fly","event_ms":1700000000000}'),
    ("a time outside the years 2000 to 2099", b'{"user":"AAAAAAAAAAAAAAAAAAAAAA","type":"view","event_ms":1}'),
    (
        "a price out of range",
        b'{"user":"AAAAAAAAAAAAAAAAAAAAAA","type":"view","event_ms":1700000000000,"price":-1}',
    ),
    (
        "a duration out of range",
        b'{"user":"AAAAAAAAAAAAAAAAAAAAAA","type":"view","event_ms":1700000000000,"dwell_ms":-1}',
    ),
    (
        "a text beyond its limit",
        b'{"user":"AAAAAAAAAAAAAAAAAAAAAA","type":"view","event_ms":1700000000000,"product":"%s"}' % (b"x" * 513),
    ),
    ("more bytes than an event may have", b" " * (events.MAX_EVENT_BYTES + 1)),
)
"""One of each kind of bytes that are no event; the page shows what ``admit`` says of them."""

EXAMPLE = events.Event(
    user=keys.pseudonym("anna", bytes(32)), type="cart", event_ms=1_735_898_400_000, id="7f3c", product="kettle-1",
    category="home.kitchen.kettles", price=39.9, device="phone",
)  # fmt: skip


INTENT = events.Intent(
    user=EXAMPLE.user, event_id=EXAMPLE.id, event_ms=EXAMPLE.event_ms, ingest_ms=EXAMPLE.event_ms + 140,
    probabilities={"browse": 0.61, "purchase": 0.23, "consult": 0.15, "review": 0.01}, model="1",
    cutoff_ms=1_735_894_800_000, actions=("recommend",), session_events=5,
)  # fmt: skip


def events_page() -> str:
    """The event, the intent, and what is neither."""
    shop = taxonomy.shop()
    rejections = ((code(_admit(data, shop).reason), what, _short(_admit(data, shop).detail)) for what, data in BROKEN)
    return f"""# Events and intents

The same struct everywhere: on the stream, over HTTP, in the tables. What is missing is left out, and is never 0.

## The event

{_first(events.Event)} As JSON of at most {events.MAX_EVENT_BYTES // 1024} KiB:

```json
{_json(EXAMPLE)}
```

{_fields(events.Event)}
Over HTTP (`POST /v1/events`), `user` is the shop's own id, which becomes a pseudonym at that door, and `event_ms` may be
missing: then it is the server's time. On the stream (`XADD events:{{p}} * e JSON`) both have to be there.

## What is not an event

{markdown(events.admit.__doc__).splitlines()[0]} HTTP names the refused events of a request; on the stream they go to the
table [`quarantine`](tables.md#quarantine). Rows of files have [more reasons](mapping.md#what-becomes-of-a-row).

{table(("reason", "what it is", "what is said, for instance"), rejections)}
## The intent

{_first(events.Intent)} As JSON, in the key [`intent:{{p}}:USER`](keys.md), in the stream `intents:{{p}}`, and over HTTP,
where `age_ms` beside it says how long ago the log took the event that it speaks of:

```json
{intent_example()}
```

{intent_fields()}"""


def intent_example() -> str:
    """An intent as JSON."""
    return _json(INTENT)


def intent_fields() -> str:
    """A table of the intent's fields."""
    return _fields(events.Intent)


def _admit(data: bytes, domain: taxonomy.Taxonomy) -> events.Rejection:
    outcome = events.admit(data, domain)
    assert isinstance(outcome, events.Rejection), data
    return outcome


def _short(text: str) -> str:
    return text if len(text) < 90 else text[:88] + " …"


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _first(struct: type) -> str:
    return markdown(struct.__doc__).splitlines()[0]


def _fields(struct: type) -> str:
    """A table of a struct's fields: type and limits from its schema, meaning from its docstring."""
    schema = msgspec.json.schema(struct)["$defs"][struct.__name__]
    needed, meaning = schema.get("required", ()), attributes_of(struct.__doc__ or "")
    rows = (
        (code(name), _type(kind), "yes" if name in needed else "", markdown(meaning[name]))
        for name, kind in schema["properties"].items()
    )
    return table(("field", "type", "needed", "meaning"), rows)


NAMES = {"string": "text", "integer": "whole number", "number": "number", "array": "list", "object": "object"}
LIMITS = {
    "maxLength": "at most {:,} characters",
    "minimum": "at least {:,}",
    "maximum": "at most {:,}",
    "maxProperties": "at most {:,} of them",
}


def _type(schema: Mapping[str, Any]) -> str:
    kind = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)
    name = NAMES[kind.get("type", "object")]  # what refers to a struct is one
    inner = kind.get("additionalProperties") or kind.get("items")
    if isinstance(inner, dict) and "type" in inner:
        name += f" of {_type(inner)}"
    return ", ".join([name, *(text.format(kind[limit]) for limit, text in LIMITS.items() if limit in kind)])
