"""Builds ``training_sessions`` from a snapshot: one row a session that has ended, folded as the worker folds it.

Each task folds whole users with ``lambent.training``. The split is by the time at which sessions start. Left out, and
counted by reason: sessions of users whom ``lambent.traffic`` flags (it has seen the whole snapshot, so that what a user did
later counts too), those longer than ``MAX_EVENTS``, and those that an event can still join.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lambent.features import FeatureSet, feature_set
from lambent.sessions import GAP_MS, IN_LOG_ORDER
from lambent.settings import Settings
from lambent.tables import CATALOGUE, EVENTS, TRAINING_COLUMNS, TRAINING_SESSIONS
from lambent.taxonomy import Taxonomy
from lambent.traffic import KINDS, SHOPPER, Rules
from lambent.training import SessionRows, is_held_out, session_rows, session_spans
from lambent.utc import parse_time
from spark_jobs.commits import load_table, open_table, overwrite
from spark_jobs.histories import Histories, fold_histories
from spark_jobs.report import Report, Stopwatch, keep, run_job
from spark_jobs.rows import arrow_types, lists
from spark_jobs.session import spark_session
from spark_jobs.shown import InForce, show_days, with_days
from spark_jobs.snapshot import Snapshot, choose, configure, encoded, included

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
    from pyspark.sql import DataFrame

JOB = "training_sessions"
MAX_EVENTS = 1_000
TRAIN_SHARE, VALIDATION_SHARE = 0.70, 0.15
PARTS = ("train", "validation", "test")
FLAGGED = "_traffic"
"""Behind a flagged user's kind: why the session is left out."""
SPAN_COLUMNS = {name: TRAINING_COLUMNS[name] for name in ("user", "start_ms", "length", "held_out")} | {
    "end_ms": "int64",
    "kind": "string",  # of the user, as in ``traffic.KINDS``
}
"""What a session's part depends on: known before its rows are made, which are a hundred times as large."""
ENDED_COLUMNS = {name: kind for name, kind in TRAINING_COLUMNS.items() if name != "split"} | SPAN_COLUMNS

# --- one task: users' events to session rows ---------------------------------------------------------------------------


def to_arrow(rows: SessionRows, names: pa.Array, kinds: NDArray[np.int8]) -> pa.RecordBatch:
    """Session rows as Arrow; one that is too long, or of a user who is flagged, keeps its length only.

    Args:
        rows: the sessions.
        names: [users] their keys.
        kinds: [users] codes of ``traffic.KINDS``.
    """

    wanted = (rows.length <= MAX_EVENTS) & (kinds[rows.user] == SHOPPER)
    steps, kept = np.repeat(wanted, rows.length), np.where(wanted, rows.length, 0)
    columns: dict[str, Any] = {
        **span_columns(names, kinds, rows.user, rows.start_ms, rows.end_ms, rows.length),
        "profile": lists(rows.profile, np.full(len(rows.user), rows.profile.shape[1])),
        "ids": lists(rows.ids[steps], kept * rows.ids.shape[1]),
        "floats": lists(rows.floats[steps], kept * rows.floats.shape[1]),
        "labels": lists(rows.labels[steps], kept),
    }
    return batch_of(columns, ENDED_COLUMNS)


def span_columns(
    names: pa.Array, kinds: NDArray[np.int8], user: NDArray[np.int64], start_ms: Any, end_ms: Any, length: Any
) -> dict[str, Any]:
    """``SPAN_COLUMNS`` of sessions; of each the index of its user in ``names`` and ``kinds``."""
    import pyarrow as pa

    held_out = np.array([is_held_out(name) for name in names.to_pylist()], bool)
    times = {"start_ms": start_ms, "end_ms": end_ms, "length": length}
    return {
        "user": names.take(pa.array(user)),
        **times,
        "held_out": held_out[user],
        "kind": np.array(KINDS)[kinds[user]],
    }


def batch_of(columns: Mapping[str, Any], declared: Mapping[str, str]) -> pa.RecordBatch:
    """Columns as Arrow, of the types that are declared."""
    import pyarrow as pa

    arrays = [_typed(columns[name], kind) for name, kind in arrow_types(declared).items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(declared))


def _typed(column: Any, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return column.cast(kind) if isinstance(column, pa.Array) else pa.array(column, kind)


# --- pure DataFrame functions ------------------------------------------------------------------------------------------


def sessions_of(
    events: DataFrame,
    features: FeatureSet,
    rules: Rules,
    catalogue: DataFrame | None = None,
    named: InForce | None = None,
) -> DataFrame:
    """All sessions, ended or not, as ``ENDED_COLUMNS``.

    Args:
        events: distinct events of ``tables.EVENT_COLUMNS``, those of the snapshot.
        features: the declarations.
        rules: what is no shopper's traffic.
        catalogue: of ``tables.CATALOGUE_COLUMNS``, which events of files are shown with; None: nothing is known.
        named: the catalogues that live events are shown with; None: none was.
    """
    taxonomy, aggregates = features.taxonomy, features.profile.aggregates

    def fold(histories: Histories) -> pa.RecordBatch:
        seen = histories.events()
        show_days(histories, seen)
        if named is not None:
            named.show(histories, seen)
        rows = session_rows(feature_set(taxonomy, aggregates), histories.user, seen)
        is_test = histories.rows.column("is_test").to_numpy()
        return to_arrow(rows, histories.names, rules.flag(histories.user, seen["t_ms"], is_test))

    rows = encoded(events, taxonomy, is_test=rules.test.sql())
    return fold_histories(rows if catalogue is None else with_days(rows, catalogue), ENDED_COLUMNS, fold)


def spans_of(events: DataFrame, features: FeatureSet, rules: Rules) -> DataFrame:
    """The same sessions as ``SPAN_COLUMNS``: what is shuffled and kept is a small part of that.

    Args:
        events, features, rules: as for ``sessions_of``.
    """

    def fold(histories: Histories) -> pa.RecordBatch:
        seen = histories.events()
        is_test = histories.rows.column("is_test").to_numpy()
        kinds = rules.flag(histories.user, seen["t_ms"], is_test)
        user, start_ms, end_ms, length = session_spans(histories.user, seen)
        return batch_of(span_columns(histories.names, kinds, user, start_ms, end_ms, length), SPAN_COLUMNS)

    rows = encoded(events, features.taxonomy, is_test=rules.test.sql())
    return fold_histories(rows.select(*IN_LOG_ORDER, "t_ms", "is_test"), SPAN_COLUMNS, fold)


def newest_clock_ms(events: DataFrame, taxonomy: Taxonomy) -> int:
    """The newest time that any user's clock shows; 0 where there are no events."""
    return encoded(events, taxonomy).selectExpr("max(t_ms) AS newest").first()["newest"] or 0


def ended(sessions: DataFrame, newest_ms: int) -> DataFrame:
    """Those that no event can join any more, and that are not left out for another reason."""
    kept = f"end_ms + {GAP_MS}L < {newest_ms}L AND length <= {MAX_EVENTS} AND kind = '{KINDS[SHOPPER]}'"
    return sessions.where(kept)


def split_times_ms(sessions: DataFrame) -> list[int]:
    """Where validation and test begin: quantiles of the sessions' starts; empty where there are no sessions."""
    quantiles = (TRAIN_SHARE, TRAIN_SHARE + VALIDATION_SHARE)
    row = sessions.selectExpr(
        *(f"percentile_disc({q:.2f}) WITHIN GROUP (ORDER BY start_ms) AS q{n}" for n, q in enumerate(quantiles))
    ).first()
    return [int(value) for value in row if value is not None]


def parted(sessions: DataFrame, newest_ms: int, times_ms: Sequence[int]) -> DataFrame:
    """All sessions with ``split``: a name of ``PARTS``, or why the session is left out."""
    validation_ms, test_ms = times_ms or (0, 0)
    part = (
        f"CASE WHEN kind <> '{KINDS[SHOPPER]}' THEN kind || '{FLAGGED}' "
        f"WHEN length > {MAX_EVENTS} THEN 'too_long' WHEN end_ms + {GAP_MS}L >= {newest_ms}L THEN 'open' "
        f"WHEN start_ms >= {test_ms}L THEN 'test' WHEN held_out THEN 'held_out_early' "
        f"WHEN start_ms >= {validation_ms}L THEN 'validation' ELSE 'train' END AS split"
    )
    return sessions.selectExpr("*", part)


def count_sessions(sessions: DataFrame) -> dict[str, int]:
    """How many sessions there are by ``split``; of those that are flagged also how many users and events."""
    from pyspark.sql import functions as F

    totals = "count(*) AS sessions", "count(DISTINCT flagged) AS users", "sum(length) AS events"
    flagged = f"CASE WHEN kind <> '{KINDS[SHOPPER]}' THEN user END AS flagged"
    rows = sessions.selectExpr("split", "length", flagged).groupBy("split").agg(*map(F.expr, totals)).collect()
    counts = {split: sessions for split, sessions, _, _ in rows}
    for split, _, users, events in rows:
        if split.endswith(FLAGGED):
            counts |= {f"{split}_users": users, f"{split}_events": events}
    return counts


def training_rows(sessions: DataFrame) -> DataFrame:
    """``tables.TRAINING_COLUMNS`` of the sessions that have a part; in each file by time, so that a part is read alone."""
    kept = sessions.where(sessions["split"].isin(*PARTS)).select(*TRAINING_COLUMNS)
    return kept.sortWithinPartitions("start_ms", "user")


# --- one run -----------------------------------------------------------------------------------------------------------


def build(settings: Settings, snapshot: Snapshot | None = None, as_of_ms: int | None = None) -> Report:
    """Replace ``training_sessions`` by those of a snapshot, and keep the report.

    Args:
        settings: the settings.
        snapshot: (V, T); None: the newest that keeps the law.
        as_of_ms: only events with ``ingest_ms`` below, those of files included; None: all of the snapshot.

    Raises:
        DataError: there are no events.
    """
    watch = Stopwatch()
    snapshot = snapshot or choose(settings)
    features, rules = FeatureSet(settings.load_taxonomy()), settings.load_traffic()
    with spark_session(settings, "lambent training sessions") as spark:
        events = included(load_table(spark, settings.table(EVENTS), snapshot.events_version), snapshot.cutoff_ms)
        known = {} if as_of_ms is None else {"as_of_ms": as_of_ms}
        events = events.where(f"ingest_ms < {as_of_ms}L") if known else events
        newest_ms = newest_clock_ms(events, features.taxonomy)
        named, table = InForce.find(settings), settings.table(CATALOGUE)
        catalogue = spark.read.format("delta").load(table) if open_table(table) else None
        spans = spans_of(events, features, rules).persist()
        times_ms = split_times_ms(ended(spans, newest_ms))
        counts = count_sessions(parted(spans, newest_ms, times_ms))
        spans.unpersist()
        said = {
            **snapshot.metadata(features.hash),
            **known,
            "split_ms": times_ms,
            "traffic": msgspec.to_builtins(rules),
        }
        sessions = parted(sessions_of(events, features, rules, catalogue, named), newest_ms, times_ms)
        if named.unreadable:
            counts["catalogues_unreadable"] = named.unreadable
        overwrite(training_rows(sessions), settings.table(TRAINING_SESSIONS), said)
    report = Report(JOB, sum(counts.get(part, 0) for part in PARTS), watch.seconds, counts, said)
    keep(settings, report)
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """``spark-submit training_sessions.py [--events-version V] [--cutoff-ms T] [--as-of TIME]``."""
    parser = argparse.ArgumentParser(prog=JOB, description=__doc__)
    configure(parser)
    parser.add_argument(
        "--as-of", default="", metavar="TIME", help="only what was known then (ISO 8601; UTC); empty: all"
    )
    given = parser.parse_args(argv)

    def job(settings: Settings) -> Report:
        as_of_ms = parse_time(given.as_of) if given.as_of else None
        return build(settings, choose(settings, given.events_version, given.cutoff_ms), as_of_ms)

    return run_job(job)


if __name__ == "__main__":
    raise SystemExit(main())
