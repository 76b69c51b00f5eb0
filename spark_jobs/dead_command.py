"""``lambent dead``: what workers gave up and why, and how it goes in again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from lambent.cli import Command
from lambent.errors import UsageError
from lambent.settings import Settings
from spark_jobs.quarantine_command import EXAMPLES, show


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("action", choices=("show", "retry"), help="look at what is open, or send it to the log again")
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="retry: mended entries, as show --out wrote them"
    )
    parser.add_argument("--reason", metavar="R", help="only entries given up for this reason")
    parser.add_argument("--origin", metavar="O", help="only entries of log/3; * as a shell has it")
    parser.add_argument(
        "--limit", type=int, metavar="N", help=f"show: of each reason and partition (default {EXAMPLES})"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="show: write the entries out for mending")


def run(arguments: argparse.Namespace, settings: Settings) -> Any:
    """``lambent dead show | retry``.

    Raises:
        UsageError: the arguments contradict each other.
    """
    from spark_jobs.quarantine import Chosen

    chosen = Chosen(arguments.reason, arguments.origin)
    if arguments.action == "retry":
        if arguments.out is not None or arguments.limit is not None:
            raise UsageError("'out' and 'limit' are for 'dead show'.", "See lambent dead --help.")
        return _retry(arguments, settings, chosen)
    if arguments.file is not None:
        raise UsageError("'file' is for 'dead retry'.", "See lambent dead --help.")
    return _write_out(arguments, settings, chosen) if arguments.out else _show(arguments, settings, chosen)


def _show(arguments: argparse.Namespace, settings: Settings, chosen: Any) -> Any:
    from lambent.tables import DEAD

    return show(arguments, settings, chosen, DEAD, "Entries given up", "Nothing was given up.")


def _write_out(arguments: argparse.Namespace, settings: Settings, chosen: Any) -> Any:
    from lambent.tables import DEAD
    from spark_jobs.mended import write_out
    from spark_jobs.quarantine import open_rows

    counts = write_out(open_rows(settings, chosen, DEAD), arguments.out, None, arguments.limit)
    if not arguments.json:
        print(f"Entries in {arguments.out}: {counts['written']:,}")
    return {"written": counts["written"]}


def _retry(arguments: argparse.Namespace, settings: Settings, chosen: Any) -> Any:
    from spark_jobs.ingest import timed
    from spark_jobs.retry import retry_dead

    report = timed(settings, lambda: retry_dead(settings, chosen, arguments.file))
    if not arguments.json:
        print(report.sentence())
    return report.flat()


COMMAND = Command(
    help="look at what workers gave up, and send it to the log again",
    description="An event that a worker cannot fold is given up, alone: it goes to dead:{p} with its reason, the archiver moves it to\n"
    "the table dead, and batch leaves it out. 'show' sums up what is open by reason and partition; --out writes it to a file\n"
    "for mending. 'retry' sends it to the log again, as it was sent or as it is in FILE.\n\n"
    "Each goes in once, however often a retry is stopped and run again, as a new event, which happened when it says and\n"
    "arrives now. What cannot be folded still is given up again.",
    examples=(
        ("lambent dead show", "what there is, the most frequent first"),
        ("lambent dead retry --reason ValueError", "once the workers were mended"),
        ("lambent dead show --out entries.jsonl", 'entries to mend by hand: what is in "raw"'),
        ("lambent dead retry entries.jsonl", "and back, once they are mended"),
    ),
    configure=configure,
    run=run,
)
