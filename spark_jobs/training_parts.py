"""Which part of the training table a session belongs to, or why it is left out, and where parts begin.

The split is by the time at which sessions start. Where it lies is found first, from a few bytes a session.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from lambent.encoding import Events
from lambent.features import FeatureSet
from lambent.sessions import GAP_MS, IN_LOG_ORDER
from lambent.traffic import KINDS, SHOPPER, Rules
from lambent.training import SessionRows, session_spans
from spark_jobs.histories import Histories, fold_histories
from spark_jobs.rows import batch_of
from spark_jobs.snapshot import encoded

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
    from pyspark.sql import DataFrame

MAX_EVENTS = 1_000
TRAIN_SHARE, VALIDATION_SHARE = 0.70, 0.15
PARTS = ("train", "validation", "test")
FLAGGED = "_traffic"
"""Behind a flagged user's kind: why the session is left out."""
SPAN_COLUMNS = {
    "start_ms": "int64",
    "end_ms": "int64",
    "wanted": "bool",  # neither flagged nor too long
}
"""What the cuts depend on: known before rows are made, which are a hundred times as large."""


@dataclasses.dataclass(frozen=True)
class Cuts:
    """Where the parts begin and sessions end.

    Attributes:
        newest_ms: the newest time that any user's clock shows.
        validation_ms, test_ms: quantiles of the starts of the sessions that are not left out.
    """

    newest_ms: int
    validation_ms: int
    test_ms: int


def spans_of(events: DataFrame, features: FeatureSet, rules: Rules) -> DataFrame:
    """All sessions, ended or not, as ``SPAN_COLUMNS``.

    Args:
        events: distinct events of ``tables.EVENT_COLUMNS``, those of the snapshot.
        features: the declarations.
        rules: what is no shopper's traffic.
    """

    def fold(histories: Histories) -> pa.RecordBatch:
        seen = histories.events()
        shopper = kinds_of(histories, seen, rules) == SHOPPER
        user, start_ms, end_ms, length = session_spans(histories.user, seen)
        wanted = shopper[user] & (length <= MAX_EVENTS)
        return batch_of({"start_ms": start_ms, "end_ms": end_ms, "wanted": wanted}, SPAN_COLUMNS)

    rows = encoded(events, features.taxonomy, is_test=rules.test.sql())
    # Without the ids, half of the bytes: what they alone tell apart is of a file, and happened at one time.
    order = [name for name in IN_LOG_ORDER if name != "event_id"]
    return fold_histories(rows.select(*order, "t_ms", "is_test"), SPAN_COLUMNS, fold)


def kinds_of(histories: Histories, seen: Events, rules: Rules) -> NDArray[np.int8]:
    """[users] codes of ``traffic.KINDS``."""
    return rules.flag(histories.user, seen["t_ms"], histories.rows.column("is_test").to_numpy())


def find_cuts(spans: pa.Table) -> Cuts | None:
    """Where parts begin; None where there is no session that has a part.

    Args:
        spans: of all sessions, 17 bytes each.
    """
    start_ms, end_ms, wanted = (spans.column(name).to_numpy() for name in SPAN_COLUMNS)
    newest_ms = int(end_ms.max(initial=0))
    starts_ms = np.sort(start_ms[wanted & (end_ms + GAP_MS < newest_ms)])
    if not len(starts_ms):
        return None
    at = [math.ceil(share * len(starts_ms)) - 1 for share in (TRAIN_SHARE, TRAIN_SHARE + VALIDATION_SHARE)]
    return Cuts(newest_ms, *starts_ms[at].tolist())


def parts_of(rows: SessionRows, kinds: NDArray[np.int8], held_out: NDArray[np.bool_], cuts: Cuts) -> NDArray[np.str_]:
    """[sessions] names of ``PARTS``, or why the session is left out.

    Args:
        rows: the sessions.
        kinds: [sessions] of their users, codes of ``traffic.KINDS``.
        held_out: [sessions] whether their users are.
        cuts: where parts begin.
    """
    conditions = {
        **{kind + FLAGGED: kinds == code for code, kind in enumerate(KINDS) if code != SHOPPER},
        "too_long": rows.length > MAX_EVENTS,
        "open": rows.end_ms + GAP_MS >= cuts.newest_ms,
        "test": rows.start_ms >= cuts.test_ms,
        "held_out_early": held_out,
        "validation": rows.start_ms >= cuts.validation_ms,
    }
    return np.select(list(conditions.values()), list(conditions), "train")


def count_sessions(rows: SessionRows, kinds: NDArray[np.int8], parts: NDArray[np.str_]) -> dict[str, int]:
    """How many sessions there are by part; of those that are flagged also how many users and events."""
    counts = dict(zip(*np.unique(parts, return_counts=True), strict=True))
    for code, kind in enumerate(KINDS):
        if code != SHOPPER and (kinds == code).any():
            events = rows.length[kinds[rows.user] == code].sum()
            counts |= {f"{kind}{FLAGGED}_users": (kinds == code).sum(), f"{kind}{FLAGGED}_events": events}
    return {str(name): int(count) for name, count in counts.items()}
