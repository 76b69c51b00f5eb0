"""Builds ``training_sessions`` from a snapshot: one row a session that has ended, folded as the worker folds it.

Each task folds whole users with ``lambent.training``. The split is by the time at which sessions start. Left out, and
counted by reason: sessions of users whom ``lambent.traffic`` flags (it has seen the whole snapshot, so that what a user did
later counts too), those longer than ``MAX_EVENTS``, and those that an event can still join (``training_parts``).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lambent.features import FeatureSet, feature_set
from lambent.settings import Settings
from lambent.tables import CATALOGUE, EVENTS, TRAINING_COLUMNS, TRAINING_SESSIONS
from lambent.traffic import Rules
from lambent.training import SessionRows, is_held_out, session_rows
from lambent.utc import parse_time
from spark_jobs.catalogue import open_catalogue
from spark_jobs.commits import Metadata, load_table
from spark_jobs.facts import take_told, users_of, with_spans
from spark_jobs.histories import in_log_order, whole_histories
from spark_jobs.report import Report, Stopwatch, keep, run_job
from spark_jobs.rows import batch_of, lists
from spark_jobs.session import spark_session
from spark_jobs.shown import InForce, show_days, with_days
from spark_jobs.snapshot import Snapshot, choose, configure, encoded, included
from spark_jobs.training_parts import PARTS, Cuts, count_sessions, find_cuts, kinds_of, parts_of, spans_of
from spark_jobs.written import Made, Target, write_by_tasks

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
    from pyspark.sql import DataFrame

JOB = "training_sessions"
TOLD = ("user", "start_ms", "length", "split")
"""Columns whose least and largest value of each file readers find in the table's log."""


# --- one task: users' events to session rows ---------------------------------------------------------------------------


def made_of(rows: SessionRows, names: pa.Array, kinds: NDArray[np.int8], cuts: Cuts) -> Made:
    """Rows of ``tables.TRAINING_COLUMNS``: a group a part, by time.

    Args:
        rows: the sessions.
        names: [users] their keys.
        kinds: [users] codes of ``traffic.KINDS``.
        cuts: where parts begin.
    """
    held_out = np.array([is_held_out(name) for name in names.to_pylist()], bool)[rows.user]
    parts = parts_of(rows, kinds[rows.user], held_out, cuts)
    groups = []
    for part in PARTS:
        own = np.flatnonzero(parts == part)
        own = own[np.lexsort((rows.user[own], rows.start_ms[own]))]
        groups.append(to_arrow(rows, own, names, held_out, part))
    return Made(groups, count_sessions(rows, kinds, parts))


def to_arrow(
    rows: SessionRows, own: NDArray[np.int64], names: pa.Array, held_out: NDArray[np.bool_], part: str
) -> pa.RecordBatch:
    """The sessions ``own`` [n] of a part, in this order."""
    import pyarrow as pa

    length, steps = rows.length[own], steps_of(rows.first[own], rows.length[own])
    columns: dict[str, Any] = {
        "user": names.take(pa.array(rows.user[own])),
        "start_ms": rows.start_ms[own],
        "length": length,
        "profile": lists(rows.profile[own], np.full(len(own), rows.profile.shape[1])),
        "ids": lists(rows.ids[steps], length * rows.ids.shape[1]),
        "floats": lists(rows.floats[steps], length * rows.floats.shape[1]),
        "labels": lists(rows.labels[steps], length),
        "split": pa.repeat(part, len(own)),
        "held_out": held_out[own],
    }
    return batch_of(columns, TRAINING_COLUMNS)


def folding(
    features: FeatureSet, rules: Rules, cuts: Cuts, named: InForce
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[Made]]:
    """The fold of a partition of ``rows_of``.

    Args:
        features: the declarations.
        rules: what is no shopper's traffic.
        cuts: where parts begin.
        named: the catalogues that live events are shown with.
    """
    taxonomy, aggregates = features.taxonomy, features.profile.aggregates

    def fold(batches: Iterable[pa.RecordBatch]) -> Iterator[Made]:
        own = feature_set(taxonomy, aggregates)
        for whole in whole_histories(batches):
            histories, told = take_told(whole, own)
            seen = histories.events()
            show_days(histories, seen)
            named.show(histories, seen)
            sessions = session_rows(own, histories.user, seen, told)
            yield made_of(sessions, histories.names, kinds_of(histories, seen, rules), cuts)

    return fold


def steps_of(first: NDArray[np.int64], length: NDArray[np.int64]) -> NDArray[np.int64]:
    """[length.sum()] where the steps of sessions lie, session by session."""
    begins = np.cumsum(length) - length
    return np.repeat(first - begins, length) + np.arange(length.sum())


# --- pure DataFrame functions ------------------------------------------------------------------------------------------


def rows_of(
    events: DataFrame,
    features: FeatureSet,
    rules: Rules,
    catalogue: DataFrame | None = None,
    users: DataFrame | None = None,
) -> DataFrame:
    """What ``folding`` reads, whole users in each partition.

    Args:
        events, features, rules: as for ``spans_of``.
        catalogue: of ``tables.CATALOGUE_COLUMNS``, which events of files are shown with; None: nothing is known.
        users: of ``tables.USER_COLUMNS``, which sessions are shown with; None: nothing is told.
    """
    rows = encoded(events, features.taxonomy, is_test=rules.test.sql())
    rows = rows if catalogue is None else with_days(rows, catalogue)
    return in_log_order(rows if users is None else with_spans(rows, users, features))


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
        cuts = find_cuts(spans_of(events, features, rules).toArrow())
        said = {
            **snapshot.metadata(features.hash),
            **known,
            "split_ms": [cuts.validation_ms, cuts.test_ms] if cuts else [],
            "traffic": msgspec.to_builtins(rules),
        }
        users = users_of(spark, settings, snapshot)
        counts = _write(settings, events, users, features, rules, cuts or Cuts(0, 0, 0), said)
    report = Report(JOB, sum(counts.get(part, 0) for part in PARTS), watch.seconds, counts, said)
    keep(settings, report)
    return report


def _write(
    settings: Settings,
    events: DataFrame,
    users: DataFrame | None,
    features: FeatureSet,
    rules: Rules,
    cuts: Cuts,
    said: Metadata,
) -> dict[str, int]:
    """Write the table; returns what there is to count."""
    named, path = InForce.find(settings), settings.table(CATALOGUE)
    catalogue = events.sparkSession.read.format("delta").load(path) if open_catalogue(settings) else None
    target = Target(settings.table(TRAINING_SESSIONS), TRAINING_COLUMNS, TOLD)
    counts = write_by_tasks(
        rows_of(events, features, rules, catalogue, users), folding(features, rules, cuts, named), target, said
    )
    return {**counts, **({"catalogues_unreadable": named.unreadable} if named.unreadable else {})}


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
