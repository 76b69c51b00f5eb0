"""The reference pages that are made from the code whenever the documentation is built: nothing of them is kept.

MkDocs runs ``on_files`` (``hooks`` in ``mkdocs.yml``). A fact that a page lacks is added to the code that it is about.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import itertools
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np

from lambent import aggregates, encoding, events, features, keys, policy, sessions, tables, taxonomy
from lambent.cli import Command, add_command, load_commands
from lambent.config import allowed, presentable
from lambent.settings import PREFIX, Settings

Cell = str | int | float | None
WIDTH = 100
"""Columns of the usage lines."""


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(one) for one in line) + " |" for line in lines) + "\n"


def _cell(value: Cell) -> str:
    text = "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return " ".join(text.split()).replace("|", "\\|")


def code(text: object) -> str:
    """Text as code."""
    return f"`{text}`"


def markdown(doc: str | None) -> str:
    """A docstring or a sentence of the code as Markdown."""
    return inspect.cleandoc(doc or "").replace("``", "`")


# Settings


def settings_page() -> str:
    """Every setting."""
    rows = (
        (
            f"{code(name)}<br>{code(PREFIX + name.upper())}",
            allowed(field),
            _default(field.default),
            markdown(field.description),
        )
        for name, field in Settings.model_fields.items()
    )
    return f"""# Settings

A setting is looked for in this order, and the first that has it wins: the environment (`{PREFIX}HTTP_PORT=8700`), the
file `.env` in the folder where the command runs, `lambent.toml` there, the default. A name that is none is refused,
wherever it stands. `lambent config explain` prints what holds, and where each value came from.

```toml title="lambent.toml"
http_port = 8700
spark_memory = "4g"
```

Durations are in milliseconds and sizes in bytes, as the names say.

{table(("setting, variable", "it may be", "default", "what it is"), rows)}"""


def _default(value: object) -> str:
    shown = presentable(value)
    return "none" if shown is None else "empty" if shown == "" else code(shown)


# Commands


def cli_page() -> str:
    """Every command."""
    commands = sorted(load_commands().items())
    rows = ((f"[`lambent {name}`](#lambent-{name})", command.help) for name, command in commands)
    return f"""# Commands

The exit code is 0 where all is well, 1 where a job failed or found that something is not well, 2 where the call itself
was wrong. An error is one line that says what to do. Every command takes `--json`, which prints the report for machines,
and `--debug`, which shows the trace of an error.

{table(("command", "what it does"), rows)}
{"".join(_command(name, command) for name, command in commands)}"""


def _command(name: str, command: Command) -> str:
    subparsers = argparse.ArgumentParser(prog="lambent").add_subparsers()
    add_command(subparsers, name, command)
    parser = subparsers.choices[name]
    parser.formatter_class = lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=WIDTH)
    arguments = [
        (code(_spelling(action)), _help(parser, action))
        for action in parser._actions
        if action.dest not in ("help", "json", "debug")
    ]
    examples = "".join(f"* `{line}`: {meaning}\n" for line, meaning in command.examples)
    return f"""
## lambent {name}

{" ".join(markdown(command.description).split())}

```text
{parser.format_usage().removeprefix("usage: ").rstrip()}
```

{table(("argument", "meaning"), arguments) if arguments else ""}
{examples}"""


def _spelling(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else None
    if action.choices:
        value = ", ".join(map(str, action.choices))
    if not action.option_strings:
        return value or action.dest.upper()
    return " ".join([", ".join(action.option_strings), *([value or action.dest.upper()] if action.nargs != 0 else [])])


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return f"{text}; needed" if action.required and action.option_strings else text


# Keys


def keys_page() -> str:
    """Every key of the store."""
    rows = (
        (code(key.pattern), key.kind, markdown(key.meaning), key.written_by, key.read_by, key.lives)
        for key in keys.KEYS
    )
    return f"""# Keys of the store

`{{p}}` is a partition's number, in braces in the key too, so that all keys of a partition lie in one slot of a Cluster and
can change in one transaction. `USER` is a pseudonym.

{table(("key", "type", "what it holds", "written by", "read by", "how long it stays"), rows)}
## From a shop's id to its keys

{markdown(keys.pseudonym.__doc__)}

{markdown(keys.partition.__doc__)} P is the field `partitions` of `{keys.META}`.

```python
import base64, binascii, hmac, os

key = os.urandom(32)  # the same everywhere: the setting user_key, or the file ROOT/user.key
digest = hmac.digest(key, "anna".encode(), "sha256")[:16]
user = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
p = binascii.crc_hqx(user.encode(), 0) % {keys.SLOTS} % 64

from lambent import keys

assert user == keys.pseudonym("anna", key)
assert p == keys.partition(user, 64)
assert keys.intent(p, user) == f"intent:{{{{{{p}}}}}}:{{user}}"
```
"""


# Events

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


def events_page() -> str:
    """The event, the intent, and what is neither."""
    intent = events.Intent(
        user=EXAMPLE.user, event_id=EXAMPLE.id, event_ms=EXAMPLE.event_ms, ingest_ms=EXAMPLE.event_ms + 140,
        probabilities={"browse": 0.61, "purchase": 0.23, "consult": 0.15, "review": 0.01}, model="1",
        cutoff_ms=1_735_894_800_000, actions=("recommend",), session_events=5,
    )  # fmt: skip
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

{_first(events.Intent)} As JSON, in the key [`intent:{{p}}:USER`](keys.md), in the stream `intents:{{p}}`, and in the answers
of `GET /v1/users/USER/intent` and `POST /v1/events?wait=MS`:

```json
{_json(intent)}
```

{_fields(events.Intent)}"""


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
    name = NAMES[kind["type"]]
    inner = kind.get("additionalProperties") or kind.get("items")
    if isinstance(inner, dict) and "type" in inner:
        name += f" of {_type(inner)}"
    return ", ".join([name, *(text.format(kind[limit]) for limit, text in LIMITS.items() if limit in kind)])


def attributes_of(doc: str) -> dict[str, str]:
    """What a docstring's ``Attributes:`` say, by name; ``a, b: text`` speaks of both."""
    part = inspect.cleandoc(doc).partition("Attributes:")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in part.splitlines():
        if match := re.match(r"    (\w+(?:, \w+)*): (.*)", line):
            names = match[1].split(", ")
            found |= dict.fromkeys(names, match[2])
        elif line.strip():
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return found


# Tables


def tables_page() -> str:
    """Every Delta table."""
    notes, meanings = comments_of(tables), attributes_of(events.Event.__doc__ or "")
    columns = {
        tables.EVENTS: tables.EVENT_COLUMNS,
        tables.LOG: tables.LOG_COLUMNS,
        tables.INTENTS: tables.INTENT_COLUMNS,
        tables.QUARANTINE: tables.QUARANTINE_COLUMNS,
        tables.PROFILES: _profile_columns(),
        tables.TRAINING_SESSIONS: tables.TRAINING_COLUMNS,
    }
    of_intent = attributes_of(events.Intent.__doc__ or "")
    extra = {
        tables.EVENTS: {**meanings, "event_id": meanings["id"].split(";")[0]},
        tables.INTENTS: of_intent,
        tables.LOG: {},
        tables.QUARANTINE: {},
        tables.PROFILES: _profile_meanings(),
        tables.TRAINING_SESSIONS: {"user": "the pseudonym", "start_ms": "t of the session's first event", "length": "events"},
    }  # fmt: skip
    docs = docs_of(tables)
    parts = [
        f"\n## {name}\n\n{markdown(docs[name])}\n\n"
        + table(
            ("column", "type", "meaning"),
            (
                (code(column), code(kind), markdown(notes.get((name, column)) or extra[name][column]))
                for column, kind in own.items()
            ),
        )
        for name, own in columns.items()
    ]
    return (
        "# Tables\n\nDelta tables under the root that the setting [`tables`](settings.md) names. Types are Arrow's; "
        "times are milliseconds since 1970-01-01 UTC.\n" + "".join(parts)
    )


def _profile_columns() -> dict[str, str]:
    layout = features.shop_features().profile
    return {"user": "string", "clock_ms": "int64"} | {
        one.name: _arrow(one.dtype) if one.width == 1 else f"list<{_arrow(one.dtype)}>" for one in layout.aggregates
    }


def _arrow(dtype: str) -> str:
    name = np.dtype(dtype).name
    return "double" if name == "float64" else name


def _profile_meanings() -> dict[str, str]:
    layout = features.shop_features().profile
    own = {"user": "the pseudonym", "clock_ms": "the user's clock: the newest t that was folded"}
    return own | {one.name: says(one) for one in layout.aggregates}


def comments_of(module: ModuleType) -> dict[tuple[str, str], str]:
    """Comments behind the entries of a module's dictionaries, by the table that the constant above names and the key."""
    found: dict[tuple[str, str], str] = {}
    name = key = ""
    for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(module)).readline):
        if token.type == tokenize.NAME and isinstance(getattr(module, token.string, None), str):
            name = getattr(module, token.string)
        elif token.type == tokenize.STRING and token.start[1] == 4:
            key = ast.literal_eval(token.string)
        elif token.type == tokenize.COMMENT and token.start[1] > 0:
            found[name, key] = token.string.lstrip("# ")
    return found


def docs_of(module: ModuleType) -> dict[str, str]:
    """The string below each constant of a module, by the constant's value."""
    body = ast.parse(inspect.getsource(module)).body
    found: dict[str, str] = {}
    for one, after in itertools.pairwise(body):
        is_doc = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if is_doc and isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
            found[getattr(module, one.targets[0].id)] = after.value.value  # type: ignore[attr-defined]
    return found


# Features


def says(one: aggregates.Aggregate) -> str:
    """An aggregate in words."""
    seen = {"opens": "sessions opened", "late": "late events"}.get(one.where.mark) or (
        f"events of type `{one.where.type}`" if one.where.type else "events"
    )
    half_life = f", half-life {_duration(one.half_life_ms)}" if one.half_life_ms else ""
    if isinstance(one, aggregates.Affinity):
        return f"{seen} by hashed `{one.by}`, {one.buckets} buckets, decayed{half_life}"
    if isinstance(one, aggregates.Decayed):
        return f"sum of log(1 + `{one.of}`) of {seen}, decayed{half_life}" if one.of else f"{seen}, decayed{half_life}"
    if isinstance(one, aggregates.Earliest):
        return "time of the oldest event"
    if isinstance(one, aggregates.Latest):
        return f"time of the newest of the {seen}"
    if type(one) is aggregates.Count:
        return f"{seen}, counted"
    return f"{seen}: {markdown(type(one).__doc__).splitlines()[0]}"


def _duration(ms: int) -> str:
    days = ms / aggregates.DAY_MS
    return f"{days:g} d" if days >= 1 else f"{ms / aggregates.HOUR_MS:g} h"


STEP = {
    "gap_log_s": "seconds since the session's last event",
    "elapsed_log_s": "seconds since the session's first event",
    "hour_sin": "time of the day, UTC", "hour_cos": "time of the day, UTC",
    "weekday_sin": "day of the week, UTC", "weekday_cos": "day of the week, UTC",
    "price_log": "price", "price_missing": "1 where there is no price",
    "price_relative": "log price, less the mean of what this user has viewed (half-life 7 d)",
    "dwell_log_s": "seconds that the visitor stayed", "dwell_missing": "1 where that is not known",
    "events_log": "events of the session so far",
    "product_repeated": "1 where the session has seen the product", "category_repeated": "1 where it has seen the category",
}  # fmt: skip


def features_page() -> str:
    """Every feature."""
    own = features.shop_features()
    aggregate_rows = ((code(one.name), type(one).__name__, says(one), one.width) for one in own.profile.aggregates)
    kinds = dict.fromkeys(type(one) for one in own.profile.aggregates)
    step_rows = ((code(name), _step(name)) for name in own.step_floats)
    id_rows = (
        (code(name), len(own.taxonomy.types) if name == "type" else features.EMBEDDED[name]) for name in own.step_ids
    )
    return f"""# Features

Declared in `lambent/features.py`, for the shipped [taxonomy](taxonomy.md). This set has the hash `{own.hash}`: what was made
for another one is refused.

## The profile

What is kept of a user: {len(own.profile.aggregates)} aggregates, {len(own.profile.feature_names)} numbers. Each is a sum, a maximum
or a minimum over single events, so that two halves of a history merge into the whole. Decay is as of the user's own clock.

{table(("aggregate", "kind", "what it holds", "numbers"), aggregate_rows)}
What the model sees of each kind:

{table(("kind", "what it is"), ((one.__name__, markdown(one.__doc__).split(chr(10) * 2)[0]) for one in kinds))}
Counts and decayed sums enter as log(1 + x). A model sees the profile as it stood when the session began.

## The step

What the model sees of each event. A name that ends in `log` or `log_s` is log(1 + x).

{table(("number", "what it is"), step_rows)}
And these ids, hashed: for each a row of a table that a model may learn. 0 is missing.

{table(("id", "rows"), id_rows)}
## The session

A silence of more than {sessions.GAP_MS // 60_000} minutes ends a session. An event that is more than {sessions.GAP_MS // 60_000} minutes older than
the user's clock is late and goes to the profile alone. A user silent for more than {sessions.HORIZON_MS // aggregates.DAY_MS} days starts anew.

## Text

Text becomes its CRC-32, at least 1; 0 is missing. Of an event these are hashed: {", ".join(map(code, encoding.TEXT_FIELDS))}.
"""


def _step(name: str) -> str:
    if name.endswith("_affinity"):
        return f"`{name.removesuffix('_affinity')}` of the profile, at this event's value, as log(1 + x)"
    return STEP.get(name) or f"`{name.removesuffix('_log')}` events of the session so far"


# Taxonomy


def taxonomy_page() -> str:
    """The shipped taxonomy."""
    shop = taxonomy.shop()
    types = ((code(one.name), "yes" if one.intent else "", one.intent) for one in shop.types)
    rules = ((one.intent, f"{one.threshold:.2f}", code(one.action)) for one in policy.rules_for(shop))
    shipped = Path(inspect.getfile(taxonomy)).with_name("taxonomy.toml").read_text()
    return f"""# Taxonomy and policy

The event types of a domain, which of them are decisive, and what intent each means. The **label** of an event is the first
decisive event that follows it in the same session; `{shop.intents[0]}` if none does.

{table(("event type", "decisive", "intent"), types)}
At most {taxonomy.MAX_TYPES} types and {taxonomy.MAX_INTENTS} intents. To serve another domain, write a file of this form and name it
in the setting [`taxonomy`](settings.md). This is the one that is shipped:

```toml
{shipped.strip()}
```

## Policy

An action is named in an intent when the probability reaches the threshold.

{table(("intent", "from", "action"), rules)}"""


PAGES: Mapping[str, Callable[[], str]] = {
    "settings": settings_page,
    "cli": cli_page,
    "events": events_page,
    "keys": keys_page,
    "tables": tables_page,
    "features": features_page,
    "taxonomy": taxonomy_page,
}
"""The pages below ``docs/reference`` that are made, by name."""


def made_pages() -> Iterator[tuple[str, str]]:
    """Each page: its path below ``docs`` and its text."""
    for name, make in PAGES.items():
        yield f"reference/{name}.md", make()


def on_files(files: Any, config: Any) -> Any:
    """MkDocs asks which files there are."""
    from mkdocs.structure.files import File

    for path, text in made_pages():
        files.append(File.generated(config, path, content=text))
    return files
