"""The law's batch half over generated histories: Spark's profiles are the oracle's, and the fold's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lambent import oracle
from lambent.encoding import encode_events
from lambent.features import shop_features
from lambent.fold import FoldState, fold
from lambent.law import differs
from lambent.profile import Profiles
from spark_jobs.ingest import first_copies
from spark_jobs.profiles import profiles_of
from spark_jobs.snapshot import included
from tests.batch_rows import Log, as_files, collected, oracle_profiles, renamed, rows_of, stacked
from tests.histories import START_MS, logs

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
    for _ in fold(FEATURES, state, np.array([users.index(e.user) for e, _ in distinct]), events):
        pass
    whole = FEATURES.profile.merge(state.base, state.tile)
    return {user: whole[n : n + 1] for n, user in enumerate(users)}


@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[
        Phase.explicit,
        Phase.reuse,
        Phase.generate,
    ],  # to shrink costs a Spark job a step, and the message says it all
)
@given(
    histories=st.lists(cut_logs, min_size=HISTORIES, max_size=HISTORIES),
    cutoff=st.sampled_from([60_000, 30 * 86_400_000, 2_000 * 86_400_000]),
)
def test_spark_gives_every_user_the_profile_of_the_oracle_and_of_the_fold(
    spark: SparkSession, histories: list[tuple[Log, int]], cutoff: int
) -> None:
    whole = [(renamed(log, n), cut) for n, (log, cut) in enumerate(histories)]
    files = [one for log, cut in whole for one in as_files(log[:cut])]
    live = [one for log, cut in whole for one in log[cut:]]
    before = [one for one in live if one[1] < START_MS + cutoff]

    distinct = first_copies(spark.createDataFrame(rows_of(files, live)), None)
    users, found = collected(FEATURES, profiles_of(included(distinct, START_MS + cutoff), FEATURES))

    for expected in (oracle_profiles(FEATURES, files + before), folded(files + before)):
        assert users == sorted(expected)
        wrong = differs(FEATURES.profile, found, stacked(FEATURES, expected, users), stored=False)
        assert not {name: np.array(users)[rows] for name, rows in wrong.items() if rows.any()}
