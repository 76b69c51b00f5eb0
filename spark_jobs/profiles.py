"""Builds ``profiles`` of a snapshot: in full, or from the last build and what is new since, which gives the same.

A user of whom something is new is *touched*. Where all of it comes after what is folded already, in the log's order, the
fold goes on from the profile; where it does not (a file of last week, a copy that came late) the user is folded anew.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lambent.features import FeatureSet, feature_set
from lambent.fold import fold_profiles
from lambent.profile import Profiles
from lambent.settings import Settings
from lambent.tables import EVENTS, PROFILES, SOURCE_FILE, SOURCE_LIVE, profile_columns
from spark_jobs.builds import Built
from spark_jobs.commits import load_table, need_table, open_table, overwrite
from spark_jobs.histories import Histories, fold_histories
from spark_jobs.profile_rows import from_arrow, to_arrow
from spark_jobs.report import Report, Stopwatch, keep, run_job
from spark_jobs.session import spark_session
from spark_jobs.snapshot import Snapshot, added_since, choose, configure, encoded, included, is_vacuumed

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession

JOB = "profiles"
BASE = -1
"""``source`` of a row that is no event but the profile from which the fold goes on: it comes before all events."""
BROADCAST_USERS = 2_000_000
"""So many touched users are sent to every task; beyond that Spark sorts and joins."""


# --- pure DataFrame functions ------------------------------------------------------------------------------------------


def profiles_of(
    events: DataFrame, features: FeatureSet, snapshot: Snapshot, base: DataFrame | None = None
) -> DataFrame:
    """One row a user, of ``tables.profile_columns``.

    Args:
        events: distinct events of ``tables.EVENT_COLUMNS``: of a user in ``base`` those that come after it, of every
            other user all.
        features: the declarations.
        snapshot: which the rows say they are made from.
        base: profiles to go on from; None: there are none.
    """
    from pyspark.sql import functions as F

    taxonomy, aggregates = features.taxonomy, features.profile.aggregates
    rows = encoded(events, taxonomy)
    if base is not None:
        starts = base.select("user", F.lit(BASE).cast("byte").alias("source"), F.struct(*base.columns).alias("base"))
        rows = rows.unionByName(starts, allowMissingColumns=True)

    def fold(histories: Histories) -> pa.RecordBatch:
        made = feature_set(taxonomy, aggregates)
        return to_arrow(made, histories.names, *_fold(made, histories), dataclasses.astuple(snapshot))

    return fold_histories(rows, profile_columns(features.profile), fold)


def _fold(features: FeatureSet, histories: Histories) -> tuple[Profiles, np.ndarray]:
    """[users] profiles, and the largest source of each."""
    import pyarrow as pa

    users = len(histories.names)
    base, source = features.profile.identity(users), np.zeros(users, np.int8)
    is_event = histories.rows.column("source").to_numpy() != BASE
    if not is_event.all():
        starts, histories = histories.where(~is_event), histories.where(is_event)
        batch = pa.RecordBatch.from_struct_array(starts.rows.column("base").combine_chunks())
        base[starts.user], source[starts.user] = from_arrow(features, batch), batch.column("source").to_numpy()
    np.maximum.at(source, histories.user, histories.rows.column("source").to_numpy())
    return fold_profiles(features, base, histories.user, histories.events()), source


def touched_users(new: DataFrame, profiles: DataFrame, cutoff_ms: int) -> DataFrame:
    """``user``, and whether it is folded ``anew``.

    Args:
        new: events that no profile has seen.
        profiles: of the last build.
        cutoff_ms: of the last build.
    """
    found = new.groupBy("user").agg(
        _least(SOURCE_FILE, "event_ms").alias("file_ms"), _least(SOURCE_LIVE, "ingest_ms").alias("live_ms")
    )
    known = profiles.select("user", "clock_ms", "source")
    precedes = f"file_ms IS NOT NULL AND (source = {SOURCE_LIVE} OR file_ms <= clock_ms)"
    late = f"coalesce(live_ms < {cutoff_ms}L, FALSE)"
    anew = f"source IS NOT NULL AND ({precedes} OR {late}) AS anew"
    return found.join(known, "user", "left").selectExpr("user", anew)


def _least(source: int, column: str) -> Column:
    from pyspark.sql import functions as F

    return F.expr(f"min(CASE WHEN source = {source} THEN {column} END)")


def go_on(
    profiles: DataFrame, old: Snapshot, new: DataFrame, events: DataFrame, features: FeatureSet, snapshot: Snapshot
) -> tuple[DataFrame, dict[str, int]]:
    """All rows of ``profiles`` at a later snapshot, and how many users were touched.

    Args:
        profiles: at the snapshot ``old``.
        old: what they are made from.
        new: the events that ``snapshot`` sees and ``old`` does not.
        events: all events that ``snapshot`` sees.
        features: the declarations.
        snapshot: where to go.
    """
    from pyspark.sql import functions as F

    touched = touched_users(new, profiles, old.cutoff_ms).persist()
    counts = dict(touched.groupBy("anew").count().collect())
    hint = F.broadcast if sum(counts.values()) <= BROADCAST_USERS else lambda rows: rows
    going_on, anew = (hint(touched.where(condition).select("user")) for condition in ("NOT anew", "anew"))
    if counts.get(True):
        new = new.join(anew, "user", "left_anti").unionByName(events.join(anew, "user", "left_semi"))
    base = profiles.join(going_on, "user", "left_semi")
    rest = profiles.join(hint(touched.select("user")), "user", "left_anti")
    rows = rest.unionByName(profiles_of(new, features, snapshot, base))
    return rows, {"users_touched": sum(counts.values()), "users_anew": counts.get(True, 0)}


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
    table = need_table(settings.table(PROFILES), "Run this again.")
    report.rows = int(table.count())
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
    counts: dict[str, int] = {}
    try:
        if built is None:
            rows = profiles_of(events, features, snapshot)
        else:
            profiles = load_table(spark, settings.table(PROFILES), built.version)
            # Held, since Spark would look for what is new again in every query that reads it.
            new = added_since(spark, path, built.snapshot, snapshot).localCheckpoint()
            rows, counts = go_on(profiles, built.snapshot, new, events, features, snapshot)
        base = {"base": built.version} if built else {}
        overwrite(rows, settings.table(PROFILES), snapshot.metadata(features.hash) | base)
    except Exception as error:
        if built is None or not is_vacuumed(error):
            raise
        return _write(spark, settings, features, snapshot, None)
    return counts


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
