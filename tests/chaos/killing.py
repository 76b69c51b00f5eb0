"""Traffic while a command is killed (SIGKILL) again and again, and publishes happen in between."""

from __future__ import annotations

import random
import time

from realtime import ids
from tests.chaos.processes import running, spawn
from tests.chaos.rig import TILE_MS, Rig, events_of, wait_until

BATCH = 25


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
