"""Visitors for tests: sessions, late events, copies, users who come back after years; a model that any wrong input shows in."""

from __future__ import annotations

import dataclasses
import random

import numpy as np

from lambent import keys
from lambent.control import ModelEntry
from lambent.errors import ModelError
from lambent.events import Event
from lambent.features import shop_features
from lambent.records import STATE_WIDTH

FEATURES = shop_features()
MINUTE_MS = 60_000
YEARS_MS = 2 * 365 * 24 * 60 * MINUTE_MS
TYPES = [kind.name for kind in FEATURES.taxonomy.types]


@dataclasses.dataclass
class FakeModel:
    """Projects all that it is shown onto its state, at random and the same for a version for good."""

    version: int

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.version)
        inputs = len(FEATURES.profile.feature_names), len(FEATURES.step_ids), len(FEATURES.step_floats)
        self._profile, self._ids, self._floats = (
            (rng.standard_normal((width, STATE_WIDTH)) / 30).astype(np.float32) for width in inputs
        )

    def start(self, profile):  # type: ignore[no-untyped-def]
        return np.tanh(_small(profile) @ self._profile)

    def step(self, state, step_ids, floats):  # type: ignore[no-untyped-def]
        seen = _small(step_ids) @ self._ids + _small(floats) @ self._floats
        state = np.tanh(0.5 * state + seen).astype(np.float32)
        weights = np.exp(state[:, : len(FEATURES.taxonomy.intents)])
        return state, weights / weights.sum(axis=1, keepdims=True)


def _small(values):  # type: ignore[no-untyped-def]
    return np.sign(values) * np.log1p(np.abs(values.astype(np.float32)))


def load(entry: ModelEntry) -> FakeModel:
    if entry.folder == "gone":
        raise ModelError("There is no such folder.")
    return FakeModel(entry.version)


def model_entry(version: int, folder: str = "here") -> ModelEntry:
    return ModelEntry(version, folder, "")


@dataclasses.dataclass
class Visitors:
    """Makes events, each some minutes after the one before by the visitors' own clocks.

    Attributes:
        rng: decides everything.
        at_ms: the visitors' clock.
        users: how many there are.
        copies: a copy is of one of so many last events.
        sent: what was made, without copies.
    """

    rng: random.Random
    at_ms: int
    users: int = 8
    copies: int = 30
    sent: list[Event] = dataclasses.field(default_factory=list)

    def events(self, count: int) -> list[Event]:
        """The next ones; about one in nine is a copy."""
        return [self._next() for _ in range(count)]

    def _next(self) -> Event:
        rng = self.rng
        if self.sent and rng.random() < 0.11:
            return rng.choice(self.sent[-self.copies :])
        self.at_ms += rng.randrange(3 * MINUTE_MS)
        number = len(self.sent)
        back_ms = rng.choices([0, rng.randrange(120 * MINUTE_MS), YEARS_MS], [80, 17, 3])[0] if number > 2 else YEARS_MS
        event = Event(
            user=keys.pseudonym(f"u{rng.randrange(self.users)}", b"k"), type=rng.choice(TYPES),
            event_ms=self.at_ms - back_ms, id=f"n{number}", product=rng.choice([None, f"p{rng.randrange(9)}"]),
            category=rng.choice([None, *"abc"]), brand=rng.choice([None, *"xy"]),
            price=rng.choice([None, rng.random() * 90]), dwell_ms=rng.choice([None, rng.randrange(60_000)]),
            device=rng.choice([None, "phone"]),
        )  # fmt: skip
        self.sent.append(event)
        return event
