"""``lambent replay``: a recorded log through the same doors as live events, in the order in which it arrived.

The log takes every event now, so its ``ingest_ms`` is new; ``event_ms`` stays, and with it every user's clock.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lambent.cli import Command
from lambent.errors import UsageError
from lambent.events import Event
from lambent.progress import Progress
from lambent.settings import Settings

if TYPE_CHECKING:
    from lambent.mapping import Row
    from realtime.doors import Door, Item

BATCH = 500
WAIT_S = 0.001


class Report(msgspec.Struct):
    """What a replay did.

    Attributes:
        sent: items that were sent.
        accepted: those that the door took. The streams take everything; what is no event, the worker refuses.
        rejected: those that it refused, by reason.
        unreadable: rows of the file that are no events and were not sent.
        seconds, rate: time taken, and items a second.
    """

    sent: int = 0
    accepted: int = 0
    rejected: dict[str, int] = {}
    unreadable: int = 0
    seconds: float = 0.0
    rate: float = 0.0


def replay(items: Iterable[Item], door: Door, *, rate: float = 0, batch: int = BATCH, total: int = 0) -> Report:
    """Send items in order.

    Args:
        items: events, whose users are pseudonyms, and raw bytes, which are sent as they are.
        door: where to.
        rate: items a second; 0: as fast as the door takes them.
        batch: items sent at once, at most.
        total: how many there are, for the progress bar; 0: not known.

    Raises:
        StoreError: the door stayed shut.
    """
    report, refused, started_s = Report(), Counter[str](), time.monotonic()
    with Progress("replaying", total=total, unit="events") as bar:
        for own in paced(items, rate, batch):
            accepted, reasons = door.send(own)
            report.sent += len(own)
            report.accepted += accepted
            refused += reasons
            bar.update(len(own))
    report.seconds = round(time.monotonic() - started_s, 3)
    report.rate = round(report.sent / max(report.seconds, 1e-3), 1)
    report.rejected = dict(refused)
    return report


def paced(items: Iterable[Item], rate: float, batch: int) -> Iterator[list[Item]]:
    """Batches of what is due by now at ``rate`` items a second; full batches without one."""
    rest, started_s, sent = iter(items), time.monotonic(), 0
    while True:
        due = batch
        if rate:
            due = min(batch, int((time.monotonic() - started_s) * rate) + 1 - sent)
            if due <= 0:
                time.sleep(WAIT_S)
                continue
        own = list(itertools.islice(rest, due))
        if not own:
            return
        sent += len(own)
        yield own


def choose(rows: Iterable[Row], from_ms: int, broken: bool, report: Report) -> Iterator[Item]:
    """The items of a file's rows.

    Args:
        rows: in the file's order.
        from_ms: leave out events that happened before; rows that are no events have no time and are kept.
        broken: send the bytes of rows that are no events.
        report: counts those that are not sent.
    """
    for row in rows:
        if row.event is not None and row.event.event_ms >= from_ms:
            yield row.event
        elif row.rejection is not None and broken:
            yield row.raw
        elif row.rejection is not None:
            report.unreadable += 1


def parse_time(text: str) -> int:
    """Milliseconds of an ISO 8601 time; without a zone it is UTC.

    Raises:
        UsageError: it is no such time.
    """
    try:
        time_ = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--from {text!r} is not an ISO time.", "Write it as 2025-01-31T12:00:00Z.") from error
    if time_.tzinfo is None:
        time_ = time_.replace(tzinfo=datetime.UTC)
    return round(time_.timestamp() * 1000)


def open_door(via: str, settings: Settings) -> Door:
    """The door that ``--via`` names.

    Raises:
        StoreError: the store cannot be reached or was made otherwise.
    """
    from realtime.doors import BothDoors, HttpDoor, StreamDoor
    from realtime.store import open_store

    http = HttpDoor(f"http://{settings.http_host}:{settings.http_port}")
    if via == "http":
        return http
    store, meta = open_store(settings)
    stream = StreamDoor(store, meta.partitions, settings.stream_max_events)
    return stream if via == "stream" else BothDoors(http, stream, meta.partitions)


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the log")
    parser.add_argument("--mapping", default="lambent", metavar="M", help="how to read it (default: %(default)s)")
    parser.add_argument("--from", dest="from_time", metavar="TIME", help="leave out events that happened before")
    parser.add_argument("--limit", type=int, metavar="N", help="send at most N")
    parser.add_argument(
        "--rate", type=float, default=0, metavar="N", help="events a second (default: as fast as can be)"
    )
    parser.add_argument("--via", choices=("http", "stream", "both"), default="http", help="the door (default: http)")
    parser.add_argument("--sort", action="store_true", help="by event time first; the whole file is held in memory")
    parser.add_argument(
        "--broken", action="store_true", help="send rows that are no events too, raw user ids and all: for made-up logs"
    )


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Replay a file; returns the report."""
    from lambent.mapping import load_mapping, read_events

    report = Report()
    rows = read_events(
        arguments.file, load_mapping(arguments.mapping), settings.load_taxonomy(), settings.user_key_bytes()
    )
    from_ms = parse_time(arguments.from_time) if arguments.from_time else 0
    items: Iterable[Item] = choose(rows, from_ms, arguments.broken, report)
    if arguments.sort:
        items = sorted(items, key=lambda item: item.event_ms if isinstance(item, Event) else 0)
    door = open_door(arguments.via, settings)
    done = replay(itertools.islice(items, arguments.limit), door, rate=arguments.rate, total=arguments.limit or 0)
    done.unreadable = report.unreadable
    if not arguments.json:
        print(
            f"{done.sent:,} sent, {done.accepted:,} accepted, {sum(done.rejected.values()):,} rejected, "
            f"{done.unreadable:,} unreadable in {done.seconds:,.1f} s ({done.rate:,.0f} events/s)"
        )
    return msgspec.to_builtins(done)


COMMAND = Command(
    help="send a recorded log through the doors of the live one",
    description=(
        "Sends the events of any log that a mapping can read, in the file's order, to the HTTP collector, to the streams,\n"
        "or half of the users to each. Users are pseudonyms when they leave this command."
    ),
    examples=(
        ("lambent replay shop.jsonl --rate 500", "500 events a second over HTTP"),
        (
            "lambent replay clicks.csv --mapping taobao --sort --via stream",
            "a file ordered by user, straight to the log",
        ),
    ),
    configure=configure,
    run=run,
)
