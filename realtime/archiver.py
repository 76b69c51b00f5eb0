"""``lambent archiver``: streams to the Delta tables ``log`` and ``intents``, exactly once, then trims the streams.

take the lease → open both tables → (read → append → mark idle partitions → trim) every interval
"""

from __future__ import annotations

import argparse
import functools
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from lambent import keys
from lambent.cli import Command
from lambent.errors import FencedError, UnwritableError
from lambent.settings import Settings

if TYPE_CHECKING:
    from realtime.archive import Archive
    from realtime.store import Meta
    from realtime.stores import FullStore

# Beyond maxmemory too: see ``room``.
_TELL = b"""#!lua flags=allow-oom
return redis.call('HSET', KEYS[1], unpack(ARGV))
"""

INTERVAL_MS = 1_000
LEASE_MS = 3_000
"""How long the lease outlives its archiver, at least; three intervals where that is more."""
COMMIT_ENTRIES = 100_000
"""Entries of one commit, about; each partition gives its share."""
LEAST_MARKER_MS = 1_000


Found = Mapping[int, list[Any]]
"""Entries of streams by partition, each beginning with its id."""
Read = Callable[[Mapping[int, bytes], int], Found]
Rows = Callable[..., Any]
"""Makes a table's rows of them."""


class Archiver:
    """Archives one store. Only one at a time does; a second one waits for the lease.

    Args:
        store: the store; ``meta`` as it says.
        meta: partitions and tile width.
        settings: say where the tables are.
        interval_ms: time between commits.
        name: names the archiver in its lease.
    """

    def __init__(
        self, store: FullStore, meta: Meta, settings: Settings, interval_ms: int = INTERVAL_MS, name: str = ""
    ) -> None:
        from realtime.archiver_metrics import ArchiverMetrics
        from realtime.lag_metrics import LagCollector
        from realtime.partitions import Lease

        self.store, self.meta, self.settings = store, meta, settings
        self.metrics = ArchiverMetrics()
        LagCollector(self.metrics.registry, "archiver", store, lambda: range(meta.partitions) if self._log else ())
        self._interval_ms = interval_ms
        name = name or f"{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}"
        self._lease = Lease(store, name, max(LEASE_MS, 3 * interval_ms))
        self._log: Archive | None = None
        self._intents: Archive | None = None
        self._dead: Archive | None = None
        self._passed: dict[int, bytes] = {}
        self._memory_level = "enough"

    def run(self, stop: threading.Event) -> None:
        """Archive until ``stop`` is set, then once more what is there. A store that is gone and a full disk are waited for.

        Raises:
            StoreError: entries were trimmed that the table does not have.
            DataError: a table was made for another number of partitions.
        """
        from realtime.connection import UNAVAILABLE
        from realtime.logs import fields, get_logger
        from realtime.running import until_back

        while not stop.is_set():
            started_s = time.monotonic()
            try:
                self.round()
            except FencedError:
                self._log = None
            except UnwritableError as error:
                self._log = None  # the table itself says what has arrived
                self.metrics.failed()
                get_logger("archiver").error(fields("table-not-writable", reason=error))
            except UNAVAILABLE:
                until_back(stop, lambda: self.store.call("PING"), UNAVAILABLE)
            stop.wait(max(0.0, self._interval_ms / 1000 - (time.monotonic() - started_s)))
        self.leave()

    def leave(self) -> None:
        """Archive what is there, and give the lease back."""
        from realtime.connection import UNAVAILABLE

        try:
            if self._log is not None:
                self.round()
                self._lease.release([keys.ARCHIVER])
        except (FencedError, UnwritableError, *UNAVAILABLE):
            pass  # whoever is next goes on from the tables

    def round(self) -> int:
        """Archive all that is there now; how many entries of the log that were. 0 without the lease.

        Raises:
            FencedError: another archiver was first; this one has to open the tables anew.
        """
        if not self._hold():
            return 0
        from realtime.archive import dead_rows, intent_rows, log_rows

        log, intents, dead = self._opened()
        read, passed = self.store.read, self._positions()
        # What was given up until there is archived before the log says that the workers have come so far.
        self._drain(dead, self.store.read_dead, dead_rows, "dead")
        entries = self._drain(log, read, log_rows, "entries", passed)
        self._drain(intents, functools.partial(read, stream=keys.intents), intent_rows, "intents")
        now_ms = self.store.now_ms()
        self._tell(log)
        self._look()
        self._trim(log, intents, dead, now_ms)
        self._mark(log, now_ms)  # last: a store that is full takes no markers, and has to be trimmed
        return entries

    def _hold(self) -> bool:
        if self._lease.renew([keys.ARCHIVER])[0]:
            return True
        self._log = self._intents = self._dead = None
        return self._lease.take([keys.ARCHIVER])[0]

    def _opened(self) -> tuple[Archive, Archive, Archive]:
        if self._log and self._intents and self._dead:
            return self._log, self._intents, self._dead
        return self._open()

    def _open(self) -> tuple[Archive, Archive, Archive]:
        from lambent import tables
        from realtime.archive import DEAD, INTENTS, LOG, Archive
        from realtime.archived import raise_ids, read_trimmed, refuse_gap

        p = self.meta.partitions
        trimmed = read_trimmed(self.store, p)
        log = Archive(self.settings.table(tables.LOG), *LOG[:2], p)
        intents = Archive(self.settings.table(tables.INTENTS), *INTENTS[:2], p)
        dead = Archive(self.settings.table(tables.DEAD), *DEAD[:2], p)
        refuse_gap(trimmed, log.positions)
        if lost := raise_ids(self.store, log.positions):
            self._say_lost(lost, log)
        self._log, self._intents, self._dead, self._passed = log, intents, dead, {}
        return log, intents, dead

    def _say_lost(self, lost: Mapping[int, bytes], log: Archive) -> None:
        """The store has lost its last entries: what is gone for good, and what the archive alone has."""
        from realtime.archived import count_lost, count_unseen
        from realtime.logs import fields, get_logger

        gone, unseen = (
            count_lost(self.settings, self.store, log.positions),
            count_unseen(self.settings, self.store, lost),
        )
        self.metrics.lost(gone, unseen)
        remedy = "What only the archive has comes back by lambent rebuild; what was answered and is gone has to be sent again."
        get_logger("archiver").error(
            fields(
                "store-lost-its-tail", partitions=len(lost), answered_and_gone=gone, only_archived=unseen, remedy=remedy
            )
        )

    def _positions(self) -> dict[int, bytes]:
        """Where workers stand; not of partitions that none has ever worked on, or that are rebuilt."""
        from realtime import ids

        positions = enumerate(self.store.positions(range(self.meta.partitions)))
        return {p: at for p, at in positions if at not in (ids.START, ids.HELD)}

    def _drain(
        self, archive: Archive, read: Read, make_rows: Rows, what: str, passed: Mapping[int, bytes] | None = None
    ) -> int:
        """Append until the streams hold nothing new; how many entries."""
        count, total = max(1, COMMIT_ENTRIES // self.meta.partitions), 0
        while found := read(archive.positions, count):
            entries = sum(map(len, found.values()))
            self._append(archive, found, make_rows, what, passed or {})
            total += entries
            if all(len(own) < count for own in found.values()):
                break
        return total

    def _append(self, archive: Archive, found: Found, make_rows: Rows, what: str, passed: Mapping[int, bytes]) -> None:
        from realtime import ids

        rows = make_rows(found, archive.schema)
        news = {p: at for p, at in passed.items() if self._passed.get(p) != at}
        with self.metrics.commit_s.time():
            archive.append(rows, {p: own[-1][0] for p, own in found.items()}, news)
        self._passed |= news
        oldest_ms = min(ids.ingest_ms(own[0][0]) for own in found.values())
        self.metrics.archived(what, rows.num_rows, oldest_ms)

    def _mark(self, log: Archive, now_ms: int) -> None:
        """An idle partition gets a marker, so that its watermark goes on; it is archived in the next round."""
        from realtime import ids

        width_ms = max(self.meta.tile_ms, LEAST_MARKER_MS)
        idle = [p for p, last in log.positions.items() if now_ms - ids.parse(last)[0] >= width_ms]
        self.store.append((p, b"m", b"") for p in idle)

    def _tell(self, log: Archive) -> None:
        """Say how far the archive is to those who cannot read the table."""
        places = [part for place in log.positions.items() for part in place]
        self.store.call("EVAL", _TELL, 1, keys.ARCHIVED, *places)

    def _look(self) -> None:
        """Say that the store's memory is short long before anything is refused, and that it is so no more."""
        from redis.exceptions import NoPermissionError

        from realtime.logs import fields, get_logger
        from realtime.room import FULL, NEAR, fullest, memory_of, parse_info

        try:
            said = [node.execute_command("INFO", "memory") for node in self.store.nodes()]
        except NoPermissionError:  # an ACL may keep it from us
            return
        memory = fullest(memory_of(parse_info(one)) for one in said)
        self.metrics.memory(memory.used_bytes, memory.limit_bytes)
        level = "full" if memory.share >= FULL else "short" if memory.share >= NEAR else "enough"
        if level != self._memory_level:
            self._memory_level = level
            tell = get_logger("archiver").info if level == "enough" else get_logger("archiver").warning
            tell(fields("store-memory", level=level, used_bytes=memory.used_bytes, limit_bytes=memory.limit_bytes))

    def _trim(self, log: Archive, intents: Archive, dead: Archive, now_ms: int) -> None:
        from realtime.trim import INTENTS_KEPT_MS, trim_archived, trim_events

        trim_events(self.store, log.positions)
        kept_ms = 0 if self._memory_level == "full" else INTENTS_KEPT_MS
        trim_archived(self.store, keys.intents, intents.positions, now_ms - kept_ms)
        trim_archived(self.store, keys.dead, dead.positions, now_ms - kept_ms)


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--interval-ms", type=int, default=INTERVAL_MS, metavar="MS", help="time between commits (default: %(default)s)"
    )


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Archive until SIGTERM or SIGINT; the report is also written to ROOT/reports/archiver.json."""
    from realtime.connection import in_words
    from realtime.logs import fields, get_logger, start_logging
    from realtime.metrics import write_report
    from realtime.running import metrics_at, stop_on_signals
    from realtime.store import open_store

    start_logging()
    store, meta = open_store(settings)
    archiver = Archiver(store, meta, settings, arguments.interval_ms)
    stop = threading.Event()
    log = get_logger("archiver")
    with stop_on_signals(stop), metrics_at(settings.metrics_port, archiver.metrics.registry):
        log.info(fields("started", partitions=meta.partitions, tables=settings.tables_root))
        try:
            with in_words():
                archiver.run(stop)
        finally:
            report = archiver.metrics.report()
            write_report(settings.root / "reports" / "archiver.json", report)
    log.info(fields("stopped", **report))
    return report


COMMAND = Command(
    help="archive the streams to Delta, exactly once",
    description=(
        "Appends every entry of the log to the Delta table log, every intent to the table intents and what workers gave up to\n"
        "the table dead, one commit for all partitions, then trims what archive and worker have both seen. Start one; a second one waits to take over."
    ),
    examples=(
        ("lambent archiver", "a commit a second"),
        ("lambent archiver --interval-ms 60000", "fewer, larger files"),
    ),
    configure=configure,
    run=run,
)
