"""A split of the training table, what models say about its events, and what is known of each event besides.

Every step of a session counts, also after its first decisive event: a label looks strictly ahead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent.features import FeatureSet
from models.dataset import Sessions, TrainingTable

Array = NDArray[Any]
Predict = Callable[[Sessions], Array]
"""What a model says: sessions with n steps in all → [n, K] probabilities."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """Events of a split, session by session, and what was said about each.

    Attributes:
        said: by model, [n, K] float32 probabilities.
        labels, type, device: [n] codes of the intent that followed, of the event's type and device.
        hour: [n] of the day, UTC.
        session, position: [n] number of the session, and of the event within it, from 1.
        way: [n] how many events of the session come before the first that decides; all where none does.
        user: [n] code, 0 … users - 1.
        new_user: [n] whether nothing was known of the user when the session began.
        users: how many users there are.
        owner, start_ms, length: [sessions] pseudonym, time of the first event, events.
    """

    said: dict[str, Array]
    labels: Array
    type: Array
    device: Array
    hour: Array
    session: Array
    position: Array
    way: Array
    user: Array
    new_user: Array
    users: int
    owner: Array
    start_ms: Array
    length: Array

    @property
    def decided(self) -> int:
        """How many sessions hold an event that decides."""
        return len(np.unique(self.session[self.way < self.length[self.session]]))

    def of(self, where: Array) -> Scored:
        """The events ``where`` [n] picks, of the same sessions and users."""
        own: dict[str, Any] = {
            field.name: value[where]
            for field in dataclasses.fields(self)
            if field.name not in ("owner", "start_ms", "length")
            and isinstance(value := getattr(self, field.name), np.ndarray)
        }
        return dataclasses.replace(self, said={name: one[where] for name, one in self.said.items()}, **own)


def score(models: Mapping[str, Predict], table: TrainingTable, features: FeatureSet, split: str = "test") -> Scored:
    """Run models over a split, a chunk of the table at a time."""
    said: dict[str, list[Array]] = {name: [] for name in models}
    columns: dict[str, list[Array]] = {}
    for chunk in table.chunks(split, owners=True):
        for name, predict in models.items():
            said[name].append(predict(chunk).astype(np.float32))
        for name, values in _columns(chunk, features).items():
            columns.setdefault(name, []).append(values)
    intents = len(features.taxonomy.intents)
    joined = {name: np.concatenate(parts) for name, parts in (columns or _nothing()).items()}
    names, user = np.unique(joined["owner"].astype(str), return_inverse=True)
    session = np.repeat(np.arange(len(user)), joined["length"])
    return Scored(
        said={name: np.concatenate([np.zeros((0, intents), np.float32), *parts]) for name, parts in said.items()},
        session=session,
        user=user[session],
        users=len(names),
        **joined,
    )


def _columns(chunk: Sessions, features: FeatureSet) -> dict[str, Array]:
    """What is known of a chunk's events and sessions."""
    length = chunk.length
    position = 1 + np.arange(len(chunk.labels)) - np.repeat(chunk.first, length)
    way = np.minimum.reduceat(np.where(chunk.decides, position - 1, np.iinfo(np.int64).max), chunk.first)
    sine, cosine = (chunk.floats[:, features.step_floats.index(name)] for name in ("hour_sin", "hour_cos"))
    events = chunk.profile[:, features.profile.feature_names.index("events")]
    return {
        "labels": chunk.labels.astype(np.int64),
        "type": chunk.ids[:, 0],
        "device": chunk.ids[:, features.step_ids.index("device")],
        "hour": np.arctan2(sine, cosine) % (2 * np.pi) * (24 / (2 * np.pi)) % 24,
        "position": position,
        "way": np.repeat(np.minimum(way, length), length),
        "new_user": np.repeat(events == 0, length),
        "owner": chunk.user,
        "start_ms": chunk.start_ms,
        "length": length,
    }


def _nothing() -> dict[str, list[Array]]:
    whole = ("labels", "type", "device", "position", "way", "start_ms", "length")
    kinds = {**dict.fromkeys(whole, np.int64), "hour": np.float32, "new_user": np.bool_, "owner": object}
    return {name: [np.zeros(0, kind)] for name, kind in kinds.items()}
