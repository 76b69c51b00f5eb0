"""The law's batch half over generated histories: Spark's profiles are the oracle's, and the fold's."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lambent import oracle
from lambent.encoding import encode_events
from lambent.features import shop_features
from lambent.fold import FoldState, fold, merge
from lambent.law import differs
from lambent.profile import Profiles
from lambent.tables import EVENT_COLUMNS
from spark_jobs import compact
from spark_jobs.builds import Built
from spark_jobs.commits import need_table, open_table
from spark_jobs.facts import Told, facts_at
from spark_jobs.ingest import first_copies
from spark_jobs.profiles import target_of, write_all, write_touched
from spark_jobs.snapshot import Snapshot, included
from tests.batch_rows import Log, as_files, built_profiles, oracle_profiles, renamed, rows_of, stacked
from tests.histories import START_MS, USERS, logs, told
from tests.told import Users, told_at, users_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.law, pytest.mark.spark]

FEATURES = shop_features()
HISTORIES = 30  # in one Spark job, which costs as much for one

cut_logs = st.tuples(logs(), st.integers(0, 12))
"""A log, and how many of its first events come from a file."""


def folded(log: Log) -> dict[str, Profiles]:
    """Each user's profile by the worker's own fold."""
    distinct = oracle.distinct(log)
    users = sorted({event.user for event, _ in distinct})
    if not users:
        return {}
    state = FoldState.identity(FEATURES, len(users))
    events = encode_events([e for e, _ in distinct], [ms for _, ms in distinct], FEATURES.taxonomy)
    fold(FEATURES, state, np.array([users.index(e.user) for e, _ in distinct]), events)
    whole = merge(FEATURES, state.base, state.tile)
    return {user: whole[n : n + 1] for n, user in enumerate(users)}


def cut(histories: list[tuple[Log, int]]) -> tuple[Log, Log]:
    """All histories in one: what comes from files, and what is live."""
    whole = [(renamed(log, n), cut) for n, (log, cut) in enumerate(histories)]
    return [one for log, cut in whole for one in as_files(log[:cut])], [one for log, cut in whole for one in log[cut:]]


def assert_are(path: str, expected: dict[str, Profiles]) -> None:
    users, profiles = built_profiles(FEATURES, path)
    assert users == sorted(expected)
    wrong = differs(FEATURES.profile, profiles, stacked(FEATURES, expected, users), stored=False)
    assert not {name: np.array(users)[rows] for name, rows in wrong.items() if rows.any()}


some_examples = settings(
    max_examples=3,
    suppress_health_check=list(HealthCheck),
    phases=[
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ],  # to shrink costs a Spark job a step, and the message says it all
)
some_histories = st.lists(cut_logs, min_size=HISTORIES, max_size=HISTORIES)
cutoffs = st.sampled_from([0, 60_000, 30 * 86_400_000, 2_000 * 86_400_000])
NO_LIVE = -START_MS
"""As a cut-off: T is 0."""
Statements = list[tuple[int, str, int, int, dict[str, Any]]]
statements: st.SearchStrategy[Statements] = st.lists(
    st.tuples(
        st.integers(0, HISTORIES),  # users of the last have no events
        st.sampled_from(USERS),
        st.sampled_from([-1, 0, 59_999, 60_000, 30 * 86_400_000 + 1, 3_000 * 86_400_000]),
        st.integers(0, 3),
        told,
    ),
    min_size=60,
    max_size=120,
)
"""What is told of users: whose, as of when, and which step's file says so."""


def users_at(statements: Statements, version: int) -> Users:
    """The table ``users`` at a step."""
    users: Users = {}
    for number, user, from_ms, said_at, said in statements:
        if said_at <= version:
            users.setdefault(f"{number}-{user}", {}).setdefault(START_MS + from_ms, said)
    return users


@some_examples
@given(histories=some_histories, cutoff=cutoffs)
def test_spark_gives_every_user_the_profile_of_the_oracle_and_of_the_fold(
    spark: SparkSession, histories: list[tuple[Log, int]], cutoff: int
) -> None:
    files, live = cut(histories)
    before = [one for one in live if one[1] < START_MS + cutoff]

    distinct = first_copies(spark.createDataFrame(rows_of(files, live)), None)
    with tempfile.TemporaryDirectory() as path:
        write_all(path, included(distinct, START_MS + cutoff), FEATURES, Snapshot(0, START_MS + cutoff))

        assert_are(path, oracle_profiles(FEATURES, files + before))
        assert_are(path, folded(files + before))


@some_examples
@given(
    histories=some_histories,
    steps=st.lists(st.tuples(st.integers(0, 3), cutoffs | st.just(NO_LIVE)), min_size=1, max_size=3),
    whole=st.sampled_from([0, 1, 2]),
    seed=st.integers(0, 9),
    statements=statements,
)
def test_going_on_from_any_snapshot_to_any_later_one_gives_what_a_full_build_gives(
    spark: SparkSession,
    histories: list[tuple[Log, int]],
    steps: list[tuple[int, int]],
    whole: int,
    seed: int,
    statements: Statements,
) -> None:
    """Files arrive in up to four parts, in no order of time, and so does what is told of users, the cut-off moves on with
    each step; one step leaves one row a user.
    """
    files, live = cut(histories)
    rows = first_copies(spark.createDataFrame(rows_of(files, live)), None)
    # Which step brings a row: a file's at random, a live one's with the rest of its log.
    table = rows.selectExpr(
        "*", f"CASE WHEN source = 0 THEN abs(hash(event_id, {seed})) % 4 ELSE 0 END AS version"
    ).persist()
    steps = list(zip(sorted(version for version, _ in steps), sorted(ms for _, ms in steps), strict=True))
    with tempfile.TemporaryDirectory() as path:
        for step, (version, cutoff) in enumerate(steps):
            snapshot = Snapshot(version, START_MS + cutoff, version)
            events = included(table.where(f"version <= {version}"), snapshot.cutoff_ms).drop("version")
            users = users_at(statements, version)
            facts = facts_at(users_table(spark, users), FEATURES, snapshot.cutoff_ms)
            built = Built.find(open_table(path))
            if built is None:
                write_all(path, events, FEATURES, snapshot, facts)
            elif built.snapshot != snapshot:
                old = built.snapshot
                told_before = users_table(spark, users_at(statements, old.users_version))
                told = Told.since(facts, facts_at(told_before, FEATURES, old.cutoff_ms))
                seen = included(table.where(f"version <= {old.events_version}"), old.cutoff_ms)
                new = events.join(seen, "event_id", "left_anti").select(*EVENT_COLUMNS)
                write_touched(path, built, new, events, FEATURES, snapshot, told)
            if step == whole:
                with mock.patch.object(compact, "APPENDS", 0):
                    compact.compact_if_due(spark, target_of(path, FEATURES))
                assert need_table(path, "").count() == len(built_profiles(FEATURES, path)[0])

            seen_ids = set(events.select("event_id").toArrow().column("event_id").to_pylist())
            expected = [one for one in oracle.distinct(files + live) if one[0].id in seen_ids]
            assert_are(path, oracle_profiles(FEATURES, expected, told_at(users, snapshot.cutoff_ms)))
