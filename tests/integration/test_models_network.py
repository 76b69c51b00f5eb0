"""The network: one pass over padded sessions is the steps one by one, and the exported graph is the same again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lambent.calibration import Calibration
from lambent.errors import ModelError
from lambent.records import STATE_WIDTH
from models.artifact import GRAPH, Artifact, digest, read_description
from models.dataset import Batch, Sessions, TrainingTable
from tests.model_tables import FEATURES

pytestmark = pytest.mark.integration

CALIBRATION = Calibration(scale=(0.9, 1.1, 1.0, 1.2), bias=(0.1, -0.2, 0.0, 0.3))
WIDTHS = len(FEATURES.profile.feature_names), len(FEATURES.step_ids), len(FEATURES.step_floats)
TABLE = TrainingTable("none", 7, {"events_version": 3, "cutoff_ms": 1_000}, FEATURES.hash, *WIDTHS)


@pytest.fixture(scope="module")
def network() -> Any:
    """A network with weights unlike its first ones, so that every term matters."""
    from models.horovod_runner import RANK_ENVIRONMENT

    with pytest.MonkeyPatch.context() as patch:
        for name, value in RANK_ENVIRONMENT.items():
            patch.setenv(name, value)
        from models.network import IntentNetwork, Shape

        network = IntentNetwork(Shape.of(FEATURES), seed=3)
    rng = np.random.default_rng(3)
    shaken = [w + rng.normal(0, 0.05, w.shape).astype("f4") for w in network.get_weights()]
    network.set_weights(shaken)
    network.float_normal.std.assign(np.full(WIDTHS[2], 1.3))
    network.profile_normal.std.assign(np.full(WIDTHS[0], 0.8))
    return network


@pytest.fixture(scope="module")
def folder(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from models.export import export

    folder = tmp_path_factory.mktemp("models") / "staging"
    export(folder, network, CALIBRATION, FEATURES, TABLE, {"epochs": 1})
    return folder


def random_batch(sessions: int, longest: int, seed: int = 1) -> Batch:
    rng = np.random.default_rng(seed)
    length = rng.integers(1, longest + 1, sessions)
    length[0] = longest
    mask = (np.arange(longest) < length[:, None]).astype(np.float32)
    rows = [len(FEATURES.taxonomy.types), 4_096, 2_048, 8_192, 16]
    ids = np.stack([rng.integers(0, n, mask.shape) for n in rows], axis=-1).astype(np.int32)
    floats = rng.normal(0, 1, (*mask.shape, WIDTHS[2])).astype(np.float32)
    profile = rng.normal(0, 1, (sessions, WIDTHS[0])).astype(np.float32)
    inside = mask.astype(bool)
    labels = np.where(inside, rng.integers(0, 4, mask.shape), 0).astype(np.int32)
    return Batch(profile, np.where(inside[..., None], ids, 0), np.where(inside[..., None], floats, 0), labels, mask)


def flat(batch: Batch) -> Sessions:
    """The same sessions without padding."""
    inside = batch.mask > 0
    length = inside.sum(axis=1)
    first = np.cumsum(length) - length
    return Sessions(batch.profile, length, first, batch.ids[inside], batch.floats[inside], batch.labels[inside])


def test_one_pass_over_padded_sessions_equals_the_steps_one_by_one(network: Any) -> None:
    batch = random_batch(sessions=6, longest=9)
    whole = network(batch.profile, batch.ids, batch.floats).numpy()
    state = network.start(batch.profile)
    for t in range(9):
        state, logits = network.step(state, batch.ids[:, t], batch.floats[:, t])
        alive = batch.mask[:, t] > 0
        np.testing.assert_allclose(logits.numpy()[alive], whole[alive, t], atol=1e-5)


def test_padding_never_changes_the_loss(network: Any) -> None:
    from models.network import loss_sum

    batch = random_batch(sessions=6, longest=9)
    rng = np.random.default_rng(2)
    wider = [np.pad(a, [(0, 0), (0, 5), (0, 0)]) for a in (batch.ids, batch.floats)]
    garbage = np.where(np.pad(batch.mask, [(0, 0), (0, 5)])[..., None] > 0, wider[1], rng.normal(0, 9, wider[1].shape))
    labels, mask = (np.pad(a, [(0, 0), (0, 5)]) for a in (batch.labels, batch.mask))
    short = loss_sum(network(batch.profile, batch.ids, batch.floats), batch.labels, batch.mask)
    long = loss_sum(network(batch.profile, wider[0], garbage.astype("f4")), labels, mask)
    assert float(long) == pytest.approx(float(short), rel=1e-6)


def test_the_loss_is_the_cross_entropy_of_the_labels(network: Any) -> None:
    from models.network import loss_sum

    batch = random_batch(sessions=3, longest=4)
    logits = network(batch.profile, batch.ids, batch.floats).numpy()
    inside = batch.mask > 0
    chosen = np.take_along_axis(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), batch.labels[..., None], -1)
    wanted = -np.log(chosen[inside]).sum()
    assert float(loss_sum(logits, batch.labels, batch.mask)) == pytest.approx(wanted, rel=1e-5)


def test_the_same_seed_gives_the_same_first_weights(network: Any) -> None:
    one, two, other = (type(network)(network.shape_of, seed).get_weights() for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_exported_graph_equals_the_network_over_a_thousand_steps_of_carried_state(
    network: Any, folder: Path
) -> None:
    artifact = Artifact(folder, FEATURES)
    batch = random_batch(sessions=4, longest=1_000)
    whole = network(batch.profile, batch.ids, batch.floats).numpy()
    inside = batch.mask > 0
    served = artifact.sessions(flat(batch))
    np.testing.assert_allclose(served, CALIBRATION.apply(whole[inside]), atol=1e-5)
    np.testing.assert_allclose(served.sum(-1), 1.0, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 64])
def test_the_exported_graph_takes_any_number_of_rows(network: Any, folder: Path, n: int) -> None:
    artifact = Artifact(folder, FEATURES)
    batch = random_batch(sessions=n, longest=1)
    state = artifact.start(batch.profile)
    np.testing.assert_allclose(state, network.start(batch.profile).numpy(), atol=1e-5)
    state, probabilities = artifact.step(state, batch.ids[:, 0], batch.floats[:, 0])
    assert state.shape == (n, STATE_WIDTH) and state.dtype == np.float32
    assert probabilities.shape == (n, 4) and probabilities.dtype == np.float32


def test_the_exported_graph_needs_no_operations_of_tensorflow(folder: Path) -> None:
    assert b"Flex" not in (folder / GRAPH).read_bytes()


def test_the_description_says_all_that_a_reader_checks(folder: Path) -> None:
    description = read_description(folder)
    wanted = {
        "version": 0, "features": FEATURES.hash, "intents": list(FEATURES.taxonomy.intents),
        "state_width": STATE_WIDTH, "profile_width": WIDTHS[0], "ids_width": WIDTHS[1], "floats_width": WIDTHS[2],
        "calibration": {"scale": list(CALIBRATION.scale), "bias": list(CALIBRATION.bias)},
        "data": {"events_version": 3, "cutoff_ms": 1_000, "training_sessions_version": 7},
    }  # fmt: skip
    assert {name: description[name] for name in wanted} == wanted


def test_an_altered_part_is_found_out(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for part in folder.iterdir():
        (copy / part.name).write_bytes(part.read_bytes())
    assert digest(copy) == digest(folder)
    graph = bytearray((copy / GRAPH).read_bytes())
    graph[-1] ^= 1
    (copy / GRAPH).write_bytes(graph)
    with pytest.raises(ModelError, match="not the bytes"):
        read_description(copy)


def test_an_altered_description_has_another_digest(folder: Path, tmp_path: Path) -> None:
    changed = json.loads((folder / "model.json").read_text()) | {"version": 9}
    (tmp_path / "model.json").write_text(json.dumps(changed))
    assert digest(tmp_path) != digest(folder)


def test_a_model_of_other_features_is_refused(folder: Path) -> None:
    other = type(FEATURES)(FEATURES.taxonomy, FEATURES.profile.aggregates[1:])
    with pytest.raises(ModelError, match="made for features"):
        Artifact(folder, other)
