"""What is told of users, in Spark: the codes are Python's, and each is as of the time that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.features import FeatureSet
from lambent.settings import Settings
from lambent.tables import USERS
from lambent.taxonomy import UserValues, shop
from spark_jobs.commits import append
from spark_jobs.facts import facts_at, find_told
from spark_jobs.snapshot import Snapshot
from tests.histories import START_MS, told
from tests.law.test_batch_profiles import some_examples
from tests.told import Users, told_at, users_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.law, pytest.mark.spark]

TEXTS = ["18-24", "it's \\ 30", "%_'"]
FEATURES = FeatureSet(msgspec.structs.replace(shop(), users=UserValues(age_band=tuple(TEXTS), gender=("male",))))

some_users: st.SearchStrategy[Users] = st.lists(
    st.dictionaries(st.integers(0, 3).map(lambda n: START_MS + n), told, min_size=1, max_size=4),
    min_size=20, max_size=40,
).map(lambda rows: {f"u{n}": row for n, row in enumerate(rows)})  # fmt: skip


@some_examples
@given(users=some_users)
def test_everyone_in_the_table_has_the_facts_of_the_time(spark: SparkSession, users: Users) -> None:
    table = users_table(spark, users).persist()
    for cutoff_ms in (0, START_MS - 1, START_MS + 1, START_MS + 9):
        found = facts_at(table, FEATURES, cutoff_ms).collect()
        assert len(found) == len(users)
        assert {row.user: row.facts for row in found} == {
            user: [fact.code(said.get(fact.column)) for fact in FEATURES.facts]
            for user, said in told_at(users, cutoff_ms).items()
        }


def test_changed_is_whoever_is_known_otherwise_at_another_cutoff_of_the_same_table(
    spark: SparkSession, settings: Settings
) -> None:
    said = {"a": {1: "male", 9: "x"}, "b": {2: "male", 10: None}, "c": {9: "male", 11: None}}
    users = {user: {ms: {"gender": gender} for ms, gender in own.items()} for user, own in said.items()}
    append(users_table(spark, users), settings.table(USERS), {})

    def changed(old_ms: int, new_ms: int) -> set[str]:
        told = find_told(spark, settings, FEATURES, Snapshot(0, new_ms, 0), Snapshot(0, old_ms, 0))
        assert told is not None
        return {row.user for row in told.changed.collect()}

    assert [changed(4, 8), changed(4, 9), changed(1, 4)] == [set(), {"a", "c"}, {"b"}]
    assert changed(0, 4) == {"a", "b"}  # T 0 sees what is told last: that c is of no gender, as c was before the first
