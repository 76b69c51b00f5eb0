"""What was answered live, beside the sessions of the training table: how far live lies from batch, and outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lambent.rollout import arm
from lambent.settings import Settings, load_settings
from lambent.tables import INTENTS
from models.dataset import Sessions, TrainingTable
from models.live import Matured, matured
from models.outcomes import outcomes, page
from tests.model_tables import FEATURES, simulated_events, training_table, write_training_table

INTENT_NAMES = FEATURES.taxonomy.intents


class Known:
    """A model that says of a step what its inputs are hashed to: two steps have the same only by chance."""

    def sessions(self, sessions: Sessions) -> np.ndarray:
        odds = 1.0 + np.abs(np.sin(sessions.floats.sum(axis=1)[:, None] + np.arange(len(INTENT_NAMES))))
        return odds / odds.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = load_settings(root=tmp_path_factory.mktemp("root"))
    write_training_table(settings, training_table(simulated_events(users=60, days=5, seed=2)))
    return settings


def whole(settings: Settings) -> list[tuple[str, int, np.ndarray, np.ndarray]]:
    """User, start, probabilities and labels of every session."""
    table = TrainingTable.open(settings, FEATURES)
    return [
        (chunk.user[row], int(chunk.start_ms[row]), said[at : at + n], chunk.labels[at : at + n])
        for split in ("train", "validation", "test")
        for chunk in table.chunks(split, owners=True)
        for said in [Known().sessions(chunk)]
        for row, (at, n) in enumerate(zip(chunk.first.tolist(), chunk.length.tolist(), strict=True))
    ]


def answers(settings: Settings, version: int = 3) -> list[dict[str, Any]]:
    """Each session's answers as a worker gives them, one second an event."""
    return [
        {
            "user": user, "event_ms": start_ms + 1_000 * n, "ingest_ms": start_ms + 1_000 * n + 5,
            "committed_ms": start_ms + 1_000 * n + 9, "seq": 0, "session_events": n + 1, "model": str(version),
            "probabilities": list(zip(INTENT_NAMES, one.tolist(), strict=True)),
        }
        for user, start_ms, said, _ in whole(settings)
        for n, one in enumerate(said)
    ]  # fmt: skip


def look(settings: Settings, rows: list[dict[str, Any]]) -> Matured | None:
    """What is found where ``intents`` has these rows."""
    maps = pa.map_(pa.string(), pa.float64())
    columns = {
        n: pa.array([row.get(n) for row in rows], maps if n in ("probabilities", "shadow") else None)
        for n in {name: None for row in rows for name in row}
    }
    write_deltalake(settings.table(INTENTS), pa.table(columns), mode="overwrite", schema_mode="overwrite")
    return matured(settings, TrainingTable.open(settings, FEATURES), INTENT_NAMES)


def test_before_anything_was_answered_nothing_has_matured(settings: Settings, tmp_path: Path) -> None:
    other = settings.model_copy(update={"root": tmp_path})
    assert matured(other, TrainingTable.open(settings, FEATURES), INTENT_NAMES) is None


def test_every_answer_meets_the_label_of_its_own_event(settings: Settings) -> None:
    rows = answers(settings)
    found = look(settings, [rows[n] for n in np.random.default_rng(1).permutation(len(rows))])
    assert found is not None and len(found.labels) == len(rows)
    counts = np.bincount(np.concatenate([labels for *_, labels in whole(settings)]), minlength=4)
    assert np.bincount(found.labels, minlength=4).tolist() == counts.tolist()
    assert found.distance(Known(), 3) == pytest.approx((0.0, len(rows)), abs=1e-6)  # type: ignore[arg-type]


def test_a_model_that_answers_otherwise_live_is_seen(settings: Settings) -> None:
    rows = answers(settings)
    for row in rows[::2]:
        row["probabilities"] = [(name, 1.0 if n == 0 else 0.0) for n, name in enumerate(INTENT_NAMES)]
    found = look(settings, rows)
    assert found is not None and found.distance(Known(), 3)[0] > 0.1  # type: ignore[arg-type]


def test_answers_of_another_version_are_not_this_one_s(settings: Settings) -> None:
    rows = answers(settings)
    for row in rows[100:]:
        row["model"] = "4"
    found = look(settings, rows)
    assert found is not None and found.distance(Known(), 3)[1] == 100  # type: ignore[arg-type]
    assert found.distance(Known(), 9) == (0.0, 0)  # type: ignore[arg-type]


def test_a_session_that_runs_on_or_began_otherwise_is_left_out_and_so_is_what_follows_a_missing_answer(
    settings: Settings,
) -> None:
    rows = answers(settings)
    starts = [n for n, row in enumerate(rows) if row["session_events"] == 1] + [len(rows)]
    own = next(n for n in range(len(starts) - 1) if starts[n + 1] - starts[n] > 3)
    first, last = starts[own], starts[own + 1]
    longer = [*rows[:last], {**rows[last - 1], "session_events": last - first + 1}, *rows[last:]]
    earlier = [{**row, "event_ms": row["event_ms"] - 1} if n == first else row for n, row in enumerate(rows)]
    missing = [row for n, row in enumerate(rows) if n != first + 2]
    for changed, lost in ((longer, last - first), (earlier, last - first), (missing, last - first - 2)):
        found = look(settings, changed)
        assert found is not None and len(rows) - len(found.labels) == lost


# --- outcomes ----------------------------------------------------------------------------------------------------------


def challenged(settings: Settings) -> list[dict[str, Any]]:
    """Half of the users are answered with what followed, almost; a shadow says the opposite of what the others are told."""
    rows = answers(settings)
    labels = [label for *_, own in whole(settings) for label in own.tolist()]
    for row, label in zip(rows, labels, strict=True):
        told = [0.01] * len(INTENT_NAMES)
        told[label] = 1 - 0.01 * (len(told) - 1)
        row["arm"] = arm("colours", row["user"], 0.5)
        if row["arm"] == "colours/challenger":
            row |= {"model": "4", "probabilities": list(zip(INTENT_NAMES, told, strict=True))}
        else:
            row |= {"shadow_model": "5", "shadow": list(zip(INTENT_NAMES, told, strict=True))}
    return rows


def test_models_arms_and_shadows_are_scored_by_what_followed(settings: Settings) -> None:
    found = look(settings, challenged(settings))
    assert found is not None
    scored = outcomes(found, count=100)
    assert scored["answers"] == len(found.labels)
    by_model = {one["model"]: one["log_loss"]["value"] for one in scored["models"]}
    assert by_model["4"] == pytest.approx(-np.log(0.97)) and by_model["3"] > 0.5
    (experiment,) = scored["experiments"]
    less = experiment["log_loss"]["less"]
    assert less["value"] == pytest.approx(by_model["4"] - by_model["3"])
    assert less["low"] <= less["value"] <= less["high"] < 0
    assert sum(experiment["answers"].values()) == len(found.labels)
    decided = [own[0] > 0 for user, _, _, own in whole(settings) if arm("colours", user, 0.5) == "colours/challenger"]
    assert experiment["decided"]["challenger"]["value"] == pytest.approx(np.mean(decided))
    (shadow,) = scored["shadows"]
    assert shadow["answers"] == experiment["answers"]["champion"]
    assert shadow["log_loss"]["shadow"]["value"] == pytest.approx(-np.log(0.97))
    assert shadow["log_loss"]["less"]["high"] < 0
    text = page(scored)
    assert "experiment colours" in text and "| 5 |" in text


def test_answers_without_a_challenger_have_neither_arms_nor_shadows(settings: Settings) -> None:
    found = look(settings, answers(settings))
    assert found is not None
    scored = outcomes(found, count=20)
    assert (len(scored["models"]), scored["experiments"], scored["shadows"]) == (1, [], [])
    assert page(scored)
