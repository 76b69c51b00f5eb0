"""From staged artifact to champion: train, evaluate, register, and what the log and the registry then say."""

# ruff: noqa: F811  (a fixture is imported, then named as an argument)

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambent import keys
from lambent.cli import main as lambent
from lambent.control import ModelEntry, RolloutEntry, decode_control, encode_control
from lambent.settings import Settings, load_settings
from models import evaluate, register, train
from models.artifact import Artifact, digest, read_description
from models.dataset import TrainingTable
from models.live import matured
from models.registry import Registry
from realtime.archiver import Archiver
from tests.chaos.rig import make_rig
from tests.model_tables import FEATURES, simulated_events, training_table, write_training_table
from tests.stores import server, valkey  # noqa: F401
from tests.valkey import Valkey

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PARTITIONS = 5


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A root with a staged artifact and its evaluation, made by the jobs in this process."""
    from models.horovod_runner import RANK_ENVIRONMENT

    settings = load_settings(root=tmp_path_factory.mktemp("root"))
    write_training_table(settings, training_table(simulated_events(users=1_000, days=14, seed=3)))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**RANK_ENVIRONMENT, "LAMBENT_ROOT": str(settings.root)}.items():
            patch.setenv(name, value)
        assert train.main(["--processes", "1", "--epochs", "3"]) == 0
        assert evaluate.main(["--forms"]) == 0
    return settings


@pytest.fixture(scope="module")
def three(trained: Settings) -> list[int]:
    """Three versions that were not promoted, the oldest first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAMBENT_ROOT", str(trained.root))
        assert [register.main(["--no-promote"]) for _ in range(3)] == [0, 0, 0]
        return sorted(row["version"] for row in Registry(trained).versions())[-3:]


@pytest.fixture
def root(trained: Settings, valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("LAMBENT_ROOT", str(trained.root))
    monkeypatch.setenv("LAMBENT_STORE_URL", valkey.url)
    valkey.client.hset(keys.META, "partitions", PARTITIONS)
    yield trained.root


def read(root: Path, name: str) -> dict[str, Any]:
    return json.loads((root / "reports" / name).read_text())


def entries(valkey: Valkey, p: int) -> list[ModelEntry]:
    return [decode_control(fields[b"c"]) for _, fields in valkey.client.xrange(keys.events(p))]


def test_the_evaluation_has_all_intents_and_beats_the_base_rates(trained: Settings) -> None:
    found = read(trained.root, "evaluation.json")
    assert set(found["model"]) == set(FEATURES.taxonomy.intents)
    assert {"auc", "ap", "ece", "slope", "base_rate"} <= set(found["model"]["purchase"])
    less = found["against"]["base rate"]["log_loss"]
    assert less["low"] < less["value"] < less["high"]
    assert found["log_loss"] < found["base_log_loss"]
    assert found["model"]["purchase"]["auc"] > 0.65
    assert sum(one["events"] for one in found["reliability"]["consult"]) == found["events"] > 0
    assert all(Path(picture).stat().st_size > 10_000 for picture in found["pictures"])


def test_the_other_form_is_told_with_what_it_costs_and_what_it_moves(trained: Settings) -> None:
    found = read(trained.root, "evaluation.json")
    assert [one["form"] for one in found["forms"].values()] == ["float32", "int8"]
    own, other = found["forms"]["model"], found["forms"]["int8"]
    assert own["bytes"] == (trained.root / "models" / "staging" / "model.tflite").stat().st_size > 2 * other["bytes"]
    assert own["probability_moved"]["max"] == 0 < other["probability_moved"]["max"] < 0.05
    for intent, figures in found["contenders"]["int8"]["intents"].items():
        for name, most in (("auc", 0.002), ("ece", 0.003)):
            assert abs(figures[name]["value"] - found["model"][intent][name]) < most
    assert "| int8 |" in (trained.root / "reports" / "evaluation.md").read_text()


def test_each_epoch_and_each_job_leaves_a_line(trained: Settings) -> None:
    epochs = [json.loads(line) for line in (trained.root / "reports" / "train.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in epochs] == [1, 2, 3][: len(epochs)]
    assert np.isfinite([line["validation_log_loss"] for line in epochs]).all()
    jobs = [json.loads(line) for line in (trained.root / "reports" / "jobs.jsonl").read_text().splitlines()]
    assert [job["job"] for job in jobs][:2] == ["train", "evaluate"]
    assert jobs[0]["log_loss_calibrated"] <= jobs[0]["log_loss_before_calibration"]


def test_a_model_through_the_gate_is_versioned_announced_and_champion(
    root: Path,
    valkey: Valkey,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAMBENT_MLFLOW_UI", "https://anna:secret@mlflow.example/")
    assert register.main([]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["mlflow_url"] == f"https://mlflow.example/#/experiments/1/runs/{report['mlflow_run']}"
    version, folder = report["version"], root / "models" / str(report["version"])
    assert report["promoted"] and report["partitions"] == PARTITIONS
    assert read_description(folder)["version"] == version
    wanted = ModelEntry(version, str(folder), digest(folder))
    assert [entries(valkey, p) for p in range(PARTITIONS)] == [[wanted]] * PARTITIONS
    gate = read(root, "gate.json")
    assert gate["reasons"][0].startswith("It is champion") and all(rule["passed"] for rule in gate["rules"])
    assert (root / "reports" / "gate.md").read_text().startswith(f"# The gate: model {version} passes")
    kept = root.glob(f"mlruns/**/{report['mlflow_run']}/artifacts/*.md")
    assert {path.name for path in kept} == {"evaluation.md", "gate.md"}
    (row,) = [one for one in Registry(load_settings()).versions() if one["version"] == version]
    lineage = {"events_version": "3", "training_sessions_version": "0", "tables": f"{root}/tables", "gate": "passes"}
    # Where this is no checkout, nothing is said.
    git = ["git", "-C", str(Path(register.__file__).parent), "rev-parse", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    assert row | lineage == row and row.get("git_commit", "").removesuffix("-dirty") == commit
    assert lambent(["model", "list"]) == 0
    assert "champion" in capsys.readouterr().out
    assert lambent(["model", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["version"], shown["registry"]["gate"]) == (version, "passes")


def test_a_second_candidate_is_held_against_the_champion_on_the_same_events(root: Path) -> None:
    assert [register.main([]), register.main([])] == [0, 0]
    gate = read(root, "gate.json")
    assert gate["champion"] >= 1
    (rule,) = [one for one in gate["rules"] if one["name"] == "not worse than the champion"]
    assert rule["found"] == "0.0000 [0.0000, 0.0000]"  # it is the same model
    assert gate["promoted"]


def test_a_model_worse_than_the_base_rates_gets_a_version_and_no_promotion(
    root: Path, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Artifact.sessions
    monkeypatch.setattr(Artifact, "sessions", lambda own, sessions: honest(own, sessions)[:, ::-1])
    assert register.main([]) == 0
    gate = read(root, "gate.json")
    assert not gate["promoted"] and "not surely below the base rates'" in " ".join(gate["reasons"])
    assert (root / "models" / str(gate["version"])).is_dir()
    assert entries(valkey, 0) == []
    (row,) = [one for one in Registry(load_settings()).versions() if one["version"] == gate["version"]]
    assert row["gate"].startswith("fails: better than the base rates")


def test_an_older_version_can_be_promoted_by_hand(root: Path, valkey: Valkey) -> None:
    assert register.main(["--no-promote"]) == 0
    assert entries(valkey, 0) == []
    assert lambent(["model", "promote", "1"]) == 0
    assert [entry.version for entry in entries(valkey, 0)] == [1]


def test_a_rollback_goes_back_champion_by_champion_and_each_is_told_to_the_workers(
    root: Path, three: list[int], valkey: Valkey, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, (first, second, third) = Registry(load_settings()), three
    for version in (first, second, second, third):
        assert lambent(["model", "promote", str(version)]) == 0
    for p in range(PARTITIONS):
        valkey.client.delete(keys.events(p))
    capsys.readouterr()
    for before, after in ((second, third), (first, second)):
        assert lambent(["model", "rollback", "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        assert report == {"version": before, "instead_of": after, "partitions": PARTITIONS}
        assert registry.champion() == before
    assert [[entry.version for entry in entries(valkey, p)] for p in range(PARTITIONS)] == [
        [second, first]
    ] * PARTITIONS
    assert "rolled_back_ms" in next(row for row in registry.versions() if row["version"] == third)


def test_a_challenger_is_told_to_the_workers_and_named_until_it_is_stopped_or_wins(
    root: Path, three: list[int], valkey: Valkey, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, (first, second, _) = Registry(load_settings()), three
    assert lambent(["model", "promote", str(first)]) == 0
    for wrong in ([str(second)], [str(second), "--share", "1.5"], [str(first), "--share", "0.1"], ["--share", "0.1"]):
        assert lambent(["model", "challenge", *wrong]) == 2
    assert registry.challenger() == 0 and len(entries(valkey, 0)) == 1
    assert lambent(["model", "challenge", str(second), "--share", "0.1", "--experiment", "colours"]) == 0
    assert registry.challenger() == second
    told = RolloutEntry(
        ModelEntry(second, str(root / "models" / str(second)), digest(root / "models" / str(second))), "colours", 0.1
    )
    assert lambent(["model", "challenge", "--stop"]) == 0
    assert registry.challenger() == 0
    assert [entries(valkey, p)[1:] for p in range(PARTITIONS)] == [[told, RolloutEntry()]] * PARTITIONS
    assert lambent(["model", "challenge", str(second), "--share", "1"]) == 0
    capsys.readouterr()
    assert lambent(["model", "list"]) == 0
    assert f"{second:>4}" in next(line for line in capsys.readouterr().out.splitlines() if line.endswith("challenger"))
    assert lambent(["model", "promote", str(second)]) == 0
    assert (registry.champion(), registry.challenger()) == (second, 0)


def test_without_a_champion_before_it_there_is_no_rollback(
    trained: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAMBENT_ROOT", str(trained.root))
    monkeypatch.setattr(Registry, "champions", lambda self: [1])
    assert lambent(["model", "rollback"]) == 2
    assert "no champion before this one" in capsys.readouterr().err


def test_two_versions_are_compared_on_the_test_split_with_intervals(
    trained: Settings, three: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAMBENT_ROOT", str(trained.root))
    left, right, _ = map(str, three)
    capsys.readouterr()
    assert lambent(["model", "compare", left, right, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["log_loss"]["less"] == {"value": 0.0, "low": 0.0, "high": 0.0}  # the same model twice
    assert set(found["intents"]) == set(FEATURES.taxonomy.intents) and len(found["slices"]) > 5
    assert lambent(["model", "compare", left, right]) == 0
    assert f"| {left} less {right} | 0.0000 [0.0000, 0.0000] |" in capsys.readouterr().out
    assert lambent(["model", "compare", left]) == 2


def test_what_a_worker_answers_is_what_the_gate_finds_in_batch_and_a_shadow_says_the_same_of_itself(
    trained: Settings, three: list[int], valkey: Valkey, tmp_path: Path
) -> None:
    """The same events through the worker, LiteRT and the archive, and as rows of the training table."""
    events = sorted(simulated_events(users=40, days=4, seed=8), key=lambda one: (one.event_ms, one.id))
    rig = make_rig(valkey, tmp_path, partitions=PARTITIONS)
    write_training_table(rig.settings, training_table(events))
    folders = [trained.root / "models" / str(version) for version in three]
    champion, beside = (ModelEntry(n, str(f), digest(f)) for n, f in zip(three[:2], folders[:2], strict=True))
    for seq, control in enumerate((champion, RolloutEntry(beside, "shapes", 1.0, shadow=True)), start=1):
        for p in range(PARTITIONS):  # before the first event, whose time is its id
            rig.store.call("XADD", keys.events(p), f"1-{seq}", "c", encode_control(control))
    rig.feed([(event, event.event_ms) for event in events])
    rig.drain()
    Archiver(rig.store, rig.meta, rig.settings, name="archiver").round()
    known = matured(rig.settings, TrainingTable.open(rig.settings, FEATURES), FEATURES.taxonomy.intents)
    assert known is not None and len(known.labels) > 300
    distance, answers = known.distance(Artifact(folders[0], FEATURES), three[0])
    assert distance < 1e-5 and answers == len(known.labels)
    assert {*known.shadow_model} == {str(three[1])}
    np.testing.assert_allclose(known.shadow, known.said, atol=1e-5)  # it is the same model under another number


def test_without_a_store_the_model_keeps_its_version_and_the_gate_says_why(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAMBENT_STORE_URL", "redis://127.0.0.1:1/0")
    assert register.main([]) == 1
    assert "lambent model promote" in capsys.readouterr().err
    gate = read(root, "gate.json")
    assert gate["passed"] and not gate["promoted"] and "could not be announced" in gate["reasons"][0]


def test_a_staged_model_that_was_not_evaluated_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "reports" / "evaluation.json"
    honest = path.read_text()
    path.write_text(json.dumps(json.loads(honest) | {"artifact_sha256": "another"}))
    try:
        assert register.main([]) == 1
    finally:
        path.write_text(honest)
    assert "no evaluation of the staged model" in capsys.readouterr().err
