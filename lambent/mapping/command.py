"""``lambent validate``: what a mapping makes of a log, before anything is written."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.cli import Command, Failed
from lambent.keys import USER_KEY_BYTES
from lambent.settings import Settings
from lambent.utc import time_text

if TYPE_CHECKING:
    from lambent.mapping.validation import Validation

ANY_KEY = bytes(USER_KEY_BYTES)
"""Users are counted and forgotten, so any key will do; the shop's own would be made, and written, at its first use."""


def share(text: str) -> float:
    """``1``, ``1%`` or ``0.5 %`` as a share from 0 to 1.

    Raises:
        ValueError: it is no number of percent from 0 to 100 (argparse tells it in words).
    """
    percent = float(text.strip().removesuffix("%"))
    if not 0 <= percent <= 100:
        raise ValueError(text)
    return percent / 100


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="CSV, JSON lines or Parquet, compressed or not")
    parser.add_argument(
        "--mapping", required=True, metavar="M", help="how to read it: a shipped mapping's name, or a TOML file"
    )
    parser.add_argument(
        "--max-rejected",
        type=share,
        default=share("1"),
        metavar="PERCENT",
        help="how many of the rows may be no event (default 1)",
    )


def _run(arguments: argparse.Namespace, settings: Settings) -> Any:
    import msgspec

    found = _validate(arguments, settings)
    if not arguments.json:
        print(describe(found))
    report = {**msgspec.to_builtins(found), "share_rejected": found.share_rejected}
    return report if found.passed else Failed(report)


def _validate(arguments: argparse.Namespace, settings: Settings) -> Validation:
    from lambent.mapping import load_mapping, read_events
    from lambent.mapping.readers import check_path
    from lambent.mapping.validation import validate
    from lambent.progress import Progress

    path, mapping = arguments.file.expanduser(), load_mapping(arguments.mapping)
    check_path(path)
    with Progress("reading", total=path.stat().st_size, unit="bytes") as bar:
        rows = read_events(path, mapping, settings.load_taxonomy(), ANY_KEY, bar.update)
        return validate(rows, str(path), mapping.name, arguments.max_rejected)


def describe(found: Validation) -> str:
    """The report for people."""
    lines = [f"{'PASS' if found.passed else 'FAIL'}  {found.file} read by {found.mapping}: {_verdict(found)}"]
    lines.append(f"  rows      {found.rows:,}: {_counts(found)}")
    if found.first_ms is not None and found.last_ms is not None:
        lines.append(f"  types     {_listed(found.types)}")
        lines.append(f"  time      {time_text(found.first_ms)} to {time_text(found.last_ms)}")
        lines.append(f"  users     {found.users:,}")
    if found.rejected:
        lines.append(f"  rejected  {_listed(found.rejected)}")
    for reason, examples in found.examples.items():
        lines += [f"    {found.file}:{one.line}: {reason}: {one.detail}" for one in examples]
    return "\n".join(lines)


def _counts(found: Validation) -> str:
    rejected = sum(found.rejected.values())
    return f"{found.events:,} events, {found.skipped:,} skipped on purpose, {rejected:,} rejected"


def _verdict(found: Validation) -> str:
    limits = f"{found.share_rejected:.2%} of the rows are rejected, {found.max_rejected:.2%} may be"
    if found.passed:
        return f"{limits}."
    if not found.events:
        return "no row is an event. Mend the mapping, or give the file that it is for."
    return f"{limits}. Mend the mapping by the lines below, or allow more: --max-rejected."


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


COMMAND = Command(
    help="say what a mapping makes of a log, and write nothing",
    description="Reads a whole log as 'lambent ingest' would and reports its events by type, users and times, and what\n"
    "is rejected and where, without Spark and without writing anything. Exits with 1 if no row is an event or too many\n"
    "rows are rejected. Rows are named by their line and never printed, since they hold raw user ids.",
    examples=(
        ("lambent validate 2019-Oct.csv.gz --mapping rees46", "a shipped mapping on a compressed file"),
        ("lambent validate clicks.jsonl --mapping shop.toml --max-rejected 0.1", "stricter: one row in a thousand"),
        ("lambent validate clicks.jsonl --mapping shop.toml --json", "for a pipeline that ingests only what passes"),
    ),
    configure=_configure,
    run=_run,
)
