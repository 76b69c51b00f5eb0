"""``lambent config explain``: every setting, its value, and where the value came from."""

from __future__ import annotations

import argparse
import difflib
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, TomlConfigSettingsSource

from lambent.cli import Command
from lambent.errors import SettingsError
from lambent.masking import mask_secret, mask_url
from lambent.settings import PREFIX, Settings

SOURCES = {
    "environment": EnvSettingsSource,
    ".env": DotEnvSettingsSource,
    "lambent.toml": TomlConfigSettingsSource,
}
"""The order is that of ``Settings.settings_customise_sources``: the first that has a value wins."""

KINDS = {int: "whole number", str: "text", Path: "path", SecretStr: "secret text", types.NoneType: "nothing"}
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


class Explained(msgspec.Struct, frozen=True):
    """One setting.

    Attributes:
        name, variable: its names in ``lambent.toml`` and in the environment.
        value: in force; secrets are masked, and None is none.
        source: where the value came from: a key of ``SOURCES``, or ``default``.
        default: in force where no source has a value.
        allowed: its type and bounds, in words.
        description: what it is for.
    """

    name: str
    variable: str
    value: str | int | None
    source: str
    default: str | int | None
    allowed: str
    description: str


def explain(settings: Settings) -> list[Explained]:
    """All settings, in the order of their declaration."""
    sources = find_sources()
    return [
        Explained(
            name=name,
            variable=PREFIX + name.upper(),
            value=presentable(getattr(settings, name)),
            source=sources.get(name, "default"),
            default=presentable(field.default),
            allowed=allowed(field),
            description=field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]


def find_sources() -> dict[str, str]:
    """For each setting that some source has: which one wins."""
    found: dict[str, str] = {}
    for label, source in SOURCES.items():
        for name in source(Settings)():
            found.setdefault(name, label)
    return found


def presentable(value: Any) -> str | int | None:
    """A value as it may be printed."""
    if isinstance(value, SecretStr):
        return mask_secret(value.get_secret_value())
    return value if value is None or isinstance(value, int) else mask_url(str(value))


def allowed(field: FieldInfo) -> str:
    """The type and the bounds of a setting in words: ``whole number, at least 1, at most 1,024``."""
    parts = get_args(field.annotation) or (field.annotation,)
    kinds = " or ".join(_kind(part) for part in parts)
    limits = [(name, getattr(limit, name, None)) for limit in field.metadata for name in BOUNDS]
    return ", ".join([kinds, *(f"{BOUNDS[name]} {limit:,}" for name, limit in limits if limit is not None)])


def _kind(part: Any) -> str:
    return part if isinstance(part, str) else KINDS.get(part, getattr(part, "__name__", str(part)))


def select(explained: Sequence[Explained], name: str | None) -> list[Explained]:
    """The setting of that name, as in ``lambent.toml`` or as a variable; all if it is None.

    Raises:
        SettingsError: there is no such setting.
    """
    wanted = name.lower().removeprefix(PREFIX.lower()) if name is not None else None
    chosen = [one for one in explained if wanted in (None, one.name)]
    if not chosen:
        names = [one.name for one in explained]
        near = difflib.get_close_matches(wanted or "", names, 1)
        remedy = f"Is it {near[0]!r}?" if near else f"Settings are: {', '.join(sorted(names))}."
        raise SettingsError(f"There is no setting {name!r}.", remedy)
    return chosen


def describe(one: Explained) -> str:
    """A setting for people."""
    where = one.source if one.source == "default" else f"from {one.source}; default {_shown(one.default)}"
    return f"{one.name} = {_shown(one.value)}  ({where})\n    {one.description}\n    {one.variable}: {one.allowed}."


def _shown(value: str | int | None) -> str:
    return "none" if value is None else '""' if value == "" else str(value)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("explain",), help="what to do")
    parser.add_argument("name", nargs="?", metavar="NAME", help="only this setting, such as http_port")


def _run(arguments: argparse.Namespace, settings: Settings) -> Any:
    chosen = select(explain(settings), arguments.name)
    if not arguments.json:
        print("\n".join(map(describe, chosen)))
    return [msgspec.to_builtins(one) for one in chosen]


COMMAND = Command(
    help="explain the settings: values, and where they came from",
    description="Prints every setting: its value and whether that came from the environment, .env, lambent.toml or the\n"
    "default; what it may be and what it is for. Passwords and keys are masked, in URLs too.",
    examples=(
        ("lambent config explain", "all settings"),
        ("lambent config explain http_port", "one of them; LAMBENT_HTTP_PORT names the same"),
        ("lambent config explain --json", "for machines"),
    ),
    configure=_configure,
    run=_run,
)
