"""``kill -9`` again and again under traffic: of one command while publishes happen in between, or of all parts at random."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from realtime import ids
from tests.chaos.crew import COMMANDS, Crew, VoidError, working
from tests.chaos.processes import running, spawn
from tests.chaos.rig import TILE_MS, Rig, events_of, wait_until
from tests.chaos.traffic import Traffic, producing

BATCH = 25
TRIES = 3
T = TypeVar("T")


def traffic_under_kills(rig: Rig, command: list[str], kills: int, seconds: float, seed: int) -> None:
    """Feed events for ``seconds`` while ``command`` is started and killed at random times; then let it finish.

    The profile of a store is published whenever a command dies.
    """
    rng, sent = random.Random(seed), 0
    for _ in range(kills):
        process = spawn(rig.settings, *command)
        end_s = time.monotonic() + seconds / kills * (0.5 + rng.random())
        while time.monotonic() < end_s:
            rig.feed_now(events_of(11, BATCH, start=sent))
            sent += BATCH
            time.sleep(0.03)
        process.kill()
        process.wait()
        rig.publish(rig.log[-1][1] // TILE_MS * TILE_MS)
    with running(rig.settings, *command):
        wait_until(lambda: all_seen(rig), seconds=60)


def all_seen(rig: Rig) -> bool:
    """True when the positions are at the last events."""
    positions = rig.store.positions(rig.last)
    return all(ids.parse(at) >= ids.parse(last) for at, last in zip(positions, rig.last.values(), strict=True))


def kill_parts(folder: Path, kills: int, seed: int) -> dict[str, list[float]]:
    """One run: how long each recovery took, by part."""
    folder.mkdir()
    with working(folder) as crew:
        with producing(crew.rig, seed, threads=8, pause_s=0.1) as traffic:
            traffic.wait_for_accepted()
            for name in crew.commands:
                crew.recovery(name, traffic).wait()  # each is at work when the first one is struck
            took_s = kill_at_random(crew, traffic, kills, seed)
        crew.settle(traffic)
    return took_s


def kill_at_random(crew: Crew, traffic: Traffic, kills: int, seed: int) -> dict[str, list[float]]:
    """Kill parts in the midst of their work, one after the other and sometimes another before the first is back.

    Returns:
        By part: how long each recovery took, in seconds.
    """
    rng, took_s = random.Random(seed), {name: list[float]() for name in ("valkey", *COMMANDS)}
    names = [name for _ in range(-(-kills // len(took_s))) for name in took_s][:kills]
    rng.shuffle(names)
    while names:
        struck = list(dict.fromkeys(names[: 1 + (rng.random() < 0.3)]))
        if {"server", "valkey"} <= set(struck):  # nobody waits for a store behind a dead server
            struck.pop()
        recoveries = []
        for name in sorted(struck, key="valkey".__eq__):  # without a store nobody has work that can be seen
            names.remove(name)
            recoveries.append(crew.strike(name, traffic))
        time.sleep(rng.random() * 0.3)
        for name in sorted(struck, key="valkey".__ne__):
            crew.start(name)
        for recovery in recoveries:
            took_s[recovery.name].append(recovery.wait())
        time.sleep(rng.random() * 0.3)
    return took_s


def not_void(run: Callable[[int], T], seed: int) -> T:
    """Do a run, and where it was void another one with another seed; at most ``TRIES``."""
    for again in range(TRIES):
        try:
            return run(seed + 100 * again)
        except VoidError as error:
            void = error
    raise void
