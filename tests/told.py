"""The table ``users``, for tests."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from lambent.facts import as_of_ms
from lambent.tables import USER_COLUMNS
from spark_jobs.commits import ddl

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Users = dict[str, dict[int, dict[str, Any]]]
"""What is told of users, by when that began."""


def told_at(users: Users, cutoff_ms: int) -> dict[str, dict[str, Any]]:
    """Of everyone what was told last at a snapshot's cut-off; nothing where that was later."""
    at_ms = as_of_ms(cutoff_ms)
    return {
        user: own[max(known)] if (known := [ms for ms in own if ms <= at_ms]) else {} for user, own in users.items()
    }


def users_table(spark: SparkSession, users: Users) -> DataFrame:
    """``tables.USER_COLUMNS``: spans, each up to the user's next."""
    rows = []
    for user, own in users.items():
        for ms, until_ms in itertools.zip_longest(sorted(own), sorted(own)[1:]):
            span = {"valid_from_ms": ms, "valid_to_ms": until_ms, "told_ms": (until_ms or ms + 2) - 1}
            rows.append({"user": user, **own[ms], **span})
    return spark.createDataFrame([tuple(map(row.get, USER_COLUMNS)) for row in rows], ddl(USER_COLUMNS))
