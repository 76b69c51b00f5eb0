"""``lambent verify``."""

from __future__ import annotations

import argparse
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lambent.cli import Command, Failed
from lambent.settings import Settings

if TYPE_CHECKING:
    from lambent.features import FeatureSet
    from realtime.law import Report as LawReport
    from realtime.predict import Load
    from realtime.store import Meta, Store
    from realtime.verify.checks import Verified
    from realtime.verify.sent import Sending, Sent


class Report(msgspec.Struct):
    """What was found.

    Attributes:
        law: of the profiles.
        verified: of all else.
        sent: what the log has of what producers say that they sent; None: they were not asked.
        seconds: time taken.
    """

    law: LawReport
    verified: Verified
    sent: Sending | None
    seconds: float

    @property
    def differences(self) -> int:
        """How many things are not as they have to be."""
        return self.law.differences + self.verified.differences

    def words(self) -> Iterator[str]:
        """The first of them."""
        for one in self.law.examples:
            words = f"{one.aggregate} is {one.live}, and has to be {one.expected}"
            yield f"law: the live profile's {words}, which is what all events give (user {one.user})"
        yield from map(str, self.verified.examples)


def verify(
    store: Store, meta: Meta, settings: Settings, features: FeatureSet, *, wait_s: float = 0,
    sent: Iterable[Sent] | None = None,
    load: Load | None = None,
) -> Report:  # fmt: skip
    """Compare everything.

    Args:
        store: the store; ``meta`` as it says.
        meta: partitions, tile width, floor and published cut-offs.
        settings: say where the tables are.
        features: the feature set.
        wait_s: how long to wait until worker and archive have seen all of the log.
        sent: what producers say that they sent; None: the log is believed.
        load: loads a model's artifact; None: LiteRT.

    Raises:
        StoreError: worker or archive has not seen all of the log, so that there is nothing to compare.
        DataError: a table cannot be read.
    """
    from realtime import ids
    from realtime.law import check_law
    from realtime.told import read_told
    from realtime.verify.checks import Verification
    from realtime.verify.evidence import read_evidence, read_files, refuse_news
    from realtime.verify.sent import check_sent

    started_s = time.monotonic()
    law = check_law(store, meta, settings, features, wait_s)

    def facts(users: Collection[str]) -> dict[str, list[int]]:
        return (
            read_told(settings, features, users, meta.cutoff_ms, meta.users_version) if meta.users_version >= 0 else {}
        )

    verification = Verification(store, meta, features, load=load, files=read_files(settings), facts=facts)
    logs, ends = {}, {}
    for found in read_evidence(store, meta.partitions, settings):
        verification.partition(found)
        log = found.log()
        ends[found.partition] = log[-1][0] if log else ids.START
        if sent is not None:
            logs[found.partition] = log
    verification.strangers()
    refuse_news(store, ends)
    sending = None
    if sent is not None:
        sending, differences = check_sent(sent, logs, features.taxonomy)
        verification.add(differences)
    return Report(law, verification.report, sending, round(time.monotonic() - started_s, 3))


def show(report: Report) -> Iterator[str]:
    """Lines for people."""
    found, tally = report.verified, report.verified.tally
    yield f"{report.law.users:,} users, {report.law.events:,} events in files and log, of {report.law.differences:,} the profile differs"
    rejected = sum(tally.rejected.values())
    yield (
        f"{tally.events:,} events in the log: {tally.applied:,} applied ({tally.late:,} of them late), {tally.duplicates:,} copies, "
        f"{tally.dead:,} dead letters, {rejected:,} rejected"
    )
    yield f"{tally.answers:,} answers, {tally.unproven:,} of them of what nobody remembers; {tally.controls:,} control entries"
    if found.models_missing:
        yield f"  models that cannot be loaded here: {', '.join(found.models_missing)}"
    if sent := report.sent:
        yield f"{sent.accepted:,} sendings accepted, {sent.refused:,} refused, {sent.maybe:,} untold ({sent.arrived:,} arrived)"
    yield f"{found.users:,} users, {report.seconds:,.1f} s: {found.differences:,} differences"
    yield from (f"  {one}" for one in report.words())


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--wait", type=float, default=0, metavar="S", help="wait up to S seconds for worker and archive"
    )
    parser.add_argument("--sent", type=Path, metavar="FILE", help="a producer's own log of what it sent (.jsonl)")


def run(arguments: argparse.Namespace, settings: Settings) -> Any:
    """Compare, and print the report; the exit code is 1 where something differs."""
    from lambent.features import FeatureSet
    from realtime.connection import in_words
    from realtime.store import open_store
    from realtime.verify.sent import read_sent

    sent = read_sent(arguments.sent) if arguments.sent else None
    store, meta = open_store(settings, create=False)
    features = FeatureSet(settings.load_taxonomy())
    with in_words():
        report = verify(store, meta, settings, features, wait_s=arguments.wait, sent=sent)
    if not arguments.json:
        print("\n".join(show(report)))
    told = msgspec.to_builtins(report)
    return Failed(told) if report.differences else told


COMMAND = Command(
    help="check that all that is stored is what the log gives",
    description=(
        "Replays the archived log event by event in plain Python, control entries included, and compares what it gives with\n"
        "the live records, the intents, the positions, the dead letters and the archive itself; the profiles by lambent law.\n"
        "With --sent also the log with what a producer says that it sent. Exit code 1 if anything differs."
    ),
    examples=(
        ("lambent verify", "when nothing is on its way"),
        ("lambent verify --wait 10 --json", "wait for worker and archive first; a report for machines"),
        ("lambent verify --sent sent.jsonl", "against a load generator's own log"),
    ),
    configure=configure,
    run=run,
)
