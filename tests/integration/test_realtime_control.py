"""Control entries: a model takes effect at its place in the log, and a session finishes on the one it began with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lambent import keys
from lambent.control import ModelEntry
from lambent.errors import ModelError
from lambent.events import Event
from realtime.predict import read_control
from realtime.store import Store
from tests.chaos.rig import FEATURES, Rig, make_rig
from tests.stores import server, valkey  # noqa: F401
from tests.valkey import Valkey

pytestmark = pytest.mark.integration
USER = f"{7:022d}"
GAP_MS = 31 * 60_000


@dataclasses.dataclass
class FakeModel:
    """Says its version and how many events of the session it has seen, in the probability of the second intent."""

    version: int

    def start(self, profile):  # type: ignore[no-untyped-def]
        return np.zeros((len(profile), 64), np.float32)

    def step(self, state, ids, floats):  # type: ignore[no-untyped-def]
        state = state + 1
        second = self.version / 10 + state[:, 0] / 1000
        zeros = np.zeros(len(state))
        return state, np.stack([1 - second, second, zeros, zeros], axis=1).astype(np.float32)


def load(entry: ModelEntry) -> FakeModel:
    if entry.folder == "missing":
        raise ModelError("model.json cannot be read.")
    return FakeModel(entry.version)


def entry(version: int, folder: str = "here") -> ModelEntry:
    return ModelEntry(version, folder, "")


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path, partitions=2)


def view(n: int, event_ms: int) -> Event:
    return Event(user=USER, type="view", event_ms=event_ms, id=f"e{n}")


def heard(rig: Rig) -> list[tuple[str, float]]:
    return [(intent.model, intent.probabilities["purchase"]) for intent in rig.said()]


def scenario(rig: Rig) -> None:
    """Before any model; version 1 in the same session; a new session; version 2; the session goes on; a new one."""
    start_ms = 1_700_000_000_000
    times = [0, 1, GAP_MS, GAP_MS + 1, GAP_MS + 2, 2 * GAP_MS + 2]
    swaps = {1: entry(1), 4: entry(2)}
    for n, time_ms in enumerate(times):
        if n in swaps:
            rig.store.publish_control(swaps[n], rig.meta.partitions)
        rig.feed_now([view(n, start_ms + time_ms)])


EXPECTED = [("base-rate", 0.04), ("base-rate", 0.04), ("1", 0.101), ("1", 0.102), ("1", 0.103), ("2", 0.201)]


def test_a_model_takes_effect_at_its_place_in_the_log_and_sessions_finish_on_theirs(rig: Rig) -> None:
    scenario(rig)
    rig.drain(rig.worker(load=load))
    assert heard(rig) == EXPECTED


def test_a_worker_that_starts_anew_after_every_batch_says_the_same(rig: Rig) -> None:
    scenario(rig)
    while rig.worker(Store(rig.url), load=load).turn(block_ms=0):
        pass
    assert heard(rig) == EXPECTED
    p = keys.partition(USER, rig.meta.partitions)
    assert read_control(rig.store.call("GET", keys.control(p))).newest == 2


def test_a_model_that_cannot_be_loaded_leaves_the_one_before(rig: Rig) -> None:
    rig.store.publish_control(entry(1), rig.meta.partitions)
    rig.store.publish_control(entry(2, "missing"), rig.meta.partitions)
    rig.store.append((p, b"c", b"no entry") for p in range(2))
    rig.feed_now([view(0, 1_700_000_000_000)])
    worker = rig.drain(rig.worker(load=load))
    assert heard(rig) == [("1", 0.101)]
    assert worker.models.failures["load"] == 1
    assert worker.metrics.rejected_by["control"] == 2


def test_a_model_that_fails_takes_no_event_with_it(rig: Rig) -> None:
    class Broken(FakeModel):
        def step(self, state, ids, floats):  # type: ignore[no-untyped-def]
            raise RuntimeError("broken")

    rig.store.publish_control(entry(1), rig.meta.partitions)
    rig.feed_now([view(0, 1_700_000_000_000)])
    worker = rig.drain(rig.worker(load=lambda one: Broken(one.version)))
    assert heard(rig) == [("base-rate", 0.04)]
    assert (worker.models.failures["step"], worker.metrics.tally["dead"]) == (1, 0)


def test_the_actions_are_those_of_the_policy(rig: Rig) -> None:
    rig.store.publish_control(entry(3), rig.meta.partitions)
    rig.feed_now([view(0, 1_700_000_000_000)])
    rig.drain(rig.worker(load=load))
    (intent,) = rig.said()
    assert intent.actions == ("recommend",)
    assert sorted(intent.probabilities) == sorted(FEATURES.taxonomy.intents)
