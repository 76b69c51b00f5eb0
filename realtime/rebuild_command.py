"""``lambent rebuild``: the live side, made anew from the archive and the streams."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lambent.cli import Command
from lambent.errors import UsageError
from lambent.settings import Settings
from lambent.utc import parse_time, time_text

if TYPE_CHECKING:
    from realtime.rebuild import Report

HOUR_MS = 3_600_000


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "--since", metavar="TIME", help="keep live events apart since this cut-off (UTC; none: since the log began)"
    )
    parser.add_argument(
        "--lookback", type=float, default=24, metavar="H",
        help="begin so many hours before the oldest cut-off, for sessions open then (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="change nothing; say what would be done")


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """``lambent rebuild``; the report is also kept in ROOT/reports/jobs.jsonl.

    Raises:
        UsageError: an argument is wrong.
    """
    import msgspec

    from lambent.features import FeatureSet
    from lambent.reports import keep_report
    from realtime.connection import in_words
    from realtime.rebuild import JOB, rebuild
    from realtime.store import open_store

    if arguments.lookback < 0:
        raise UsageError(f"--lookback {arguments.lookback}: hours are 0 or more.")
    since_ms = parse_cutoff(arguments.since) if arguments.since else None
    store, meta = open_store(settings, create=not arguments.dry_run)
    with in_words():
        report = rebuild(
            store, meta, settings, FeatureSet(settings.load_taxonomy()), since_ms=since_ms,
            lookback_ms=round(arguments.lookback * HOUR_MS), dry_run=arguments.dry_run,
        )  # fmt: skip
    said: dict[str, Any] = {"job": JOB, **msgspec.to_builtins(report)}
    if not report.dry_run:
        keep_report(settings, said)
    if not arguments.json:
        print("\n".join(lines(report)))
    return said


def parse_cutoff(text: str) -> int:
    """A cut-off as ``lambent publish --list`` shows it, in ms.

    Raises:
        UsageError: it is no time.
    """
    return 0 if text == "none" else parse_time(text)


def lines(report: Report) -> Iterator[str]:
    """What happened, for people."""
    begin = f"since {time_text(report.begins_ms)}" if report.begins_ms else "since the log began"
    wrote, deleted = ("would write", "delete") if report.dry_run else ("wrote", "deleted")
    yield f"rebuild: {report.partitions} partitions, {report.entries:,} entries {begin}: " + (
        f"{wrote} {report.records:,} live records and {report.intents:,} intents where they are missing, "
        f"{deleted} {report.deleted:,} live records"
    )
    if report.models_missing:
        versions = ", ".join(map(str, report.models_missing))
        yield f"  models that cannot be loaded: {versions}; sessions that began on them run on the one before, or base rates"
    if report.dead:
        yield f"  {report.dead:,} events could not be folded, and are in dead:{{p}}"
    if report.lost:
        yield f"  {report.lost:,} events were answered before the store was lost and are not in the archive: they are gone"


COMMAND = Command(
    help="make live records, sessions and positions anew from the archive",
    description=(
        "For a store that was lost, for a rollback to profiles from before the floor, for a new feature set. Works through\n"
        "the archived log once more, by the worker's code, from some time before the oldest cut-off that may be rolled back\n"
        "to, and writes what a worker would have written; intents that were said are not said again. Profiles are left\n"
        "alone: publish them first. Workers and archiver may run: a worker leaves a partition alone while it is rebuilt. One\n"
        "that was stopped is run again. Another number of partitions is refused."
    ),
    examples=(
        ("lambent rebuild --dry-run", "how much there is to do"),
        ("lambent rebuild", "after lambent publish --full, in a store that was lost or for new features"),
        ("lambent rebuild --since '2026-01-01 11:00:00'", "so that profiles with this cut-off can be published again"),
        ("lambent rebuild --since none", "so that any profiles can be"),
    ),
    configure=configure,
    run=run,
)
