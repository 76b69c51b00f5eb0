"""The network: one pass over packed sessions is the steps one by one, and the exported graph is the same again."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from lambent.calibration import Calibration
from lambent.errors import ModelError
from lambent.features import EMBEDDED
from lambent.manifest import GRAPH, read_calibration, read_taxonomy
from lambent.records import STATE_WIDTH
from models.artifact import Artifact, Graph, copy_artifact, digest, read_description
from models.dataset import Batch, Sessions, TrainingTable, as_tensors
from models.forms import INT8
from tests.model_tables import FEATURES

pytestmark = pytest.mark.integration

CALIBRATION = Calibration(scale=(0.9, 1.1, 1.0, 1.2), bias=(0.1, -0.2, 0.0, 0.3))
WIDTHS = len(FEATURES.profile.feature_names), len(FEATURES.step_ids), len(FEATURES.step_floats)
TABLE = TrainingTable("none", 7, {"events_version": 3, "cutoff_ms": 1_000}, FEATURES.hash, *WIDTHS, ())


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


@pytest.fixture(scope="module")
def int8(network: Any) -> bytes:
    from models.export import to_litert

    return to_litert(network, CALIBRATION, INT8)


def random_sessions(sessions: int, longest: int, seed: int = 1) -> Sessions:
    rng = np.random.default_rng(seed)
    length = rng.integers(1, longest + 1, sessions)
    length[0] = longest
    events = int(length.sum())
    rows = [len(FEATURES.taxonomy.types), *EMBEDDED.values()]
    ids = np.stack([rng.integers(0, n, events) for n in rows], axis=-1).astype(np.int32)
    floats = rng.normal(0, 1, (events, WIDTHS[2])).astype(np.float32)
    profile = rng.normal(0, 1, (sessions, WIDTHS[0])).astype(np.float32)
    labels, decides = rng.integers(0, 4, events).astype(np.int8), rng.random(events) < 0.2
    return Sessions(profile, length, np.cumsum(length) - length, ids, floats, labels, decides)


def random_batch(sessions: int, longest: int, seed: int = 1) -> Batch:
    return random_sessions(sessions, longest, seed).pack(np.arange(sessions))


def called(network: Any, batch: Batch) -> Any:
    """[events, K] logits."""
    import tensorflow as tf

    return tf.function(network.call)(*map(tf.constant, batch.inputs))


def step_by_step(network: Any, batch: Batch) -> Any:
    """The same by ``step`` alone, as live."""
    import tensorflow as tf

    state, logits = network.start(batch.profile), []
    ends = np.cumsum(batch.alive)
    for alive, end in zip(batch.alive, ends, strict=True):
        rows = slice(end - alive, end)
        state, said = network.step(state[:alive], batch.ids[rows], batch.floats[rows])
        logits.append(said)
    return tf.concat(logits, 0)


def test_one_pass_over_packed_sessions_equals_the_steps_one_by_one(network: Any) -> None:
    batch = random_batch(sessions=6, longest=9)
    np.testing.assert_allclose(called(network, batch), step_by_step(network, batch), atol=1e-5)


@pytest.mark.parametrize("longest", [1, 9])
def test_the_gradient_that_is_written_out_is_that_of_the_steps_one_by_one(network: Any, longest: int) -> None:
    import tensorflow as tf

    from models.network import loss_sum

    batch = random_batch(sessions=6, longest=longest)
    weights = [v.value for v in network.trainable_variables]
    found = []
    for forward in (called, step_by_step):
        with tf.GradientTape() as tape:
            loss = loss_sum(forward(network, batch), batch.labels.astype(np.int32))
        found.append([tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, weights)])
    for packed, stepped in zip(*found, strict=True):
        np.testing.assert_allclose(packed, stepped, atol=1e-4 * max(1.0, np.abs(stepped).max()))


def test_a_batch_without_events_has_no_loss_and_moves_nothing(network: Any) -> None:
    import tensorflow as tf

    from models.network import loss_sum

    batch = random_sessions(sessions=2, longest=3).pack(np.zeros(0, np.int64))
    weights = [v.value for v in network.trainable_variables]
    with tf.GradientTape() as tape:
        loss = loss_sum(called(network, batch), batch.labels)
    assert float(loss) == 0.0
    assert called(network, batch).shape == (0, 4)
    for gradient in tape.gradient(loss, weights):
        assert not np.any(tf.convert_to_tensor(gradient))


def test_the_loss_is_the_cross_entropy_of_the_labels(network: Any) -> None:
    from models.network import loss_sum

    batch = random_batch(sessions=3, longest=4)
    logits = called(network, batch).numpy()
    chosen = np.take_along_axis(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True), batch.labels[:, None], -1)
    assert float(loss_sum(logits, batch.labels)) == pytest.approx(-np.log(chosen).sum(), rel=1e-5)


def test_nothing_tunes_the_reading_of_batches_whose_end_would_wait_for_it() -> None:
    import tensorflow as tf

    read = as_tensors(lambda: iter([]), [tf.TensorSpec((None,), tf.int32)] * 5)
    assert list(read) == []
    assert read.options().autotune.enabled is False


def test_the_same_seed_gives_the_same_first_weights(network: Any) -> None:
    one, two, other = (type(network)(network.shape_of, seed).get_weights() for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_exported_graph_equals_the_network_over_ten_thousand_steps_of_carried_state(
    network: Any, folder: Path
) -> None:
    import tensorflow as tf

    artifact = Artifact(folder, FEATURES)
    batch = random_batch(sessions=1, longest=1)
    many = random_sessions(sessions=1, longest=10_000, seed=5)
    state, states = artifact.start(batch.profile), []
    served = np.zeros((10_000, 4), np.float32)
    for t in range(10_000):
        state, served[t] = artifact.step(state, many.ids[t : t + 1], many.floats[t : t + 1])
        states.append(state[0])
    packed = batch.profile, np.ones(10_000, np.int32), many.ids, many.floats
    logits = tf.function(network.call)(*map(tf.constant, packed)).numpy()
    np.testing.assert_allclose(served, CALIBRATION.apply(logits), atol=1e-5)
    np.testing.assert_allclose(served.sum(-1), 1.0, atol=1e-5)
    moved = np.ptp(states, axis=0)
    assert moved[:-4].min() > 0.1  # no unit has come to rest
    assert not moved[-4:].any()  # the prior stays what the profile made it


def test_sessions_that_are_scored_together_are_scored_as_each_alone(folder: Path) -> None:
    artifact = Artifact(folder, FEATURES)
    sessions = random_sessions(sessions=5, longest=7)
    together = artifact.sessions(sessions)
    for number, (first, length) in enumerate(zip(sessions.first, sessions.length, strict=True)):
        state = artifact.start(sessions.profile[number : number + 1])
        for at in range(first, first + length):
            state, alone = artifact.step(state, sessions.ids[at : at + 1], sessions.floats[at : at + 1])
            np.testing.assert_allclose(together[at], alone[0], atol=1e-6)


def test_int8_is_small_and_stays_as_near_to_float32_over_ten_thousand_steps_of_carried_state(
    int8: bytes, folder: Path
) -> None:
    assert len(int8) < 0.35 * (folder / GRAPH).stat().st_size
    many = random_sessions(sessions=1, longest=10_000, seed=5)
    one, other = Graph(int8).sessions(many), Artifact(folder, FEATURES).sessions(many)
    far = np.abs(one - other).max(axis=1)
    assert 0 < far.mean() < 0.005 and far.max() < 0.05
    assert far[-1_000:].mean() < 1.2 * far[:1_000].mean()  # what is rounded away does not add up


def test_a_row_in_int8_says_the_same_alone_and_among_others(int8: bytes) -> None:
    graph = Graph(int8)
    batch = random_batch(sessions=9, longest=1)
    states = graph.start(batch.profile)
    together = graph.step(states, batch.ids, batch.floats)
    for row in range(9):
        one = slice(row, row + 1)
        for alone, among in zip(graph.step(states[one], batch.ids[one], batch.floats[one]), together, strict=True):
            np.testing.assert_allclose(alone[0], among[row], atol=1e-6)


@pytest.mark.parametrize("n", [1, 3, 64])
def test_the_exported_graph_takes_any_number_of_rows(network: Any, folder: Path, n: int) -> None:
    artifact = Artifact(folder, FEATURES)
    batch = random_batch(sessions=n, longest=1)
    state = artifact.start(batch.profile)
    np.testing.assert_allclose(state, network.start(batch.profile).numpy(), atol=1e-5)
    state, probabilities = artifact.step(state, batch.ids, batch.floats)
    assert state.shape == (n, STATE_WIDTH) and state.dtype == np.float32
    assert probabilities.shape == (n, 4) and probabilities.dtype == np.float32


def test_the_exported_graph_needs_no_operations_of_tensorflow(folder: Path) -> None:
    assert b"Flex" not in (folder / GRAPH).read_bytes()


def test_the_description_says_all_that_a_reader_checks(folder: Path) -> None:
    description = read_description(folder)
    wanted = {
        "version": 0, "features": FEATURES.hash, "intents": list(FEATURES.taxonomy.intents),
        "state_width": STATE_WIDTH, "profile_width": WIDTHS[0], "ids_width": WIDTHS[1], "floats_width": WIDTHS[2],
        "form": "float32",
        "data": {"events_version": 3, "cutoff_ms": 1_000, "training_sessions_version": 7},
    }  # fmt: skip
    assert {name: description[name] for name in wanted} == wanted


def test_the_parts_say_the_calibration_inside_the_graph_and_the_taxonomy(folder: Path) -> None:
    assert read_calibration(folder) == CALIBRATION
    assert msgspec.json.encode(read_taxonomy(folder)) == msgspec.json.encode(FEATURES.taxonomy)


def test_the_weights_beside_an_artifact_are_its_own_or_refused(network: Any, folder: Path, tmp_path: Path) -> None:
    from models.export import read_weights

    named = read_description(folder)["weights"]
    for read, own in zip(read_weights(folder, named), network.get_weights(), strict=True):
        np.testing.assert_array_equal(read, own)
    for place, sha256 in ((folder, "0" * 64), (tmp_path / "none", named)):
        with pytest.raises(ModelError, match="not the weights of what is staged"):
            read_weights(place, sha256)


def test_a_copy_under_a_version_has_the_same_parts(folder: Path, tmp_path: Path) -> None:
    sha256 = copy_artifact(folder, tmp_path / "7", 7)
    assert sha256 == digest(tmp_path / "7")
    assert read_description(tmp_path / "7") == read_description(folder) | {"version": 7}


def test_an_altered_description_has_another_digest(folder: Path, tmp_path: Path) -> None:
    changed = json.loads((folder / "model.json").read_text()) | {"version": 9}
    (tmp_path / "model.json").write_text(json.dumps(changed))
    assert digest(tmp_path) != digest(folder)


def test_a_model_of_other_features_is_refused(folder: Path) -> None:
    other = type(FEATURES)(FEATURES.taxonomy, FEATURES.profile.aggregates[1:])
    with pytest.raises(ModelError, match="made for features"):
        Artifact(folder, other)


def test_hats_are_a_spline_of_half_octaves_and_sum_to_their_height(network: Any) -> None:
    from models.network import HATS, HATS_AN_OCTAVE, HATS_HEIGHT, hats

    knots = np.arange(HATS) * np.log(2) / HATS_AN_OCTAVE
    np.testing.assert_allclose(hats(knots[:, None].astype("f4")), HATS_HEIGHT * np.eye(HATS), atol=1e-4)
    between = np.linspace(0, knots[-1], 500)
    found = np.asarray(hats(between[:, None].astype("f4")))
    np.testing.assert_allclose(found.sum(1), HATS_HEIGHT, atol=1e-4)
    np.testing.assert_allclose(found @ knots / HATS_HEIGHT, between, atol=1e-4)
    np.testing.assert_allclose(hats(np.float32([[1e4]])), hats(knots[None, -1:].astype("f4")), atol=1e-4)


def test_a_number_is_divided_by_how_much_it_varies_but_by_no_less_than_a_tenth(network: Any) -> None:
    from models.horovod_runner import SingleProcess
    from models.moments import LEAST_STD, moments

    sessions = random_sessions(2_000, 5)
    sessions.profile[:, 0] = 7.0
    sessions.profile[:, 1] = np.arange(2_000) == 3
    chunk = SimpleNamespace(sessions=sessions, count=2_000, steps=lambda size: 2_000 // size)
    table = SimpleNamespace(profile_width=WIDTHS[0], floats_width=WIDTHS[2], share=lambda *_, **__: [chunk])
    mean, std = moments(table, 4, 100, SingleProcess()).profile
    assert (mean[0], std[0]) == (7.0, 1.0)
    assert (mean[1], std[1]) == (1 / 2_000, LEAST_STD)
    np.testing.assert_allclose(std[2:], sessions.profile[:, 2:].std(0), rtol=1e-3)
