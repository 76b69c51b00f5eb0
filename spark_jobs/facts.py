"""What is told of users besides events, from the table ``users``: as facts of profiles, as of a time, and of sessions, as of
when each began.

Who is in the table has a profile, with or without events: so a new member's first session, live, is shown what training shows.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from lambent.facts import Spans, as_of_ms
from lambent.features import FeatureSet
from lambent.settings import Settings
from lambent.tables import USERS
from spark_jobs.commits import load_table
from spark_jobs.histories import Histories
from spark_jobs.snapshot import NO_USERS, Snapshot

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

TOLD = -2
"""``source`` of a row that is no event but what is told of the user: it comes before all else."""


def users_of(spark: SparkSession, settings: Settings, snapshot: Snapshot) -> DataFrame | None:
    """The rows of ``users`` that a snapshot sees; None where there is no such table."""
    if snapshot.users_version == NO_USERS:
        return None
    return load_table(spark, settings.table(USERS), snapshot.users_version)


def facts_at(users: DataFrame, features: FeatureSet, cutoff_ms: int) -> DataFrame:
    """Of everyone in the table ``user`` and ``facts``, as of T; 0 before anything was told.

    Args:
        users: of ``tables.USER_COLUMNS``.
        features: the declarations.
        cutoff_ms: T.
    """
    from pyspark.sql import functions as F

    at_ms = as_of_ms(cutoff_ms)
    holds = f"valid_from_ms <= {at_ms}L AND (valid_to_ms IS NULL OR valid_to_ms > {at_ms}L)"
    facts = users.where(holds).select("user", _facts(features).alias("facts"))
    later = users.where(f"valid_from_ms > {at_ms}L").select("user")
    if later.isEmpty():  # as nearly always: whom nothing is told of yet is found by shuffling all
        return facts
    nothing = F.array(*(F.lit(0) for _ in features.facts)).cast("array<bigint>")
    return facts.unionByName(later.distinct().join(facts, "user", "left_anti").withColumn("facts", nothing))


@dataclasses.dataclass(frozen=True)
class Told:
    """What a build has to know of it.

    Attributes:
        facts: those of everyone, as of the build: see ``facts_at``.
        changed: those of them that are not as the build has them that this one goes on from, or were not there.
    """

    facts: DataFrame
    changed: DataFrame

    @classmethod
    def since(cls, facts: DataFrame, before: DataFrame) -> Told:
        """Facts, and those that there were before."""
        both = facts.alias("now").join(before.alias("was"), "user", "left")
        # Held, since it is read for whom it names, and again for the fold.
        return cls(facts, both.where("NOT now.facts <=> was.facts").select("user", "now.facts").localCheckpoint())


def find_told(
    spark: SparkSession, settings: Settings, features: FeatureSet, new: Snapshot, old: Snapshot | None
) -> Told | None:
    """Of a snapshot, and the one that is gone on from, if any; None where there is no table ``users``."""
    users = users_of(spark, settings, new)
    if users is None:
        return None
    were = users_of(spark, settings, old) if old else None
    facts = facts_at(users, features, new.cutoff_ms)
    if old is None or were is None:
        return Told(facts, facts)
    first, last = sorted(as_of_ms(one.cutoff_ms) for one in (old, new))
    begun = users.where(f"valid_from_ms > {first}L AND valid_from_ms <= {last}L")
    if new.users_version == old.users_version and begun.isEmpty():
        return Told(facts, facts.where("FALSE"))
    return Told.since(facts, facts_at(were, features, old.cutoff_ms))


def _facts(features: FeatureSet) -> Column:
    from pyspark.sql import functions as F

    return F.array(*(F.expr(fact.sql()) for fact in features.facts)).cast("array<bigint>")


def with_facts(rows: DataFrame, facts: DataFrame) -> DataFrame:
    """Rows for the fold with those of ``facts_at`` before them; a user's may come twice."""
    from pyspark.sql import functions as F

    told = facts.select("user", F.lit(TOLD).cast("byte").alias("source"), "facts")
    return rows.unionByName(told, allowMissingColumns=True)


def with_spans(rows: DataFrame, users: DataFrame, features: FeatureSet) -> DataFrame:
    """Rows for the fold with all that was told of their users before them, in the order of time.

    Args:
        rows: encoded events.
        users: of ``tables.USER_COLUMNS``.
        features: the declarations.
    """
    from pyspark.sql import functions as F

    told = users.select(
        "user",
        F.lit(TOLD).cast("byte").alias("source"),
        F.col("valid_from_ms").alias("ingest_ms"),
        _facts(features).alias("facts"),
    )
    return rows.unionByName(told, allowMissingColumns=True)


def take_told(histories: Histories, features: FeatureSet) -> tuple[Histories, Spans | None]:
    """The other rows, and what is told of the users; None where nothing is. Rows of ``facts_at`` hold from 0 on."""
    if "facts" not in histories.rows.column_names:
        return histories, None
    is_told = histories.rows.column("source").to_numpy() == TOLD
    told = histories.where(is_told)
    codes = told.rows.column("facts").combine_chunks().flatten().to_numpy().reshape(-1, len(features.facts))
    from_ms = told.rows.column("ingest_ms").fill_null(0).to_numpy()
    return histories.where(~is_told), Spans(told.user, from_ms, codes)
