"""The page of the Delta tables."""

from __future__ import annotations

import ast
import inspect
import io
import itertools
import tokenize
from types import ModuleType

from infra.reference.features import says
from infra.reference.markdown import attributes_of, code, markdown, table
from lambent import events, features, tables


def tables_page() -> str:
    """Every Delta table."""
    notes, meanings = comments_of(tables), attributes_of(events.Event.__doc__ or "")
    columns = {
        tables.EVENTS: tables.EVENT_COLUMNS,
        tables.LOG: tables.LOG_COLUMNS,
        tables.INTENTS: tables.INTENT_COLUMNS,
        tables.QUARANTINE: tables.QUARANTINE_COLUMNS,
        tables.DEAD: tables.DEAD_COLUMNS,
        tables.USERS: tables.USER_COLUMNS,
        tables.PRODUCTS: tables.PRODUCT_COLUMNS,
        tables.CATALOGUE: tables.CATALOGUE_COLUMNS,
        tables.PROFILES: tables.profile_columns(features.shop_features().profile),
        tables.TRAINING_SESSIONS: tables.TRAINING_COLUMNS,
    }
    of_intent = attributes_of(events.Intent.__doc__ or "")
    extra = {
        tables.EVENTS: {**meanings, "event_id": meanings["id"].split(";")[0]},
        tables.INTENTS: of_intent,
        tables.LOG: {},
        tables.QUARANTINE: {},
        tables.DEAD: {},
        tables.USERS: {},
        tables.PRODUCTS: {},
        tables.CATALOGUE: {},
        tables.PROFILES: _profile_meanings(),
        tables.TRAINING_SESSIONS: {"user": "the pseudonym", "start_ms": "t of the session's first event", "length": "events"},
    }  # fmt: skip
    docs = docs_of(tables)
    asides = {tables.PROFILES: f" In SQL:\n\n    {tables.NEWEST_PROFILES}"}
    parts = [
        f"\n## {name}\n\n{markdown(docs[name])}{asides.get(name, '')}\n\n"
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


def _profile_meanings() -> dict[str, str]:
    layout = features.shop_features().profile
    own = {
        "user": "the pseudonym",
        "events_version": "the snapshot at which the row last changed: the version of `events` …",
        "cutoff_ms": "… the cut-off on the ingest clock …",
        "users_version": "… and the version of `users`; -1: there was none",
        "clock_ms": "the user's clock: the newest t that was folded",
        "source": "the largest of the user's events: 1 once the live log has begun",
        "features": "hash of the feature set",
    }
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
