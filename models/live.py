"""What was answered live, once it is known what followed: the table ``intents`` beside the sessions that have ended.

An answer's outcome is the label that training gives its event, so that live and batch are judged by one rule. A session is known
by its user and the time of its first event; one that live and batch do not cut alike is left out, as is a user whom ``traffic``
flags.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.dataset as ds
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from numpy.typing import NDArray

from lambent.settings import Settings
from lambent.tables import INTENTS
from models.artifact import Artifact
from models.dataset import Sessions, TrainingTable
from models.picked import joined, ranges, take

Array = NDArray[Any]

SPLITS = ("train", "validation", "test")
RECENT_MS = 28 * 24 * 3600 * 1000
"""Answers that are so much older than the newest say little of today."""
COLUMNS = ("user", "event_ms", "ingest_ms", "session_events", "model", "probabilities")
BESIDE = ("arm", "shadow_model", "shadow")
"""Columns that the archiver of an earlier version did not write."""
_ORDER = ("committed_ms", "seq")


@dataclasses.dataclass(frozen=True)
class Matured:
    """Live answers of sessions that have ended.

    Attributes:
        sessions: the sessions, whole.
        step: [n] which step of ``sessions`` each answer is about, rising.
        session: [n] in which of them that is.
        said: [n, K] probabilities as they were answered.
        labels: [n] code of the intent that followed.
        model: [n] the model that spoke, as intents name it.
        arm: [n] the user's arm; empty: there was no experiment.
        shadow: [n, K] what the shadow said, and shadow_model [n] which that was; empty: none did.
    """

    sessions: Sessions
    step: Array
    session: Array
    said: Array
    labels: Array
    model: Array
    arm: Array
    shadow: Array
    shadow_model: Array

    def distance(self, artifact: Artifact, version: int) -> tuple[float, int]:
        """How far the answers of a version lie from what it says in batch: mean distance of a probability; of how many."""
        own = np.flatnonzero(self.model == str(version))
        if not len(own):
            return 0.0, 0
        rows = np.unique(self.session[own])
        mine = take(self.sessions, rows)
        shift = self.sessions.first[rows] - mine.first  # from a step of all sessions to that of its own
        step = self.step[own] - shift[np.searchsorted(rows, self.session[own])]
        return float(np.abs(artifact.sessions(mine)[step] - self.said[own]).mean()), len(own)


def matured(settings: Settings, table: TrainingTable, intents: Sequence[str]) -> Matured | None:
    """Live answers of the last weeks with what followed; None where there are none.

    Args:
        settings: say where ``intents`` is.
        table: the sessions that have ended.
        intents: K names.
    """
    rows = _answers(settings)
    begins = np.flatnonzero(rows["session_events"] == 1)
    if not len(begins):
        return None
    start_ms = np.minimum(rows["event_ms"], rows["ingest_ms"])[begins]
    number = {key: n for n, key in enumerate(zip(rows["user"][begins].tolist(), start_ms.tolist(), strict=True))}
    count = np.diff(np.r_[begins, len(rows["user"])])
    found: list[tuple[Sessions, Array]] = []
    for chunk in (chunk for split in SPLITS for chunk in table.chunks(split, owners=True)):
        owners = zip(chunk.user.tolist(), chunk.start_ms.tolist(), strict=True)
        own = np.array([number.get(key, -1) for key in owners], np.int64)
        same = np.flatnonzero((own >= 0) & (count[own] <= chunk.length))
        found.append((take(chunk, same), own[same]))
    sessions, live = joined([one for one, _ in found], table), np.concatenate([own for _, own in found])
    session = np.repeat(np.arange(len(live)), count[live])
    answer, within = ranges(begins[live], count[live])
    in_turn = rows["session_events"][answer] == within + 1  # not so where an answer is missing
    answer, session, within = answer[in_turn], session[in_turn], within[in_turn]
    step = sessions.first[session] + within
    said, shadow = (_numbers(rows[name][answer], intents) for name in ("probabilities", "shadow"))
    texts = (np.array([one or "" for one in rows[name][answer]], object) for name in ("model", "arm", "shadow_model"))
    model, arm, shadow_model = texts
    labels = sessions.labels[step].astype(np.int64)
    return Matured(sessions, step, session, said, labels, model, arm, shadow, shadow_model)


def _numbers(maps: Array, intents: Sequence[str]) -> Array:
    """[n, K] of n maps from intents to probabilities; 0 where one has none."""
    found = np.zeros((len(maps), len(intents)))
    for row, one in enumerate(maps):
        known = dict(one or ())
        found[row] = [known.get(name, 0.0) for name in intents]
    return found


def _answers(settings: Settings) -> dict[str, Array]:
    """The recent answers that belong to a session, each user's in the log's order, by column."""
    try:
        data = DeltaTable(settings.table(INTENTS)).to_pyarrow_dataset()
    except TableNotFoundError:
        return {name: np.zeros(0, np.int64) for name in (*COLUMNS, *BESIDE)}
    newest_ms = max(
        (batch["ingest_ms"].to_numpy().max() for batch in data.to_batches(["ingest_ms"]) if len(batch)), default=0
    )
    recent = (ds.field("session_events") > 0) & (ds.field("ingest_ms") > newest_ms - RECENT_MS)
    there = [name for name in (*COLUMNS, *BESIDE, *_ORDER) if name in data.schema.names]
    rows = data.to_table(there, filter=recent)
    columns = {name: rows[name].to_numpy(zero_copy_only=False) for name in there}
    columns |= {name: np.full(len(rows), None) for name in BESIDE if name not in there}
    # A stream's entry has its answers in the log's order, and lies in one file in that order.
    order = np.lexsort((columns["seq"], columns["committed_ms"], columns["user"].astype(str)))
    return {name: columns[name][order] for name in (*COLUMNS, *BESIDE)}
