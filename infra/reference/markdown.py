"""Markdown from values and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

Cell = str | int | float | None


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
