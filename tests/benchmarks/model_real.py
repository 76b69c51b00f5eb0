"""Real events: purchase on Taobao's log, five folds by user within the split by time, the folds' test events pooled.

Of a fold's users nothing before the test is learnt from, their earlier sessions are not in the fold's table, and nobody else's test
events are scored. Scored are events that are no purchase themselves; what those earlier sessions left behind counts, by the profile
and the last-N maps.
"""

from __future__ import annotations

import datetime
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake

from lambent.features import FeatureSet
from lambent.settings import Settings
from lambent.tables import TRAINING_SESSIONS
from models.artifact import STAGING, Artifact
from models.baselines import dear
from models.dataset import TrainingTable
from models.ranking import rank
from models.resample import Resamples
from models.scored import Scored, score
from tests.benchmarks.report import Row

Run = Callable[..., Any]

FOLDS = 5
BEGINS = {"validation": datetime.datetime(2017, 11, 30, 16), "test": datetime.datetime(2017, 12, 1, 16)}
"""UTC; the log's days are China's: train to December 1st, test on the 2nd and 3rd."""
OTHERS = ("lightgbm", "logistic")


def real(root: Path, file: Path, run: Run) -> list[Row]:
    """Ingest once; train and score each fold."""
    settings = Settings(root=root, user_key="5a" * 32)
    run(settings, "spark_jobs.ingest", str(file), "--mapping", "taobao")
    run(settings, "spark_jobs.catalogue")
    run(settings, "spark_jobs.training_sessions")
    features = FeatureSet(settings.load_taxonomy())
    folds = [score_fold(settings, features, number, run) for number in range(FOLDS)]
    return rows_of(folds, features.taxonomy.intents.index("purchase"))


def score_fold(settings: Settings, features: FeatureSet, number: int, run: Run) -> Scored:
    """Train without a fold's users, and score their test events that are no purchase."""
    own = settings.model_copy(update={"root": settings.root / f"fold{number}"})
    own.root.mkdir()
    write_fold(settings, own, number)
    run(own, "models.train", "--processes", "1")
    table = TrainingTable.open(own, features)
    model = Artifact(own.artifacts_root / STAGING, features).sessions
    scored = score({"model": model, **dear(table, features, OTHERS)}, table, features)
    decides = np.array([intent is not None for intent in features.taxonomy.intent_of_type])
    return scored.of(np.flatnonzero(~decides[scored.type]))


def write_fold(settings: Settings, own: Settings, number: int) -> None:
    """The same table with parts of its own."""
    source = DeltaTable(settings.table(TRAINING_SESSIONS))
    rows = source.to_pyarrow_table()
    begins = {name: int(at.replace(tzinfo=datetime.UTC).timestamp() * 1000) for name, at in BEGINS.items()}
    start_ms = rows["start_ms"].to_numpy()
    fold = np.array([zlib.crc32(user.encode()) // 1000 % FOLDS for user in rows["user"].to_pylist()]) == number
    test = start_ms >= begins["test"]
    split = np.where(test, "test", np.where(start_ms >= begins["validation"], "validation", "train"))
    rows = rows.set_column(rows.schema.get_field_index("split"), "split", pa.array(split))
    commit = CommitProperties(custom_metadata={"userMetadata": json.dumps(_metadata(source))})
    path = own.table(TRAINING_SESSIONS)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_deltalake(path, rows.filter(pa.array(fold == test)), commit_properties=commit)


def _metadata(table: DeltaTable) -> dict[str, Any]:
    return next(json.loads(one["userMetadata"]) for one in table.history(8) if one.get("userMetadata"))


def rows_of(folds: list[Scored], purchase: int) -> list[Row]:
    """AUC and AP of the pooled events less those of the others, by event and by user."""
    said = {name: np.concatenate([one.said[name][:, purchase] for one in folds]) for name in folds[0].said}
    hit = np.concatenate([one.labels for one in folds]) == purchase
    owner = np.concatenate([one.owner[one.session] for one in folds]).astype(str)
    names, user = np.unique(owner, return_inverse=True)
    resamples = Resamples(user, len(names))
    rows = []
    for weighted, weight in (("event", None), ("user", 1.0 / np.bincount(user)[user])):
        ranked = {name: rank(p, hit, resamples, weight=weight) for name, p in said.items()}
        for other in OTHERS:
            for figure in ("auc", "ap"):
                ours, theirs = getattr(ranked["model"], figure), getattr(ranked[other], figure)
                less = (ours - theirs).figure()
                rows.append(
                    Row(f"Taobao, purchase: {figure.upper()} less {other}'s, by {weighted}, lower end", float(less["low"] or 0.0), "",
                        ">= -0.02" if other == "lightgbm" else "", f"{other} {theirs.value:.3f}",
                        f"{ours.value:.3f}, difference {less['value']:+.3f} [{less['low']:+.3f}, {less['high']:+.3f}]; "
                        f"{len(hit):,} events of {len(names)} users, {hit.mean():.1%} of them before a purchase")
                )  # fmt: skip
    return rows
