"""The manifest of a model's artifact: what the model was made for, and the hash of each part. All who load one read it here.

model.json        ``Manifest``, and what else its maker says of it
model.tflite      the graph, the calibration inside
calibration.json  the same calibration, to be read (``lambent.calibration.Calibration``)
taxonomy.json     the event types and intents whose codes the graph takes and gives (``lambent.taxonomy.Taxonomy``)

Whoever names an artifact names the sha256 of its ``model.json``, and so every byte of it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from lambent.calibration import Calibration
from lambent.errors import ModelError
from lambent.features import FeatureSet
from lambent.records import STATE_WIDTH
from lambent.taxonomy import Taxonomy

MANIFEST, GRAPH, CALIBRATION, TAXONOMY = "model.json", "model.tflite", "calibration.json", "taxonomy.json"
NEEDED = (GRAPH, CALIBRATION, TAXONOMY)
"""Parts without which there is no model."""

_AGAIN = "Export the model again."


class Manifest(msgspec.Struct, frozen=True):
    """``model.json``; fields that this version does not know are left alone.

    Attributes:
        version: the registry's version; 0: none yet.
        features: hash of the feature set.
        state_width, profile_width, ids_width, floats_width: of what the graph takes.
        parts: sha256 of each other file, in hex, by its name.
    """

    version: int
    features: str
    state_width: int
    profile_width: int
    ids_width: int
    floats_width: int
    parts: dict[str, str]


def read_manifest(folder: Path, sha256: str = "") -> Manifest:
    """Read ``model.json`` and hold every part against it.

    Args:
        folder: the artifact.
        sha256: what ``model.json`` has to hash to; empty: anything.

    Raises:
        ModelError: a file is missing, or is not the one that was exported.
    """
    data = read_part(folder, MANIFEST)
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise ModelError(f"{folder / MANIFEST} is not the one that was published.", "Publish the model again.")
    manifest: Manifest = _decode(folder, MANIFEST, data, Manifest)
    for name in NEEDED:
        if name not in manifest.parts:
            raise ModelError(f"{folder / MANIFEST} names no {name}.", _AGAIN)
    for name, digest in manifest.parts.items():
        if hashlib.sha256(read_part(folder, name)).hexdigest() != digest:
            raise ModelError(f"{folder / name} is not the file that was exported.", _AGAIN)
    return manifest


def check_fit(folder: Path, manifest: Manifest, features: FeatureSet) -> None:
    """Hold an artifact against what the caller computes.

    Raises:
        ModelError: it was made for another taxonomy, for other features, or for other widths.
    """
    taxonomy, here = read_taxonomy(folder), features.taxonomy
    wanted: dict[str, tuple[Any, Any]] = {
        "intents": (taxonomy.intents, here.intents),
        "event types": (_types(taxonomy), _types(here)),
        "texts of users": (taxonomy.users, here.users),
        "features": (manifest.features, features.hash),
        "state_width": (manifest.state_width, STATE_WIDTH),
        "profile_width": (manifest.profile_width, len(features.profile.feature_names)),
        "ids_width": (manifest.ids_width, len(features.step_ids)),
        "floats_width": (manifest.floats_width, len(features.step_floats)),
    }
    for name, (theirs, ours) in wanted.items():
        if theirs != ours:
            cause = f"{folder}: the model was made for {name} {_shown(theirs)}; here they are {_shown(ours)}."
            raise ModelError(cause, "Train a model for what is here, or set the taxonomy that it was trained for.")
    if not read_calibration(folder).fits(len(here.intents)):
        raise ModelError(f"{folder / CALIBRATION} is none of {len(here.intents)} intents.", _AGAIN)


def read_taxonomy(folder: Path) -> Taxonomy:
    """The taxonomy that an artifact was made for.

    Raises:
        ModelError: it cannot be read.
    """
    found: Taxonomy = _decode(folder, TAXONOMY, read_part(folder, TAXONOMY), Taxonomy)
    return found


def read_calibration(folder: Path) -> Calibration:
    """The calibration that an artifact's graph holds.

    Raises:
        ModelError: it cannot be read.
    """
    found: Calibration = _decode(folder, CALIBRATION, read_part(folder, CALIBRATION), Calibration)
    return found


def read_part(folder: Path, name: str) -> bytes:
    """The bytes of one file of an artifact.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise ModelError(
            f"{folder / name} cannot be read ({error.strerror}).", "Give every machine the artifact."
        ) from error


def _decode(folder: Path, name: str, data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise ModelError(f"{folder / name} cannot be understood ({error}).", _AGAIN) from error


def _types(taxonomy: Taxonomy) -> tuple[str, ...]:
    """``name``, or ``name → intent`` where it decides one."""
    return tuple(one.name if one.intent is None else f"{one.name} → {one.intent}" for one in taxonomy.types)


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
