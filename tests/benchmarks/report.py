"""What a benchmark says: a table for people, and ``var/bench/NAME.json`` for machines."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import msgspec

FOLDER = Path("var/bench")


class Row(msgspec.Struct):
    """One figure.

    Attributes:
        name: what was measured.
        value: the figure that ``target`` speaks of; a ratio where that is one.
        unit: of the value.
        target: such as ``>= 0.4``; empty where there is none.
        baseline: what was measured beside it in the same run, with its own figure.
        note: what else there is to know.
    """

    name: str
    value: float
    unit: str
    target: str = ""
    baseline: str = ""
    note: str = ""

    @property
    def verdict(self) -> str:
        """``ok`` or ``misses``; nothing without a target."""
        if not self.target:
            return ""
        sign, bound = self.target.split()
        holds = self.value >= float(bound) if sign == ">=" else self.value <= float(bound)
        return "ok" if holds else "misses"


def tell(name: str, rows: list[Row], packages: tuple[str, ...]) -> None:
    """Print the rows and keep them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2))
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(f"\n{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {versions}\n")
    lines = [["what", "value", "target", "", "beside it", "note"]]
    lines += [[r.name, f"{r.value:,.3g} {r.unit}", r.target, r.verdict, r.baseline, r.note] for r in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    print(f"\n{FOLDER / name}.json")
