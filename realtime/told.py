"""What is told of users besides events, from the table ``users``, by the rules by which batch writes it into profiles."""

from __future__ import annotations

from collections.abc import Collection

from lambent import tables
from lambent.facts import as_of_ms
from lambent.features import FeatureSet
from lambent.settings import Settings
from realtime.history import open_table


def read_told(
    settings: Settings, features: FeatureSet, users: Collection[str], cutoff_ms: int, version: int | None = None
) -> dict[str, list[int]]:
    """The facts of those users of whom something is told.

    Args:
        settings: say where the table is.
        features: the feature set.
        users: whom to look for.
        cutoff_ms: T of the profiles.
        version: of the table; None: the newest.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    table = open_table(settings, tables.USERS, version)
    if table is None or not users:
        return {}
    at_ms, until = as_of_ms(cutoff_ms), ds.field("valid_to_ms")
    holds = (ds.field("valid_from_ms") <= at_ms) & (until.is_null() | (until > at_ms))
    wanted = ds.field("user").isin(pa.array(sorted(users), pa.string()))
    columns = ["user", *(fact.column for fact in features.facts)]
    rows = table.to_pyarrow_dataset().to_table(columns=columns, filter=holds & wanted).to_pylist()
    return {row["user"]: [fact.code(row[fact.column]) for fact in features.facts] for row in rows}
