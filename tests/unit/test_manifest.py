"""An artifact whose parts are not what was exported, or that was made for something else, is refused in words."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest

from lambent.calibration import Calibration
from lambent.errors import ModelError
from lambent.features import FeatureSet, shop_features
from lambent.manifest import CALIBRATION, GRAPH, MANIFEST, NEEDED, TAXONOMY, check_fit, read_manifest
from lambent.taxonomy import EventType, UserValues
from realtime.model import LiteRtModel
from tests.artifacts import write_blank

FEATURES = shop_features()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_blank(tmp_path / "model", FEATURES)
    return tmp_path / "model"


def describe(folder: Path, **changes: object) -> None:
    """Alter ``model.json``."""
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def put(folder: Path, name: str, data: bytes) -> None:
    """Replace a part, and its hash with it: the artifact is whole, but another one."""
    (folder / name).write_bytes(data)
    parts = json.loads((folder / MANIFEST).read_text())["parts"]
    describe(folder, parts=parts | {name: hashlib.sha256(data).hexdigest()})


def refusal(folder: Path, sha256: str = "") -> str:
    """What a worker says of it."""
    with pytest.raises(ModelError) as refused:
        LiteRtModel(folder, FEATURES, sha256)
    return str(refused.value)


def test_an_artifact_that_is_whole_and_fits_is_read(folder: Path) -> None:
    sha256 = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    manifest = read_manifest(folder, sha256)
    check_fit(folder, manifest, FEATURES)
    assert manifest.version == 1 and set(manifest.parts) == set(NEEDED)
    assert "cannot be run" in refusal(folder, sha256)  # its graph is none: all before that was right


@pytest.mark.parametrize("name", NEEDED)
def test_a_part_of_which_a_byte_is_another_is_refused(folder: Path, name: str) -> None:
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    assert f"{name} is not the file that was exported" in refusal(folder)


@pytest.mark.parametrize("name", [*NEEDED, MANIFEST])
def test_a_part_that_is_gone_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name} cannot be read (No such file" in refusal(folder)


@pytest.mark.parametrize("name", NEEDED)
def test_a_manifest_that_leaves_a_part_out_is_refused(folder: Path, name: str) -> None:
    parts = json.loads((folder / MANIFEST).read_text())["parts"]
    describe(folder, parts={other: digest for other, digest in parts.items() if other != name})
    assert f"names no {name}" in refusal(folder)


def test_a_manifest_that_was_altered_after_it_was_published_is_refused(folder: Path) -> None:
    sha256 = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    describe(folder, more="altered")
    assert "not the one that was published" in refusal(folder, sha256)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"features": "0" * 16}, f"made for features {'0' * 16}; here they are {FEATURES.hash}"),
        ({"state_width": 32}, "made for state_width 32"),
        ({"profile_width": 1}, "made for profile_width 1"),
        ({"ids_width": 1}, "made for ids_width 1"),
        ({"floats_width": 1}, "made for floats_width 1"),
        ({"version": "one"}, "cannot be understood"),
        ({"version": 0}, "has no version"),
    ],
)
def test_a_model_of_other_features_or_widths_or_of_no_version_is_refused(
    folder: Path, changes: dict[str, object], said: str
) -> None:
    describe(folder, **changes)
    assert said in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"intents": FEATURES.taxonomy.intents[::-1]}, "made for intents review, consult, purchase, browse; here"),
        ({"types": FEATURES.taxonomy.types[:-1]}, "made for event types "),
        (
            {"types": (EventType("view", "purchase"), *FEATURES.taxonomy.types[1:])},
            "made for event types view → purchase,",
        ),
        ({"users": UserValues(gender=("x",))}, "made for texts of users "),
    ],
)
def test_a_model_of_another_taxonomy_is_refused_with_what_differs(
    folder: Path, changes: dict[str, object], said: str
) -> None:
    fields = msgspec.structs.asdict(FEATURES.taxonomy) | changes
    put(folder, TAXONOMY, msgspec.json.encode(fields))
    assert said in refusal(folder)


@pytest.mark.parametrize(
    ("calibration", "said"),
    [
        (msgspec.json.encode(Calibration.identity(3)), "is none of 4 intents"),
        (msgspec.json.encode(Calibration((0.0,) * 4, (0.0,) * 4)), "is none of 4 intents"),
        (b'{"scale": 1}', "cannot be understood"),
    ],
)
def test_a_calibration_that_is_none_of_these_intents_is_refused(folder: Path, calibration: bytes, said: str) -> None:
    put(folder, CALIBRATION, calibration)
    assert f"{CALIBRATION} {said}" in refusal(folder)


def test_a_graph_that_is_none_is_refused(folder: Path) -> None:
    put(folder, GRAPH, b"another")
    assert f"{GRAPH} cannot be run" in refusal(folder)


def test_base_rates_are_no_matter_of_a_model(folder: Path) -> None:
    fields = msgspec.structs.asdict(FEATURES.taxonomy) | {"base_rates": (0.7, 0.1, 0.1, 0.1)}
    put(folder, TAXONOMY, msgspec.json.encode(fields))
    check_fit(folder, read_manifest(folder), FEATURES)


def test_a_feature_set_of_other_aggregates_refuses_the_model(folder: Path) -> None:
    other = FeatureSet(FEATURES.taxonomy, FEATURES.profile.aggregates[1:])
    with pytest.raises(ModelError, match="made for features"):
        check_fit(folder, read_manifest(folder), other)
