"""The evaluation: parts of the events, the share of the way to the truth, the page and the pictures."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambent.errors import DataError
from lambent.keys import pseudonym
from lambent.settings import load_settings
from models.baselines import cheap
from models.dataset import TrainingTable
from models.evaluation import BASE, MODEL, evaluate_scores, of_the_way
from models.metrics import log_loss
from models.page import page
from models.plots import draw
from models.resample import Resamples
from models.scored import Scored, score
from models.slices import slices
from models.thresholds import Rule
from models.truth import Truth
from tests.model_tables import FEATURES, simulated_events, training_table, write_training_table

INTENTS = FEATURES.taxonomy.intents


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> TrainingTable:
    settings = load_settings(root=tmp_path_factory.mktemp("root"))
    write_training_table(settings, training_table(simulated_events(users=400, days=6, seed=3)))
    return TrainingTable.open(settings, FEATURES)


@pytest.fixture(scope="module")
def scored(table: TrainingTable) -> Scored:
    """The test split; the model is one that knows a little."""
    rules = cheap(table, FEATURES)

    def model(sessions: Any) -> Any:
        told = np.eye(len(INTENTS))[sessions.labels]
        return 0.9 * rules["last event"](sessions) + 0.1 * told

    return score({MODEL: model, **rules}, table, FEATURES)


@pytest.fixture(scope="module")
def found(scored: Scored) -> dict[str, Any]:
    return evaluate_scores(scored, scored, INTENTS, Rule.parse("share:0.1"), count=50)


def test_each_event_of_the_split_is_scored_once_and_knows_whose_it_is(scored: Scored, table: TrainingTable) -> None:
    rows = list(table.chunks("test", owners=True))
    assert len(scored.labels) == sum(len(chunk.labels) for chunk in rows) > 200
    assert scored.owner.tolist() == [user for chunk in rows for user in chunk.user]
    assert len({*scored.owner}) == scored.users
    first = np.cumsum(scored.length) - scored.length
    assert (scored.position[first] == 1).all() and (np.diff(scored.user)[np.diff(scored.session) == 0] == 0).all()


def test_the_way_to_a_decision_ends_with_the_event_before_it(scored: Scored) -> None:
    decides = np.array([code is not None for code in FEATURES.taxonomy.intent_of_type])[scored.type]
    ends = np.flatnonzero((scored.position == scored.way) & (scored.way > 0))
    last = np.r_[np.diff(scored.session) != 0, True]
    assert len(ends) and not decides[ends].any()
    assert (last[ends] | np.r_[decides[1:], False][ends]).all()


def test_the_base_rates_log_loss_is_that_of_the_training_splits_shares(scored: Scored, table: TrainingTable) -> None:
    labels = np.concatenate([chunk.labels for chunk in table.chunks("train")])
    shares = (np.bincount(labels, minlength=len(INTENTS)) + 0.5) / (len(labels) + 0.5 * len(INTENTS))
    assert log_loss(scored.said[BASE], scored.labels) == pytest.approx(-np.log(shares)[scored.labels].mean(), rel=1e-5)


def test_the_figures_are_plain_json_and_the_model_is_better_than_the_rule_it_is_made_of(found: dict[str, Any]) -> None:
    json.dumps(found, allow_nan=False)
    assert found["against"]["last event"]["log_loss"]["high"] < 0
    assert found["model"]["purchase"]["ap"] == found["contenders"]["model"]["intents"]["purchase"]["ap"]["value"]
    assert found["contenders"]["model"]["decisions"]["purchase"]["threshold"] > 0


def test_parts_of_a_group_share_out_the_events(scored: Scored, found: dict[str, Any]) -> None:
    for group in ("user", "hour"):
        parts = [one.events for one in slices(scored) if one.group == group]
        assert sum(map(len, parts)) <= len(scored.labels)
        assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
    assert {"user", "device", "hour", "position", "way"} == {one["group"] for one in found["slices"]}


def test_the_page_has_every_contender_and_intent_and_the_pictures_are_drawn(
    found: dict[str, Any], tmp_path: Path
) -> None:
    pictures = draw(found, tmp_path)
    assert all(path.stat().st_size > 10_000 for path in pictures)
    text = page({**found, "artifact_sha256": "0" * 64}, [path.name for path in pictures])
    for name in (*INTENTS, *found["contenders"], *(path.name for path in pictures), "share:0.1"):
        assert name in text
    assert "nan" not in text


def test_figures_and_pictures_are_made_also_for_a_taxonomy_of_ones_own(scored: Scored, tmp_path: Path) -> None:
    """Its third intent never happens."""
    own = {name: p[:, :3] / p[:, :3].sum(axis=1, keepdims=True) for name, p in scored.said.items()}
    kept = Scored(**{**vars(scored), "said": own, "labels": scored.labels.clip(max=1)})
    found = evaluate_scores(kept, kept, ("stays", "churns", "never"), Rule(), count=20)
    assert found["model"]["never"]["auc"] is None and found["model"]["never"]["base_rate"] == 0.0
    json.dumps(found, allow_nan=False)
    assert all(path.stat().st_size > 10_000 for path in draw(found, tmp_path))


def test_an_empty_split_has_no_figures_and_stops_nothing(scored: Scored, tmp_path: Path) -> None:
    nothing = scored.of(np.zeros(0, np.int64))
    found = evaluate_scores(nothing, nothing, INTENTS, Rule(), count=5)
    assert found["events"] == 0 and found["slices"] == []
    assert found["model"]["purchase"]["auc"] is None
    assert len(draw(found, tmp_path)) == 5


# --- the truth ---------------------------------------------------------------------------------------------------------


def truth_file(scored: Scored, path: Path, said: np.ndarray) -> None:
    """The lines of the split's sessions in no order, but for the first session's last event."""
    lines = []
    for n in range(len(scored.labels)):
        intent = dict(zip(INTENTS, said[n].tolist(), strict=True))
        session = int(scored.session[n])
        event_ms = int(scored.start_ms[session]) + int(scored.position[n]) - 1
        lines.append({"id": None, "user": f"raw{session}", "event_ms": event_ms, "session": 0, "intent": intent})
    del lines[int(scored.length[0]) - 1]
    order = np.random.default_rng(1).permutation(len(lines))
    path.write_bytes(gzip.compress("\n".join(json.dumps(lines[n]) for n in order).encode()))


def test_the_truth_is_found_by_user_and_start_and_never_for_a_session_of_another_length(
    scored: Scored, tmp_path: Path
) -> None:
    said = np.random.default_rng(1).dirichlet([5, 1, 1, 1], len(scored.labels))
    truth_file(scored, tmp_path / "truth.jsonl.gz", said)
    owners = np.array([pseudonym(f"raw{n}", b"k") for n in range(len(scored.length))], object)
    found = Truth(tmp_path / "truth.jsonl.gz", b"k", INTENTS).of(Scored(**{**vars(scored), "owner": owners}))
    first = int(scored.length[0])
    assert np.isnan(found[:first]).all()
    np.testing.assert_allclose(found[first:], said[first:], rtol=1e-12)


def test_the_share_of_the_way_is_none_for_base_rates_and_whole_for_the_truth(scored: Scored) -> None:
    truth = 0.5 * scored.said[MODEL].astype(float) + 0.5 * np.eye(len(INTENTS))[scored.labels]
    own = Scored(**{**vars(scored), "said": {**scored.said, "truth": truth}})
    truth[:10] = np.nan
    found = of_the_way(own, truth, INTENTS, Resamples(own.user, own.users, 30))
    assert found["unknown"] == 10
    share = {name: one["value"] for name, one in found["share"].items()}
    assert share[BASE] == 0 and share["truth"] == pytest.approx(1) and 0 < share[MODEL] < 1
    assert found["share"][BASE] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_the_truths_own_calibration_stands_beside_the_models(scored: Scored, found: dict[str, Any]) -> None:
    truth = scored.said[MODEL].astype(float)
    truth[:10] = np.nan
    with_truth = evaluate_scores(scored, scored, INTENTS, Rule.parse("share:0.1"), truth, count=50)
    exact, known = with_truth["truth"]["honest"], np.arange(10, len(truth))
    for k, name in enumerate(INTENTS):
        gap = truth[known, k].mean() - (scored.labels[known] == k).mean()
        assert exact[name]["ece"]["value"] >= abs(gap) - 1e-9  # no bin hides what they all lack together
        assert exact[name]["ece"]["value"] == pytest.approx(
            with_truth["contenders"][MODEL]["intents"][name]["ece"]["value"], abs=20 / len(truth)
        )
    said = page({**with_truth, "artifact_sha256": "ab" * 32}, [])
    assert "The exact posterior's own calibration" in said
    assert "The exact posterior's own calibration" not in page({**found, "artifact_sha256": "ab" * 32}, [])


def test_a_file_that_is_no_truth_is_refused_in_words(tmp_path: Path) -> None:
    (path := tmp_path / "truth.jsonl").write_text('{"user": "u1"}\n')
    with pytest.raises(DataError, match="no truth of a simulation"):
        Truth(path, b"k", INTENTS)
    path.write_text('{"user": "u1", "event_ms": 1, "session": 0, "intent": {"browse": 1.0}}\n')
    with pytest.raises(DataError, match="purchase"):
        Truth(path, b"k", INTENTS)
