"""An artifact that is whole but for its graph: enough for all who only read what it says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from lambent.calibration import Calibration
from lambent.features import FeatureSet
from lambent.manifest import CALIBRATION, GRAPH, TAXONOMY
from lambent.records import STATE_WIDTH
from models.artifact import write_artifact


def write_blank(folder: Path, features: FeatureSet, version: int = 1, **changes: Any) -> str:
    """Write one; ``changes`` are of its description. Returns the sha256 of its ``model.json``."""
    parts = {
        GRAPH: b"graph",
        CALIBRATION: msgspec.json.encode(Calibration.identity(len(features.taxonomy.intents))),
        TAXONOMY: msgspec.json.encode(features.taxonomy),
    }
    description = {
        "version": version, "features": features.hash, "intents": list(features.taxonomy.intents),
        "state_width": STATE_WIDTH, "profile_width": len(features.profile.feature_names),
        "ids_width": len(features.step_ids), "floats_width": len(features.step_floats), "more": "is left alone",
    }  # fmt: skip
    return write_artifact(folder, parts, description | changes)
