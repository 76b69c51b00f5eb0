"""``lambent replay``: a recorded log through the same doors as live events, in the order in which it arrived.

The log takes every event now, so its ``ingest_ms`` is new; ``event_ms`` stays, and with it every user's clock.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lambent.cli import STOPPED, Command, Failed
from lambent.errors import UsageError
from lambent.events import Event
from lambent.progress import Progress
from lambent.settings import Settings
from lambent.utc import parse_time, time_text
from realtime.pacing import AsItHappened, Due, at_once, at_rate, paced

if TYPE_CHECKING:
    from lambent.mapping import Row
    from realtime.doors import Door, Item

BATCH = 500
LARGE_BYTES = 16 << 20
"""Of a file from this size on, how far it is read says how far the replay is; a smaller one is read almost at once."""


class Report(msgspec.Struct):
    """What a replay did.

    Attributes:
        sent: items that were sent.
        accepted: those that the door took. The streams take everything; what is no event, the worker refuses.
        rejected: those that it refused, by reason.
        unreadable: rows of the file that are no events and were not sent.
        log_ms: the log's time that was reached, the newest ``event_ms`` of those sent; None without an event.
        stopped: it was stopped by Ctrl-C.
        uncertain: items that were under way just then: the door may have taken them.
        seconds, rate: time taken, and items a second.
    """

    sent: int = 0
    accepted: int = 0
    rejected: dict[str, int] = {}
    unreadable: int = 0
    log_ms: int | None = None
    stopped: bool = False
    uncertain: int = 0
    seconds: float = 0.0
    rate: float = 0.0


def replay(
    items: Iterable[Item],
    door: Door,
    *,
    due: Due = at_once,
    batch: int = BATCH,
    total: int = 0,
    share: Callable[[], float | None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Report:
    """Send items in order. Ctrl-C ends it, and the report says so.

    Args:
        items: events, whose users are pseudonyms, and raw bytes, which are sent as they are.
        door: where to.
        due: when each item is.
        batch: items sent at once, at most.
        total: how many there are, for the progress bar; 0: not known.
        share: where the total is not known: how far the items are read, 0 to 1; None: not known either.
        clock, sleep: see ``paced``.

    Raises:
        StoreError: the door stayed shut.
    """
    report, refused, started_s = Report(), Counter[str](), clock()
    with Progress("replaying", total=total, unit="events") as bar:

        def wait(seconds: float) -> None:
            sleep(seconds)
            bar.update(0)

        try:
            for own in paced(items, due, batch, clock, wait):
                report.uncertain = len(own)
                accepted, reasons = door.send(own)
                report.sent, report.uncertain = report.sent + len(own), 0
                report.accepted += accepted
                refused += reasons
                report.log_ms = log_time(own, report.log_ms)
                bar.share, bar.note = share(), "" if report.log_ms is None else f"at {time_text(report.log_ms)}"
                bar.update(len(own))
        except KeyboardInterrupt:
            report.stopped = True
    report.seconds = round(clock() - started_s, 3)
    report.rate = round(report.sent / max(report.seconds, 1e-3), 1)
    report.rejected = dict(refused)
    return report


def log_time(items: Sequence[Item], so_far_ms: int | None) -> int | None:
    """The newest ``event_ms`` so far."""
    times = [item.event_ms for item in items if isinstance(item, Event)]
    return max(times if so_far_ms is None else [so_far_ms, *times], default=None)


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


def open_door(via: str, settings: Settings) -> Door:
    """The door that ``--via`` names.

    Raises:
        StoreError: the store cannot be reached or was made otherwise.
    """
    from realtime.doors import BothDoors, HttpDoor, StreamDoor
    from realtime.store import open_store

    key = settings.api_key.get_secret_value() if settings.api_key else None
    http = HttpDoor(f"http://{settings.http_host}:{settings.http_port}", key=key)
    if via == "http":
        return http
    store, meta = open_store(settings)
    stream = StreamDoor(store, meta.partitions, settings.stream_max_events)
    return stream if via == "stream" else BothDoors(http, stream, meta.partitions)


def positive(text: str) -> float:
    """A number above 0, for argparse.

    Raises:
        ValueError: it is none.
    """
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError(text)
    return number


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the log")
    parser.add_argument("--mapping", default="lambent", metavar="M", help="how to read it (default: %(default)s)")
    parser.add_argument("--from", dest="from_time", metavar="TIME", help="leave out events that happened before")
    parser.add_argument("--limit", type=int, metavar="N", help="send at most N")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--rate", type=positive, metavar="N", help="events a second (default: as fast as can be)")
    pace.add_argument(
        "--speed", type=positive, metavar="X", help="as it happened, X times as fast; 1: in the time that it took"
    )
    parser.add_argument(
        "--max-gap", type=positive, metavar="S", help="with --speed: wait S seconds at most for an event"
    )
    parser.add_argument("--via", choices=("http", "stream", "both"), default="http", help="the door (default: http)")
    parser.add_argument("--sort", action="store_true", help="by event time first; the whole file is held in memory")
    parser.add_argument(
        "--broken", action="store_true", help="send rows that are no events too, raw user ids and all: for made-up logs"
    )


def pace_of(arguments: argparse.Namespace) -> Due:
    """When items are due, as the arguments say.

    Raises:
        UsageError: ``--max-gap`` without ``--speed``.
    """
    if arguments.speed:
        return AsItHappened(arguments.speed, arguments.max_gap)
    if arguments.max_gap:
        raise UsageError("--max-gap shortens the silences of --speed, which is not given.", "Give --speed 1.")
    return at_rate(arguments.rate) if arguments.rate else at_once


def run(arguments: argparse.Namespace, settings: Settings) -> Any:
    """Replay a file; returns the report."""
    from lambent.mapping import load_mapping, read_events

    due, found, read = pace_of(arguments), Report(), [0]
    mapping, taxonomy = load_mapping(arguments.mapping), settings.load_taxonomy()
    rows = read_events(arguments.file, mapping, taxonomy, settings.user_key_bytes(), read.append)
    from_ms = parse_time(arguments.from_time) if arguments.from_time else 0
    items: Iterable[Item] = choose(rows, from_ms, arguments.broken, found)
    total = arguments.limit or 0
    if arguments.sort:
        items = sorted(items, key=lambda item: item.event_ms if isinstance(item, Event) else 0)
        total = min(total or len(items), len(items))
    size = arguments.file.stat().st_size

    def share() -> float | None:
        read[:] = [sum(read)]
        return read[0] / size if size >= LARGE_BYTES else None

    door = open_door(arguments.via, settings)
    done = replay(itertools.islice(items, arguments.limit), door, due=due, total=total, share=share)
    done.unreadable = found.unreadable
    if not arguments.json:
        print(describe(done))
    report = msgspec.to_builtins(done)
    return Failed(report, STOPPED) if done.stopped else report


def describe(done: Report) -> str:
    """The report for people."""
    line = (
        f"{done.sent:,} sent, {done.accepted:,} accepted, {sum(done.rejected.values()):,} rejected, "
        f"{done.unreadable:,} unreadable in {done.seconds:,.1f} s ({done.rate:,.0f} events/s)"
    )
    if not done.stopped:
        return line
    reached = "" if done.log_ms is None else f" at {time_text(done.log_ms)} of the log"
    under_way = f"; {done.uncertain:,} more were under way and may have arrived" if done.uncertain else ""
    return f"Stopped{reached}: {line}{under_way}."


COMMAND = Command(
    help="send a recorded log through the doors of the live one",
    description=(
        "Sends the events of any log that a mapping can read, in the file's order, to the HTTP collector, to the streams,\n"
        "or half of the users to each: as fast as can be, at a rate, or as it happened. Users are pseudonyms when they leave\n"
        "this command. Ctrl-C ends it and says what was sent.\n\n"
        "With --speed the gaps are those between the events' times. What is older than an event before it, or has no time,\n"
        "waits for nothing; a time that is wrong by years is waited for, unless --max-gap says how long at most."
    ),
    examples=(
        ("lambent replay shop.jsonl --rate 500", "500 events a second over HTTP"),
        ("lambent replay shop.jsonl --speed 60 --max-gap 5", "an hour in a minute, and no silence of over 5 seconds"),
        ("lambent replay shop.jsonl --speed 1 --from 2025-01-08T18:00", "an evening, in the time that it took"),
        (
            "lambent replay clicks.csv --mapping taobao --sort --via stream",
            "a file ordered by user, straight to the log",
        ),
    ),
    configure=configure,
    run=run,
)
