"""``lambent quarantine``: what was refused and why, and how it goes in once it is mended."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.cli import Command
from lambent.errors import UsageError
from lambent.settings import Settings
from lambent.tables import QUARANTINE
from lambent.utc import parse_time, time_text

if TYPE_CHECKING:
    from spark_jobs.quarantine import Chosen, Group

EXAMPLES = 2
TITLE, NOTHING = "Rows in quarantine", "Nothing is in quarantine."


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("action", choices=("show", "retry"), help="look at what is open, or put it through again")
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="retry: mended rows, as show --out wrote them"
    )
    parser.add_argument("--reason", metavar="R", help="only rows rejected for this reason")
    parser.add_argument("--origin", metavar="O", help="only rows of this file, or of log/3; * as a shell has it")
    parser.add_argument(
        "--mapping", metavar="M", help="how rows of files are read: a shipped mapping's name, or a TOML file"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help=f"show: rows of each reason and origin (default {EXAMPLES}; --out: all)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="show: write the rows out for mending, raw user ids and all"
    )
    parser.add_argument(
        "--before",
        metavar="TIME",
        help="retry: rows of files only before this time (default: as their ingest was told)",
    )


def run(arguments: argparse.Namespace, settings: Settings) -> Any:
    """``lambent quarantine show | retry``.

    Raises:
        UsageError: the arguments contradict each other.
    """
    from spark_jobs.quarantine import Chosen

    chosen = Chosen(arguments.reason, arguments.origin)
    if arguments.action == "retry":
        _refuse(arguments, "retry", "out", "limit")
        return _retry(arguments, settings, chosen)
    _refuse(arguments, "show", "file", "before")
    return _write_out(arguments, settings, chosen) if arguments.out else show(arguments, settings, chosen)


def _refuse(arguments: argparse.Namespace, action: str, *names: str) -> None:
    for name in names:
        if getattr(arguments, name) is not None:
            other = "show" if action == "retry" else "retry"
            raise UsageError(f"'{name}' is for 'quarantine {other}'.", "See lambent quarantine --help.")


def show(
    arguments: argparse.Namespace, settings: Settings, chosen: Chosen, table: str = QUARANTINE,
    title: str = TITLE, nothing: str = NOTHING,
) -> Any:  # fmt: skip
    """Sum up what is open in a table of what was refused, for people or as what ``--json`` prints."""
    import msgspec

    from spark_jobs.quarantine import open_rows, summary

    groups = summary(open_rows(settings, chosen, table), EXAMPLES if arguments.limit is None else arguments.limit)
    if not arguments.json:
        print(describe(groups, title, nothing))
    return {"rows": sum(group.rows for group in groups), "groups": msgspec.to_builtins(groups)}


def describe(groups: list[Group], title: str = TITLE, nothing: str = NOTHING) -> str:
    """The open rows for people."""
    from spark_jobs.quarantine import is_live

    if not groups:
        return nothing
    lines = [f"{title}: {sum(group.rows for group in groups):,}"]
    for group in groups:
        live = is_live(group.origin)
        places = (time_text(place) if live else f"line {place}" for place in sorted({group.first, group.last}))
        lines.append(f"{group.rows:>10,}  {group.reason:<12} {group.origin}, {' to '.join(places)}")
        for one in group.examples:
            where = f"{one.line}-{one.seq}" if live else f"{group.origin}:{one.line}"
            lines.append(f"            {where}: {one.detail}" + (f"  {one.raw}" if one.raw else ""))
    return "\n".join(lines)


def _write_out(arguments: argparse.Namespace, settings: Settings, chosen: Chosen) -> Any:
    from lambent.mapping import load_mapping
    from spark_jobs.mended import Door, write_out
    from spark_jobs.quarantine import open_rows

    door = None
    if arguments.mapping:
        door = Door(load_mapping(arguments.mapping), settings.load_taxonomy(), settings.user_key_bytes())
    counts = write_out(open_rows(settings, chosen), arguments.out, door, arguments.limit)
    if not arguments.json:
        print(f"Rows in {arguments.out}, which holds raw user ids: {counts['written']:,}")
        for name, meaning in OUTCOMES.items():
            if counts[name]:
                print(f"{meaning}: {counts[name]:,}")
    return {name: counts[name] for name in ("written", *OUTCOMES)}


OUTCOMES = {
    "left_out": "Rows of files, left out: --mapping fetches them",
    "dimension": "Rows of users or products, left out: lambent ingest --into settles them once their file is mended",
    "fit": "Rows that fit the mapping as they are, left out: lambent quarantine retry --mapping takes them",
    "unfit": "Rows that are no short text (Parquet, or over 4 KiB), left out: mend the mapping, or their file",
    "gone": "Rows that are no longer in their files",
}
"""What becomes of rows that are not written out."""


def _retry(arguments: argparse.Namespace, settings: Settings, chosen: Chosen) -> Any:
    from spark_jobs.ingest import timed
    from spark_jobs.retry import retry

    before_ms = parse_time(arguments.before) if arguments.before else None
    report = timed(settings, lambda: retry(settings, chosen, arguments.mapping, arguments.file, before_ms))
    if not arguments.json:
        print(report.sentence())
        for path in report.facts.get("missing", ()):
            print(f"{path} is missing: its rows stay.")
    return report.flat()


COMMAND = Command(
    help="look at what was refused, and put it through the door again",
    description="'show' sums up the quarantined rows by reason and origin, with examples whose values are masked; --out\n"
    "writes them to a file for mending. 'retry' puts them through the door again: as they were met, where a mapping or\n"
    "the taxonomy was mended; or as they are in FILE, where the rows were.\n\n"
    "What is an event by now goes in once, however often a retry is stopped and run again, and is offered no more. The\n"
    "rest stays, with the reason that it has now. A row of a file enters the history, as ingest would have put it there:\n"
    "before its user's live events. A row of the live log is sent to the log as a new event, which happened when it says\n"
    "and arrives now: worker and archiver have passed its old place.",
    examples=(
        ("lambent quarantine show", "what there is, the most frequent first"),
        ("lambent quarantine retry --mapping shop.toml --origin clicks.csv", "the mapping has been mended"),
        ("lambent quarantine retry --origin 'log/*' --reason type", "the taxonomy knows the type by now"),
        (
            "lambent quarantine show --reason price --mapping shop.toml --out rows.jsonl",
            'rows to mend by hand: what is in "raw"',
        ),
        ("lambent quarantine retry rows.jsonl --mapping shop.toml", "and back, once they are mended"),
    ),
    configure=configure,
    run=run,
)
