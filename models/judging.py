"""The evidence for the gate: candidate, champion and base rates on the same test events, what a step costs, and the skew."""

from __future__ import annotations

from pathlib import Path

from lambent.errors import ModelError
from lambent.features import FeatureSet
from lambent.settings import Settings
from models.artifact import Artifact
from models.baselines.simple import base_rate, label_counts
from models.cost import cost
from models.dataset import TrainingTable
from models.gate import BASE, CANDIDATE, CHAMPION, Evidence, Skew
from models.live import matured
from models.promotion import artifact_folder, is_corrected
from models.scored import score


def gather(settings: Settings, folder: Path, champion: int) -> Evidence:
    """All that the gate looks at.

    Args:
        settings: say where the tables and artifacts are.
        folder: the candidate's artifact.
        champion: version; 0: there is none.

    Raises:
        ModelError: the candidate's artifact is broken, or made for other features.
        DataError: there is no training table.
    """
    features = FeatureSet(settings.load_taxonomy())
    table, candidate = TrainingTable.open(settings, features), Artifact(folder, features)
    models = {CANDIDATE: candidate.sessions, BASE: base_rate(label_counts(table, features))}
    skew, unknown = None, ""
    if champion:
        try:
            artifact = Artifact(artifact_folder(settings, champion), features)
        except ModelError as error:
            unknown = error.cause
        else:
            models[CHAMPION] = artifact.sessions
            if not is_corrected(settings, champion):
                skew = _skew(settings, table, features, artifact, champion)
    return Evidence(score(models, table, features), cost(candidate, folder), champion, skew, unknown)


def _skew(settings: Settings, table: TrainingTable, features: FeatureSet, artifact: Artifact, version: int) -> Skew:
    """How far the live answers of a version lie from what it says of the same events in batch."""
    known = matured(settings, table, features.taxonomy.intents)
    return Skew(*known.distance(artifact, version)) if known else Skew(0.0, 0)
