"""Users of whom something is new: which they are, and the rows of ``profiles`` that the fold goes on from.

Spark says which users are in the new events. Their rows are looked up in Python, file by file: Parquet gives single columns
of a table as wide as ``profiles`` in a fraction of the time that it takes Spark to plan to read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from lambent.codec import pack
from lambent.features import FeatureSet, feature_set
from lambent.tables import SOURCE_FILE, SOURCE_LIVE, profile_columns
from spark_jobs.by_file import file_numbers, files_of
from spark_jobs.commits import ddl
from spark_jobs.newest import KEY, KEYS_AT_ONCE, STAMP, NewestRows, Stamps
from spark_jobs.profile_rows import file_batches, from_arrow
from spark_jobs.rows import batch_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession

BASE = -1
"""``source`` of a row that is no event but the profile from which the fold goes on: it comes before all events."""
BASE_COLUMNS = {"user": "string", "source": "int8", "base": "binary", "base_source": "int8"}
"""A profile that is gone on from, packed as tiles are, which keeps each number as it is in a fifth of the bytes; and the
largest source of what it was folded from."""
ROWS_AT_ONCE = 8_192


def find_new(events: DataFrame, told: DataFrame | None = None) -> pa.Table:
    """The users of new events, [n] ``user``, with the first time of what came from a file, and of what is live; and those
    of whom something else is ``told``.
    """
    found = events.groupBy("user").agg(
        _least(SOURCE_FILE, "event_ms").alias("file_ms"), _least(SOURCE_LIVE, "ingest_ms").alias("live_ms")
    )
    return (found if told is None else found.join(told.select("user"), "user", "full_outer")).toArrow()


def _least(source: int, column: str) -> Column:
    from pyspark.sql import functions as F

    return F.expr(f"min(CASE WHEN source = {source} THEN {column} END)")


def find_touched(found: pa.Table, rows: NewestRows, cutoff_ms: int) -> pa.Table:
    """Those users with ``KEY`` of the row that there is of them, if any, and whether they are folded ``anew``.

    Args:
        found: as ``find_new`` gives it.
        rows: of the last build.
        cutoff_ms: of the last build.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = [*KEY, "clock_ms", "source"]
    kinds = [pa.string(), *[pa.int64()] * len(STAMP), pa.int64(), pa.int8()]
    own = [
        batch.filter(pc.is_in(batch.column("user"), value_set=found.column("user")))
        for batch in rows.batches(names, KEYS_AT_ONCE)
    ]
    known = pa.Table.from_batches(own, pa.schema(list(zip(names, kinds, strict=True))))
    touched = found.join(known, "user", join_type="left outer")
    begun, precedes = pc.equal(touched["source"], SOURCE_LIVE), pc.less_equal(touched["file_ms"], touched["clock_ms"])
    behind = pc.and_(pc.is_valid(touched["file_ms"]), pc.or_kleene(begun, precedes))
    late = pc.less(touched["live_ms"], cutoff_ms)
    anew = pc.and_(pc.is_valid(touched["source"]), pc.fill_null(pc.or_kleene(behind, late), False))
    return touched.select([*KEY]).append_column("anew", anew)


def base_rows(spark: SparkSession, path: str, version: int, stamps: Stamps, features: FeatureSet) -> DataFrame:
    """The profiles that the fold goes on from, as ``BASE_COLUMNS``.

    Args:
        spark: the session.
        path: of the table.
        version: of the table.
        stamps: of the rows.
        features: the declarations.
    """
    taxonomy, aggregates = features.taxonomy, features.profile.aggregates

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        own = feature_set(taxonomy, aggregates)
        for file in files_of(path, version, batches):
            yield from _bases(own, file, stamps)

    return file_numbers(spark, path, version).mapInArrow(read, ddl(BASE_COLUMNS))


def _bases(features: FeatureSet, file: Any, stamps: Stamps) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    names = [name for name in profile_columns(features.profile) if name != "features"]
    for batch in file_batches(file, names, None, ROWS_AT_ONCE):
        rows = batch.filter(stamps.name(batch, others=False))
        columns = {
            "user": rows.column("user"),
            "source": pa.repeat(BASE, rows.num_rows),
            "base": pack(features.profile, from_arrow(features, rows), double=True),
            "base_source": rows.column("source"),
        }
        yield batch_of(columns, BASE_COLUMNS)
