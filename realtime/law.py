"""``lambent law``: is every user's live profile the fold of all that the user did?

live(user) = merge(profile key, tiles of the live record since its cut-off)   ==   the oracle over the Delta tables
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lambent import keys, law, oracle, tables
from lambent.cli import Command
from lambent.errors import DataError, StoreError
from lambent.features import FeatureSet
from lambent.profile import Profiles
from lambent.records import decode_live, decode_profiles, merge_live
from lambent.settings import Settings
from realtime.told import read_told

if TYPE_CHECKING:
    from realtime.history import Log
    from realtime.store import Entry, Meta
    from realtime.stores import FullStore

CHUNK = 500  # users read at once
EXAMPLES = 5
POLL_S = 0.1


class Difference(msgspec.Struct, frozen=True):
    """One aggregate of one user that is not what it has to be."""

    user: str
    aggregate: str
    live: list[float]
    expected: list[float]


class Report(msgspec.Struct):
    """What was compared.

    Attributes:
        users, events: all of them; events are distinct.
        crossing: users with events before and after a cut-off that was published; files count as before.
        cutoffs_ms: those cut-offs.
        dead: entries that workers gave up; they are left out, and those that were retried came in anew.
        differences: users whose profiles differ.
        examples: some of the aggregates that differ.
        seconds: time taken.
    """

    users: int = 0
    events: int = 0
    crossing: int = 0
    cutoffs_ms: tuple[int, ...] = ()
    dead: int = 0
    differences: int = 0
    examples: list[Difference] = []
    seconds: float = 0.0


def check_law(store: FullStore, meta: Meta, settings: Settings, features: FeatureSet, wait_s: float = 0) -> Report:
    """Compare every user.

    Args:
        store: the store; ``meta`` as it says.
        meta: partitions and published cut-offs.
        settings: say where the tables are.
        features: the feature set.
        wait_s: how long to wait until worker and archive have seen all of the log.

    Raises:
        StoreError: they have not, so that there is nothing to compare.
    """
    from realtime import ids
    from realtime.dead import read_dead
    from realtime.history import read_history

    started_s = time.monotonic()
    _wait(store, meta, settings, started_s + wait_s)
    left_out = {
        (p, *ids.parse(one.id)) for p, own in read_dead(settings, store, meta.partitions).items() for one in own
    }
    histories = read_history(settings, features.taxonomy, left_out)
    report = Report(cutoffs_ms=meta.published, dead=len(left_out))
    users = sorted(histories, key=lambda user: keys.partition(user, meta.partitions))
    for start in range(0, len(users), CHUNK):
        own = users[start : start + CHUNK]
        _compare(report, store, meta, settings, features, {user: histories[user] for user in own})
    _wait(store, meta, settings, 0)  # what came meanwhile would be in the live records only
    report.seconds = round(time.monotonic() - started_s, 3)
    return report


def _compare(
    report: Report,
    store: FullStore,
    meta: Meta,
    settings: Settings,
    features: FeatureSet,
    histories: dict[str, tuple[Log, list[int]]],
) -> None:
    report.users += len(histories)
    report.events += sum(len(log) for log, _ in histories.values())
    report.crossing += sum(_crosses(origins, meta.published) for _, origins in histories.values())
    expected = np.concatenate([oracle.profile(features, oracle.mark(features, log)) for log, _ in histories.values()])
    if meta.users_version >= 0:
        told = read_told(settings, features, histories, meta.cutoff_ms, meta.users_version)
        for row, user in enumerate(histories):
            expected["fact"][row] = told.get(user, 0)
    live, stored = read_live(store, meta.partitions, features, list(histories))
    found: dict[str, Any] = {}
    for flag in (False, True):
        rows = np.flatnonzero(stored == flag)
        for name, differs in law.differs(features.profile, live[rows], expected[rows], stored=flag).items():
            found.setdefault(name, np.zeros(len(live), bool))[rows] = differs
    report.differences += int(np.logical_or.reduce(list(found.values())).sum())
    for name, rows in found.items():
        for row in np.flatnonzero(rows)[: EXAMPLES - len(report.examples)]:
            values = (_values(features, name, side[row : row + 1]) for side in (live, expected))
            report.examples.append(Difference(list(histories)[row], name, *values))


def _values(features: FeatureSet, name: str, one: Profiles) -> list[float]:
    if name == "clock_ms":
        return [float(one["clock_ms"][0])]
    aggregate = next(a for a in features.profile.aggregates if a.name == name)
    return [float(value) for value in features.profile.block(one, aggregate)[0]]


def _crosses(origins: Sequence[int], cutoffs_ms: Sequence[int]) -> bool:
    return any(min(origins) < cutoff_ms <= max(origins) for cutoff_ms in cutoffs_ms)


def read_live(store: FullStore, partitions: int, features: FeatureSet, users: Sequence[str]) -> tuple[Profiles, Any]:
    """[n] what the store knows of users ordered by partition, and [n] whether a published profile is part of it."""
    wanted: dict[int, list[str]] = {}
    for user in users:
        wanted.setdefault(keys.partition(user, partitions), []).append(user)
    values = store.users(wanted)
    profiles, cutoffs_ms = decode_profiles(features, values[0::2])
    live = merge_live(features, profiles, cutoffs_ms, decode_live(features, values[1::2]))
    return live, np.array([value is not None for value in values[0::2]], bool)


def _wait(store: FullStore, meta: Meta, settings: Settings, deadline_s: float) -> None:
    while behind := unseen(store, meta.partitions, settings):
        if time.monotonic() >= deadline_s:
            who, p = behind
            raise StoreError(
                f"The log of partition {p} has entries that the {who} has not seen, so there is nothing to compare yet.",
                "Stop what sends events, let worker and archiver run, or give --wait SECONDS.",
            )
        time.sleep(POLL_S)


def unseen(store: FullStore, partitions: int, settings: Settings) -> tuple[str, int] | None:
    """Who is behind, and in which partition; None if worker and archive have seen every entry but markers."""
    from realtime.archive import LOG, read_ends
    from realtime.history import open_table

    archived = read_ends(open_table(settings, tables.LOG), LOG[1], partitions)
    answered = dict(enumerate(store.positions(range(partitions))))
    for who, positions in (("archive", archived), ("worker", answered)):
        for p, entries in _after(store, positions):
            if any(kind != b"m" for _, kind, _ in entries):
                return who, p
    return None


def _after(store: FullStore, positions: dict[int, bytes]) -> Iterator[tuple[int, list[Entry]]]:
    """What lies after the positions, as far as a look goes: idle partitions gather no more markers than that."""
    return iter(store.read(positions, 1_000).items())


def show(report: Report) -> Iterator[str]:
    """Lines for people."""
    verdict = "every live profile is the fold of all events" if not report.differences else "the law does not hold"
    yield f"{report.users:,} users, {report.events:,} events, {report.seconds:,.1f} s: {verdict}"
    yield f"{report.crossing:,} of them have events on both sides of {len(report.cutoffs_ms)} published cut-offs"
    if report.dead:
        yield f"{report.dead:,} entries that workers gave up are left out: lambent dead show"
    for one in report.examples:
        yield f"  {one.user} {one.aggregate}: live {one.live}, expected {one.expected}"


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--wait", type=float, default=0, metavar="S", help="wait up to S seconds for worker and archive"
    )
    parser.add_argument(
        "--metrics", type=Path, metavar="FILE", help="write what was found to FILE too (.prom), for Prometheus"
    )


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Check, and print the report.

    Raises:
        DataError: the law does not hold.
    """
    from realtime.connection import in_words
    from realtime.law_metrics import write_law_metrics
    from realtime.store import open_store

    store, meta = open_store(settings, create=False)
    features = FeatureSet(settings.load_taxonomy())
    with in_words():
        report = check_law(store, meta, settings, features, arguments.wait)
    if arguments.metrics:
        write_law_metrics(report, arguments.metrics)
    print(json.dumps(msgspec.to_builtins(report), indent=2) if arguments.json else "\n".join(show(report)))
    if report.differences:
        raise DataError(
            f"{report.differences} of {report.users} users have a live profile that is not the fold of their events.",
            "Publish anew (lambent publish --full), then make the live side anew: lambent rebuild.",
        )


COMMAND = Command(
    help="check that batch plus live is the fold of everything",
    description=(
        "For every user: the slow oracle over all distinct events in the Delta tables, against the published profile merged\n"
        "with the live tiles. Exit code 1 if any user differs."
    ),
    examples=(
        ("lambent law", "when nothing is on its way"),
        ("lambent law --wait 10 --json", "wait for worker and archive first; a report for machines"),
    ),
    configure=configure,
    run=run,
)
