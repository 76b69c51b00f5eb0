"""One seed, from its schedule to the oracle's words."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

from lambent.settings import load_settings
from realtime.law import unseen
from realtime.store import Store
from realtime.verify.command import Report, verify
from tests.visitors import FEATURES, Visitors, load
from tests.world.clock import StuckError, World
from tests.world.parts import Parts, Producer, Publisher, Stop
from tests.world.tables import Tables
from tests.world.wire import HOUR_S, connected, server

TURNS = 10_000
TILE_MS = 60_000


@dataclasses.dataclass
class Ended:
    """How a world ended.

    Attributes:
        seed: of it.
        words: what the oracle found; empty: nothing.
        report: its report; None: it could not be asked.
        schedule: what happened.
    """

    seed: int
    words: list[str]
    report: Report | None
    schedule: list[str]


def play(seed: int, events: int | None = None) -> Ended:
    """Let a world happen, calm down and be looked at.

    Args:
        seed: decides everything.
        events: how many are sent; None: the seed decides.
    """
    world = World(seed)
    logging.disable(logging.CRITICAL)
    try:
        with world.time():
            return _play(world, seed, events)
    finally:
        logging.disable(logging.NOTSET)


def _play(world: World, seed: int, events: int | None) -> Ended:
    rng, shop = world.rng, server()
    settings = load_settings(root=Path("/nowhere"), partitions=rng.choice([1, 2, 3]), tile_ms=TILE_MS)
    plain = Store("", client=connected(shop))
    plain.create_meta(settings.partitions, settings.tile_ms)
    meta = plain.meta()
    assert meta is not None
    risk = rng.choice([0.0, 0.01, 0.03, 0.1])
    tables = Tables(world, 2 * risk)
    parts = Parts(world, shop, tables, settings, meta, risk, rng.choice([0, 500, 3_000]), rng.choice([4, 32, 512]))
    visitors = Visitors(rng, 0, users=rng.choice([2, 5, 8]), copies=10)
    producer = Producer(parts, visitors, events or rng.choice([10, 25, 50]), challenged=seed % 4 == 0)
    stop = Stop(world)
    with tables.instead(), ended(world):
        for n in range(rng.choice([1, 2, 3])):
            world.start(f"worker-{n}", parts.keep(f"worker-{n}", parts.worker, stop))
        for n in range(rng.choice([1, 1, 2])):
            world.start(f"archiver-{n}", parts.keep(f"archiver-{n}", parts.archiver, stop))
        sending = world.start("producer", producer.run)
        if rng.random() < 0.7:
            world.start("publish", lambda: Publisher(parts).run(stop))
        try:
            world.run_until(lambda: sending.thread.dead or bool(parts.failed), TURNS)
            world.calm = True
            world.wall_s += HOUR_S  # a lease that was taken before the clock went back lasts as long as that
            world.run_until(lambda: bool(parts.failed) or unseen(plain, meta.partitions, settings) is None, TURNS)
            stop.set()
            world.run_until(lambda: not [task for task in world.tasks if not task.thread.dead], TURNS)
        except StuckError as error:
            parts.failed.append(str(error))
        if parts.failed:
            return Ended(seed, parts.failed, None, world.schedule)
        meta = plain.meta()
        assert meta is not None
        report = verify(plain, meta, settings, FEATURES, load=load, sent=parts.sent)
    return Ended(seed, list(report.words()), report, world.schedule)


@contextlib.contextmanager
def ended(world: World) -> Iterator[None]:
    """Nobody is left when the block ends."""
    try:
        yield
    finally:
        for task in world.tasks:
            task.kill = True
            if not task.thread.dead:
                world.running = task
                with contextlib.suppress(BaseException):
                    task.thread.switch()
                world.running = None
