"""Builds ``profiles`` of a snapshot: in full, or from the last build and what is new since, which gives the same.

A user of whom something is new is *touched*. Where all of it comes after what is folded already, in the log's order, the
fold goes on from the profile; where it does not (a file of last week, a copy that came late) the user is folded anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lambent.codec import unpack
from lambent.features import FeatureSet, feature_set
from lambent.fold import fold_profiles
from lambent.profile import Profiles
from lambent.settings import Settings
from lambent.tables import EVENTS, PROFILES, profile_columns
from spark_jobs.builds import Built
from spark_jobs.commits import count_rows, load_table, need_table, open_table
from spark_jobs.compact import compact_if_due
from spark_jobs.facts import Told, find_told, take_told, with_facts
from spark_jobs.histories import Histories, in_log_order, whole_histories
from spark_jobs.newest import KEY, STAMP, NewestRows, Stamps
from spark_jobs.profile_rows import to_arrow
from spark_jobs.report import Report, Stopwatch, keep, run_job
from spark_jobs.session import spark_session
from spark_jobs.snapshot import Snapshot, added_since, choose, configure, encoded, included, is_vacuumed
from spark_jobs.touched import BASE, base_rows, find_new, find_touched
from spark_jobs.written import Made, Target, write_by_tasks

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

JOB = "profiles"
BROADCAST_USERS = 2_000_000
"""So many users that are folded anew are sent to every task; beyond that Spark sorts and joins."""


# --- pure DataFrame functions ------------------------------------------------------------------------------------------


def rows_of(
    events: DataFrame, features: FeatureSet, base: DataFrame | None = None, facts: DataFrame | None = None
) -> DataFrame:
    """What ``folding`` reads, whole users in each partition.

    Args:
        events: distinct events of ``tables.EVENT_COLUMNS``: of a user in ``base`` those that come after it, of every
            other user all.
        features: the declarations.
        base: profiles to go on from, as ``touched.BASE_COLUMNS``; None: there are none.
        facts: as of the snapshot, as ``facts.facts_at`` gives them, of whom they are not in ``base``; None: there are none.
    """
    rows = encoded(events, features.taxonomy)
    if base is not None:
        rows = rows.unionByName(base, allowMissingColumns=True)
    return in_log_order(rows if facts is None else with_facts(rows, facts))


def folding(features: FeatureSet, snapshot: Snapshot) -> Callable[[Iterable[pa.RecordBatch]], Iterator[Made]]:
    """The fold of a partition of ``rows_of``: a row a user, of ``tables.profile_columns``.

    Args:
        features: the declarations.
        snapshot: which the rows say they are made from.
    """
    taxonomy, aggregates = features.taxonomy, features.profile.aggregates

    def fold(batches: Iterable[pa.RecordBatch]) -> Iterator[Made]:
        own = feature_set(taxonomy, aggregates)
        for histories in whole_histories(batches):
            yield Made([to_arrow(own, histories.names, *_fold(own, histories), snapshot)])

    return fold


def _fold(features: FeatureSet, histories: Histories) -> tuple[Profiles, np.ndarray]:
    """[users] profiles, and the largest source of each."""
    users = len(histories.names)
    base, source = features.profile.identity(users), np.zeros(users, np.int8)
    histories, told = take_told(histories, features)
    is_event = histories.rows.column("source").to_numpy() != BASE
    if not is_event.all():
        starts, histories = histories.where(~is_event), histories.where(is_event)
        base[starts.user] = unpack(features.profile, starts.rows.column("base").to_pylist(), double=True)
        source[starts.user] = starts.rows.column("base_source").to_numpy()
    if told is not None:
        base["fact"][told.user] = told.codes
    np.maximum.at(source, histories.user, histories.rows.column("source").to_numpy())
    return fold_profiles(features, base, histories.user, histories.events()), source


# --- the table ---------------------------------------------------------------------------------------------------------


def target_of(path: str, features: FeatureSet) -> Target:
    """The table; its log tells by which files a snapshot's rows are in, and what quality asks."""
    return Target(path, profile_columns(features.profile), (*KEY, "clock_ms"))


def write_all(
    path: str, events: DataFrame, features: FeatureSet, snapshot: Snapshot, facts: DataFrame | None = None
) -> None:
    """Make all rows anew from all events, and all facts, that ``snapshot`` sees."""
    write_by_tasks(
        rows_of(events, features, facts=facts),
        folding(features, snapshot),
        target_of(path, features),
        snapshot.metadata(features.hash),
    )


def write_touched(
    path: str,
    built: Built,
    new: DataFrame,
    events: DataFrame,
    features: FeatureSet,
    snapshot: Snapshot,
    told: Told | None = None,
) -> dict[str, int]:
    """Append the rows of users of whom something is new; how many are touched, folded anew of them, and new.

    Args:
        path: of the table.
        built: the build that it holds.
        new: the events that ``snapshot`` sees and ``built`` does not.
        events: all events that ``snapshot`` sees.
        features: the declarations.
        snapshot: where to go.
        told: what is told of users besides; None: nothing.
    """
    import pyarrow.compute as pc
    from pyspark.sql import functions as F

    last = NewestRows.of(need_table(path, "", built.version), built)
    facts = told.changed if told else None
    touched = find_touched(find_new(new, facts), last, built.snapshot.cutoff_ms)
    anew, known = touched.filter(touched["anew"]), touched.filter(pc.field(STAMP[0]).is_valid())
    if anew.num_rows:
        hint = F.broadcast if anew.num_rows <= BROADCAST_USERS else lambda rows: rows
        again = hint(new.sparkSession.createDataFrame(anew.select(["user"])))
        new = new.join(again, "user", "left_anti").unionByName(events.join(again, "user", "left_semi"))
        facts = facts if told is None else told.changed.unionByName(told.facts.join(again, "user", "left_semi"))
    base = base_rows(new.sparkSession, path, built.version, Stamps.of(known.filter(~pc.field("anew"))), features)
    said = snapshot.metadata(features.hash) | built.goes_on(built.superseded + known.num_rows)
    write_by_tasks(
        rows_of(new, features, base, facts),
        folding(features, snapshot),
        target_of(path, features),
        said,
        "append",
        built.version,
    )
    return {
        "users_touched": touched.num_rows,
        "users_anew": anew.num_rows,
        "users_new": touched.num_rows - known.num_rows,
    }


# --- one run -----------------------------------------------------------------------------------------------------------


def build(settings: Settings, snapshot: Snapshot | None = None, full: bool = False) -> Report:
    """Bring ``profiles`` to a snapshot, and keep the report.

    Args:
        settings: the settings.
        snapshot: (V, T); None: the newest that keeps the law.
        full: from all events, whatever is built already.

    Raises:
        DataError: there are no events.
    """
    watch = Stopwatch()
    snapshot = snapshot or choose(settings)
    features = FeatureSet(settings.load_taxonomy())
    built = Built.find(open_table(settings.table(PROFILES)))
    if full or built is None or not built.leads_to(snapshot, features):
        built = None
    report = Report(JOB, facts=snapshot.metadata(features.hash))
    if built is None or built.snapshot != snapshot:
        with spark_session(settings, "lambent profiles") as spark:
            report.counts = _write(spark, settings, features, snapshot, built)
            compact_if_due(spark, target_of(settings.table(PROFILES), features))
    table = need_table(settings.table(PROFILES), "Run this again.")
    report.rows = count_rows(table)
    report.facts["profiles_version"] = table.version()
    report.seconds = watch.seconds
    keep(settings, report)
    return report


def _write(
    spark: SparkSession, settings: Settings, features: FeatureSet, snapshot: Snapshot, built: Built | None
) -> dict[str, int]:
    """Write the table; returns what there is to count. Where it cannot go on from ``built`` any more, it is all made anew."""
    path = settings.table(EVENTS)
    events = included(load_table(spark, path, snapshot.events_version), snapshot.cutoff_ms)
    try:
        told = find_told(spark, settings, features, snapshot, built.snapshot if built else None)
        if built is None:
            write_all(settings.table(PROFILES), events, features, snapshot, told and told.facts)
            return {}
        # Held, since Spark would look for what is new again in every query that reads it.
        new = added_since(spark, path, built.snapshot, snapshot).localCheckpoint()
        return write_touched(settings.table(PROFILES), built, new, events, features, snapshot, told)
    except Exception as error:
        if built is None or not is_vacuumed(error):
            raise
        return _write(spark, settings, features, snapshot, None)


def configure_build(parser: argparse.ArgumentParser) -> None:
    """The arguments of this job."""
    configure(parser)
    parser.add_argument("--full", action="store_true", help="from all events, whatever is built already")


def main(argv: Sequence[str] | None = None) -> int:
    """``spark-submit profiles.py [--events-version V] [--cutoff-ms T] [--full]``."""
    parser = argparse.ArgumentParser(prog=JOB, description=__doc__)
    configure_build(parser)
    given = parser.parse_args(argv)
    return run_job(
        lambda settings: build(settings, choose(settings, given.events_version, given.cutoff_ms), given.full)
    )


if __name__ == "__main__":
    raise SystemExit(main())
