"""Baselines find what is planted in the features that they see, and say nothing about the order of what they are asked."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from lambent.errors import UsageError
from lambent.features import EMBEDDED
from lambent.settings import load_settings
from models import dataset
from models.baselines import DEAR, boosted, cheap, dear, lstm
from models.baselines.inputs import calibrated, split_rows, whole
from models.dataset import Sessions, TrainingTable
from models.metrics import log_loss
from models.picked import take
from tests.model_tables import FEATURES, simulated_events, training_table, write_training_table

pytestmark = pytest.mark.integration

INTENTS = len(FEATURES.taxonomy.intents)


def planted(sessions: int, seed: int) -> Sessions:
    """A purchase follows where many products were viewed."""
    rng = np.random.default_rng(seed)
    length = rng.integers(1, 9, sessions)
    steps = int(length.sum())
    rows = [len(FEATURES.taxonomy.types), *EMBEDDED.values()]
    ids = np.stack([rng.integers(0, n, steps) for n in rows], axis=1).astype(np.int32)
    floats = rng.normal(0, 1, (steps, len(FEATURES.step_floats))).astype(np.float32)
    chance = 1 / (1 + np.exp(-3 * floats[:, FEATURES.step_floats.index("view_log")]))
    profile = rng.normal(0, 1, (sessions, len(FEATURES.profile.feature_names))).astype(np.float32)
    labels, decides = (rng.random(steps) < chance).astype(np.int64), np.zeros(steps, np.bool_)
    return Sessions(profile, length, np.cumsum(length) - length, ids, floats, labels, decides)


@pytest.mark.parametrize("name", DEAR)
def test_a_baseline_finds_what_is_planted_and_answers_for_each_event(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boosted, "ROUNDS", 40)
    monkeypatch.setattr(boosted, "SEVERAL", 500)
    monkeypatch.setattr(lstm, "EPOCHS", 8)
    monkeypatch.setattr(lstm, "BATCH", 32)
    train, validation, test = planted(900, 1), planted(300, 2), planted(300, 3)
    predict = calibrated(importlib.import_module(DEAR[name]).fit(train, validation, FEATURES), validation)
    said = predict(test)
    assert said.shape == (len(test.labels), INTENTS)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)
    assert log_loss(said, test.labels) < 0.5 < 0.69  # ln 2, were nothing found; the planted chance itself has 0.37
    turned = np.arange(len(test.length))[::-1]
    again = predict(take(test, turned))
    assert log_loss(again, take(test, turned).labels) == pytest.approx(log_loss(said, test.labels), abs=1e-5)


def test_a_baseline_that_there_is_not_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="no 'forest'"):
        dear(None, FEATURES, ["forest"])  # type: ignore[arg-type]


def test_a_split_in_memory_is_the_tables_or_a_sample_of_whole_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(root=tmp_path)
    write_training_table(settings, training_table(simulated_events(users=150, days=4, seed=3)), group_sessions=20)
    table = TrainingTable.open(settings, FEATURES)
    chunk = next(table.chunks("train"))
    monkeypatch.setattr(dataset, "CHUNK_BYTES", 1)
    assert len(list(table.chunks("train"))) > 3
    every, few = whole(table, "train", 10**6), whole(table, "train", 7)
    np.testing.assert_array_equal(few.floats, whole(table, "train", 7).floats)
    np.testing.assert_array_equal(every.floats, chunk.floats)
    assert len(few.length) == 7 and len(few.labels) == few.length.sum()
    sessions = {chunk.floats[a : a + n].tobytes() for a, n in zip(chunk.first, chunk.length, strict=True)}
    assert {few.floats[a : a + n].tobytes() for a, n in zip(few.first, few.length, strict=True)} <= sessions
    parts = split_rows(every, 50)
    assert len(parts) > 1
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), every.labels)


def test_the_last_event_rule_says_the_shares_that_followed_its_type(tmp_path: Path) -> None:
    settings = load_settings(root=tmp_path)
    write_training_table(settings, training_table(simulated_events(users=150, days=4, seed=3)))
    table = TrainingTable.open(settings, FEATURES)
    train = whole(table, "train", 10**6)
    said = cheap(table, FEATURES)["last event"](train)
    for code in np.unique(train.ids[:, 0]):
        own = train.ids[:, 0] == code
        assert said[own][0, 1] == pytest.approx((train.labels[own] == 1).mean(), abs=1 / own.sum())
