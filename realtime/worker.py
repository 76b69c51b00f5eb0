"""``lambent worker``: one loop that reads a micro-batch, folds it, answers it and commits it.

    keep leases → read → admit → users' keys → fold, predict, decide → commit → count

Nothing is kept in memory that the store does not have: after any error the worker goes on from the store's positions.
"""

from __future__ import annotations

import argparse
import os
import socket
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lambent.cli import Command
from lambent.errors import FencedError
from lambent.features import FeatureSet
from lambent.settings import Settings

if TYPE_CHECKING:
    from realtime.batch import Batch
    from realtime.commit import Commit
    from realtime.partitions import Held
    from realtime.predict import Load
    from realtime.process import Outcome
    from realtime.store import Meta
    from realtime.stores import WorkerStore

BATCH_ENTRIES = 2_048
"""Entries of a micro-batch, about: each partition gives its share, but at least ``LEAST_ENTRIES``."""
LEAST_ENTRIES = 32
BLOCK_MS = 200
"""How long a read waits for a first entry; also how soon a stop is noticed."""
FLOOR_EVERY_S = 1.0
MANY, FEW = 2, 8
"""A batch of a 2nd of ``BATCH_ENTRIES`` is a backlog, and the second lane begins to help; after one of an 8th it is done."""
HELPED_BLOCK_MS = 20
"""How long the first lane's read waits while it is helped: so long may an event of a partition that it gets back have to wait."""


class Worker:
    """Works on partitions until told to stop.

    Args:
        store: the store; ``meta`` as it says.
        meta: partitions and tile width.
        features: the feature set.
        partitions: which partitions it may take; None: all.
        load: loads a model's artifact; None: LiteRT.
        lease_ms: how long a lease outlives this worker; 0: no leases.
        name: names the worker in its leases.
        batch_entries: of a micro-batch, about; many where nobody waits for an answer.
        beside: a worker of the same process, which leads: its partitions and metrics are this one's too. While there is a backlog
            each of the two works on every other partition, else the one that leads on all, since a batch twice as large costs
            less than two. Who gives partitions away decides it, between two batches. ``partitions``, ``lease_ms`` and ``name``
            are those of the one that leads.
    """

    def __init__(
        self, store: WorkerStore, meta: Meta, features: FeatureSet, *, partitions: Sequence[int] | None = None,
        load: Load | None = None, lease_ms: int | None = None, name: str = "",
        batch_entries: int = BATCH_ENTRIES, beside: Worker | None = None,
    ) -> None:  # fmt: skip
        from realtime.batch import Gate
        from realtime.metrics import WorkerMetrics
        from realtime.partitions import LEASE_MS, Partitions
        from realtime.predict import Models
        from realtime.process import Processor

        self.store, self.meta, self._batch_entries = store, meta, batch_entries
        self.models = Models(features, load)
        self.lane = 0
        self.helped: threading.Event = threading.Event() if beside is None else beside.helped
        self._alone = beside is None
        if beside is None:
            self.metrics = WorkerMetrics()
            name = name or f"{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}"
            wanted = range(meta.partitions) if partitions is None else partitions
            lease_ms = LEASE_MS if lease_ms is None else lease_ms
            self.partitions = Partitions(store, meta.partitions, wanted, name, lease_ms, features.hash)
        else:
            self.metrics, self.partitions = beside.metrics, beside.partitions
            self.lane, beside._alone = 1, False
        self._gate = Gate(features, self.models, meta.partitions)
        self._processor = Processor(features, self.models, meta.tile_ms)
        self._floor_ms, self._floor_due_s = meta.floor_ms, 0.0
        self._in_doubt: list[tuple[Commit, Batch, Outcome]] = []

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; a store that is gone or full is waited for.

        Raises:
            StoreError: the store holds what this version cannot read, or has lost entries.
        """
        from realtime.connection import UNAVAILABLE
        from realtime.running import Backoff, until_back

        backoff = Backoff(stop)
        while not stop.is_set():
            try:
                self.turn()
                backoff.reset()
            except UNAVAILABLE as error:
                until_back(stop, self._recover, UNAVAILABLE)
                backoff.wait(f"{type(error).__name__}: {error}")  # one that only takes no writes was back at once
        if self._alone:
            self.leave()

    def turn(self, block_ms: int = BLOCK_MS) -> int:
        """One micro-batch; returns how many entries it held."""
        if self.lane == 0:
            self.partitions.keep()
        elif not self.helped.wait(block_ms / 1000):
            return 0
        self._refresh_floor()
        batch = self._read(min(block_ms, HELPED_BLOCK_MS) if self.helped.is_set() else block_ms)
        entries = sum(part.entries for part in batch.slices.values())
        if entries:
            self._commit(batch, self._answer(batch))
        self._share(entries)
        return entries

    def _share(self, entries: int) -> None:
        """Give partitions to the other lane, after a batch of so many entries."""
        if self.lane == 0 and not self._alone and entries >= self._batch_entries // MANY:
            self.helped.set()
        elif self.lane == 1 and entries <= self._batch_entries // FEW:
            self.helped.clear()

    def _held(self) -> dict[int, Held]:
        """The partitions of this lane. A lease that is lost meanwhile leaves what was seen here, and the fence does the rest."""
        held = list(self.partitions.held.items())
        if self.helped.is_set():
            return {p: own for p, own in held if p % 2 == self.lane}
        return dict(held) if self.lane == 0 else {}

    def _read(self, block_ms: int) -> Batch:
        from realtime.batch import Batch, cut

        held = self._held()
        if not any(own.ahead for own in held.values()):
            count = max(LEAST_ENTRIES, self._batch_entries // max(len(held), 1))
            positions = {p: own.position for p, own in held.items()}
            for p, entries in self._read_entries(positions, count, block_ms).items():
                held[p].ahead = entries
        batch = Batch()
        for p, own in held.items():
            if own.ahead:
                size = cut(own.ahead)
                self._gate.take(batch, p, own.position, own.control, own.ahead[:size])
                own.ahead = own.ahead[size:]
        return batch

    def _read_entries(self, positions: dict[int, bytes], count: int, block_ms: int) -> dict[int, Any]:
        if positions:
            return self.store.read(positions, count, block_ms)
        time.sleep(block_ms / 1000)
        return {}

    def _answer(self, batch: Batch) -> Outcome:
        """Read the users of the batch, fold and predict."""
        wanted: dict[int, dict[str, None]] = {}
        for one in batch.events:
            wanted.setdefault(one.partition, {})[one.event.user] = None
        values = self.store.users({p: list(names) for p, names in wanted.items()})
        users = {name: row for row, name in enumerate(name for names in wanted.values() for name in names)}
        if any(part.control.has_shadow for part in batch.slices.values()):
            batch.shadows = self.store.shadows({p: list(names) for p, names in wanted.items()})
        with self.metrics.step_s.time():
            return self._processor.run(batch, users, values, self._floor_ms)

    def _commit(self, batch: Batch, outcome: Outcome) -> None:
        from realtime.process import commits_of

        commits = commits_of(batch, outcome)
        self._in_doubt = [(commit, batch, outcome) for commit in commits]
        with self.metrics.commit_s.time():
            replies = self.store.commit(commits)
        self._in_doubt = []
        self._settle(batch, outcome, {commit.partition: reply for commit, reply in zip(commits, replies, strict=True)})

    def _settle(self, batch: Batch, outcome: Outcome, replies: dict[int, FencedError | None]) -> None:
        """Move on where the batch was committed; start again from the store where another worker was first."""
        fenced = [p for p, reply in replies.items() if reply is not None]
        for p in replies.keys() - set(fenced):
            if own := self.partitions.held.get(p):
                part = batch.slices[p]
                own.position, own.control = part.end, part.control
        if fenced:
            for _ in fenced:
                self.metrics.fenced()
            self.partitions.load(fenced)
        self._count(batch, outcome, set(fenced))

    def _count(self, batch: Batch, outcome: Outcome, fenced: set[int]) -> None:
        # With a partition fenced, the batch's other counts are an upper bound for this worker; the tables are exact.
        answered = [one.ingest_ms for one in outcome.answered if one.partition not in fenced]
        if len(fenced) == len(batch.slices):
            return
        self.metrics.committed(
            entries=sum(part.entries for p, part in batch.slices.items() if p not in fenced),
            applied=outcome.applied,
            late=outcome.late,
            duplicates=outcome.duplicates,
            dead=sum(len(given_up) for given_up in batch.dead.values()),
            unreadable=outcome.unreadable,
            missed=outcome.missed,
            restarted=outcome.restarted,
            rejected=batch.rejected,
            answered_ms=answered,
        )
        self.metrics.models(self.lane, self.models.failures)
        self.metrics.partitions.set(len(self.partitions.held))

    def _recover(self) -> None:
        """After the connection was lost: settle what is in doubt by the positions, and go on from them."""
        doubtful, self._in_doubt = self._in_doubt, []
        self.partitions.load(list(self._held()))
        if doubtful:
            _, batch, outcome = doubtful[0]
            held = self._held()
            void = {
                c.partition for c, _, _ in doubtful if c.partition not in held or held[c.partition].position != c.end
            }
            self._count(batch, outcome, void)

    def _refresh_floor(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._floor_due_s:
            self._floor_due_s = now_s + FLOOR_EVERY_S
            meta = self.store.meta()
            if meta is not None:
                self._floor_ms = meta.floor_ms
                self.metrics.cutoff_s.set(meta.cutoff_ms / 1000)
            self.models.keep([own.control for own in self._held().values()])

    def leave(self) -> None:
        """Give the partitions back; no lane works any more."""
        from realtime.connection import UNAVAILABLE

        try:
            self.partitions.release()
        except UNAVAILABLE:  # the leases run out by themselves
            self.partitions.held.clear()


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--partitions", metavar="LIST", help="only these, e.g. 0-7,12 (default: its share of all)")
    parser.add_argument("--lease-ms", type=int, metavar="MS", help="how long a dead worker's partitions stay taken")


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Work until SIGTERM or SIGINT; the report is also written to ROOT/reports/worker.json."""
    from realtime.connection import in_words
    from realtime.lag_metrics import LagCollector
    from realtime.lanes import run_lanes
    from realtime.logs import fields, get_logger, start_logging
    from realtime.metrics import write_report
    from realtime.partition_list import parse_partitions
    from realtime.running import metrics_at, stop_on_signals
    from realtime.store import open_store

    start_logging()
    store, meta = open_store(settings)
    wanted = parse_partitions(arguments.partitions, meta.partitions) if arguments.partitions else None
    features = FeatureSet(settings.load_taxonomy())
    worker = Worker(store, meta, features, partitions=wanted, lease_ms=arguments.lease_ms)
    second = Worker(open_store(settings)[0], meta, features, beside=worker)
    LagCollector(worker.metrics.registry, "worker", store, lambda: list(worker.partitions.held))
    stop = threading.Event()
    log = get_logger("worker")
    with stop_on_signals(stop), metrics_at(settings.metrics_port, worker.metrics.registry):
        log.info(fields("started", partitions=meta.partitions, tile_ms=meta.tile_ms, features=features.hash))
        try:
            with in_words():
                run_lanes([worker, second], stop)
        finally:
            report = worker.metrics.report()
            write_report(settings.root / "reports" / "worker.json", report)
    log.info(fields("stopped", **{k: v for k, v in report.items() if not isinstance(v, list)}))
    return report


COMMAND = Command(
    help="fold live events and predict intents",
    description=(
        "Reads the partitions' streams, folds every event into its user's live record, predicts the user's intent and\n"
        "commits both with the position in the log. Start and stop as many as you like: within seconds each has its share."
    ),
    examples=(
        ("lambent worker", "its share of the partitions: alone, all of them"),
        ("lambent worker --partitions 0-7", "only these"),
    ),
    configure=configure,
    run=run,
)
