"""``lambent publish``: brings a snapshot of the profiles to the store, the newest or an earlier one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from lambent.cli import Command
from lambent.errors import UsageError
from lambent.settings import Settings
from lambent.utc import time_text

if TYPE_CHECKING:
    from spark_jobs.report import Report

PUBLISHED, ALLOWED = "published", "can be published"
TOO_OLD, OTHER_FEATURES = "before the floor", "other features"


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("--snapshot", type=int, metavar="V", help="version of the table profiles; default: the newest")
    parser.add_argument("--full", action="store_true", help="look at every key, whatever the store says of itself")
    parser.add_argument("--dry-run", action="store_true", help="change nothing; say what would be changed")
    parser.add_argument("--list", action="store_true", help="list the snapshots, and which of them can be published")


def run(arguments: argparse.Namespace, settings: Settings) -> Any:
    """``lambent publish``.

    Raises:
        UsageError: the arguments contradict each other.
    """
    from spark_jobs.publish import publish

    if arguments.list:
        if arguments.snapshot is not None or arguments.full or arguments.dry_run:
            raise UsageError("--list publishes nothing, so it goes with no other argument.")
        found = snapshots(settings)
        if not arguments.json:
            print("\n".join(lines(found)))
        return found
    report = publish(settings, arguments.snapshot, full=arguments.full, dry_run=arguments.dry_run)
    if not arguments.json:
        print(sentence(report, dry_run=arguments.dry_run))
    return {**report.flat(), "written": report.rows, "dry_run": arguments.dry_run}


def sentence(report: Report, *, dry_run: bool) -> str:
    """One line for people."""
    wrote, deleted, left = ("would write", "delete", "leave") if dry_run else ("wrote", "deleted", "left")
    return (
        f"publish: version {report.facts['profiles_version']}: {wrote} {report.rows:,}, {deleted} "
        f"{report.counts['deleted']:,}, {left} {report.counts['unchanged']:,} as they are"
    )


def snapshots(settings: Settings) -> list[dict[str, Any]]:
    """The builds of ``profiles`` that its log knows, newest first, and what can be done with each.

    Raises:
        DataError: there are no profiles.
        StoreError: the store cannot be reached.
    """
    from lambent.features import FeatureSet
    from lambent.tables import PROFILES
    from spark_jobs.builds import Built, all_builds
    from spark_jobs.commits import need_table
    from spark_jobs.store import Held, connected, origin_of

    table = need_table(settings.table(PROFILES), "Make it: lambent batch profiles.")
    features = FeatureSet(settings.load_taxonomy()).hash
    with connected(settings) as store:
        held = Held.read(store)

    def state(built: Built) -> str:
        if held.version == built.version and held.origin == origin_of(table, built):
            return PUBLISHED
        if built.features != features:
            return OTHER_FEATURES
        return ALLOWED if built.snapshot.cutoff_ms >= held.floor_ms else TOO_OLD

    return [
        {
            "profiles_version": built.version,
            "events_version": built.snapshot.events_version,
            "cutoff_ms": built.snapshot.cutoff_ms,
            "state": state(built),
        }
        for built in all_builds(table)
    ]


def lines(found: list[dict[str, Any]]) -> list[str]:
    """The list for people."""
    rows = [
        (one["profiles_version"], one["events_version"], cutoff_text(one["cutoff_ms"]), one["state"]) for one in found
    ]
    heads = ("version", "events", "cut-off", "state")
    return [f"{version:>7}  {events:>6}  {cutoff:<19}  {state}" for version, events, cutoff, state in [heads, *rows]]


def cutoff_text(cutoff_ms: int) -> str:
    """A cut-off for people; that of a history from files alone is none."""
    return time_text(cutoff_ms) if cutoff_ms else "none"


COMMAND = Command(
    help="bring the profiles, the newest or earlier ones, to the store",
    description="Makes the store's profiles those of a snapshot: writes what changed, deletes what is in it no more, leaves\n"
    "the rest. Readers meanwhile get a user's old profile or the new one, whole, and live events count on both. One that\n"
    "was stopped is run again. Without arguments it is the job 'publish' of lambent batch.\n\n"
    "--snapshot goes back to an earlier version, as far as the live side has kept live events apart: the last three\n"
    "cut-offs that were published. The next publish without it brings the newest again.",
    examples=(
        ("lambent publish", "after lambent batch profiles"),
        ("lambent publish --list", "which snapshots there are, and which one is published"),
        ("lambent publish --snapshot 41 --dry-run", "how much a rollback would change"),
        ("lambent publish --snapshot 41", "go back"),
        ("lambent publish --full", "keys were lost, or written by something else"),
    ),
    configure=configure,
    run=run,
)
