"""Slowly changing dimensions: files say what users and products are as of a time, the tables say over which spans it was so.

A row covers ``[valid_from_ms, valid_to_ms)`` and remembers ``told_ms``, the newest time at which a file has said the same.
So a table is what was said at the two ends of each span, and new statements are put among these in the order of time,
whichever file comes first. The one thing that cannot be placed is another value for a time at which a span was said
to last: what else was said in between is not kept, so it is refused.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.dimensions import SPAN, Dimension
from lambent.facts import Choice
from lambent.features import FeatureSet
from lambent.mapping.statements import Told, load_dimension_mapping, read_statements
from lambent.mapping.validation import without_values
from lambent.settings import Settings
from lambent.tables import CLUSTERED_BY, DROPPED, PRODUCTS, QUARANTINE_COLUMNS, USERS
from spark_jobs.commits import create_clustered, merge
from spark_jobs.files import one_a_task
from spark_jobs.products import publish_products
from spark_jobs.quarantine import Chosen, Outcome, dimension_origin, open_rows, place_of, settle
from spark_jobs.rejections import quarantine_new
from spark_jobs.report import Report
from spark_jobs.rows import BATCH_ROWS, batch_of
from spark_jobs.session import spark_session, told_plainly

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame

JOB = "dimensions"
CONTRADICTS = "as_of"
"""Reason of a statement that says otherwise than another one of the same time."""


def statement_columns(dimension: Dimension) -> Mapping[str, str]:
    """Columns of statements: what is said of whom and as of when; or a rejection of ``QUARANTINE_COLUMNS``."""
    said = {name: kind for name, kind in dimension.columns.items() if name not in SPAN}
    return {**said, "at_ms": "int64", **QUARANTINE_COLUMNS}


# --- pure DataFrame functions ------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Placed:
    """What statements make of a table.

    Attributes:
        changes: rows of the dimension's columns and ``gone``: to be set, or deleted, by key and ``valid_from_ms``.
        refused: statements that contradict what is there.
    """

    changes: DataFrame
    refused: DataFrame


def place(statements: DataFrame, rows: DataFrame, dimension: Dimension) -> Placed:
    """Put statements among the rows of a table.

    Args:
        statements: of ``statement_columns``, without rejections.
        rows: of ``dimension.columns``.
        dimension: whose.
    """
    from pyspark.sql import functions as F

    key = dimension.key
    old = rows.join(statements.select(key).distinct(), key, "left_semi")
    judged = _judge(statements, old, dimension)
    said = judged.where("same").select(key, *dimension.attributes, "at_ms")
    ends = old.withColumn("at_ms", F.explode(F.array("valid_from_ms", "told_ms"))).select(said.columns)
    new = _spans(said.unionByName(ends).dropDuplicates([key, "at_ms"]), dimension)
    return Placed(_changes(new, old, dimension), judged.where("NOT same").select(statements.columns))


def _judge(statements: DataFrame, old: DataFrame, dimension: Dimension) -> DataFrame:
    """Statements with ``same``: whether they say what the table, or else the first of the files, says of that time."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    key, attributes = dimension.key, dimension.attributes
    first = Window.partitionBy(key, "at_ms").orderBy("origin", "line")
    one = statements.withColumn("first", F.first(F.struct(*attributes)).over(first)).alias("s")
    spans = old.select(key, "valid_from_ms", "told_ms", F.struct(*attributes).alias("there")).alias("o")
    within = F.expr(f"s.{key} = o.{key} AND s.at_ms BETWEEN o.valid_from_ms AND o.told_ms")
    same = F.struct(*(f"s.{name}" for name in attributes)).eqNullSafe(F.coalesce("o.there", "s.first"))
    return one.join(spans, within, "left").select("s.*", same.alias("same"))


def _spans(points: DataFrame, dimension: Dimension) -> DataFrame:
    """Rows of the dimension's columns: neighbours in time that say the same become one span."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    key, attributes = dimension.key, dimension.attributes
    in_time = Window.partitionBy(key).orderBy("at_ms")
    now = F.struct(*attributes)
    runs = points.withColumn("begins", (~now.eqNullSafe(F.lag(now).over(in_time))).cast("int"))
    runs = runs.withColumn("span", F.sum("begins").over(in_time))
    ends = [F.min("at_ms").alias("valid_from_ms"), F.max("at_ms").alias("told_ms")]
    spans = runs.groupBy(key, "span").agg(*(F.first(name).alias(name) for name in attributes), *ends)
    following = F.lead("valid_from_ms").over(Window.partitionBy(key).orderBy("valid_from_ms"))
    return spans.withColumn("valid_to_ms", following).select(*dimension.columns)


def _changes(new: DataFrame, old: DataFrame, dimension: Dimension) -> DataFrame:
    """New rows that are not there as they are, and the old ones that are no more (``gone``)."""
    from pyspark.sql import functions as F

    at = [dimension.key, "valid_from_ms"]
    columns = list(dimension.columns)
    changed = new.exceptAll(old.select(columns)).withColumn("gone", F.lit(False))
    gone = old.select(columns).join(new.select(at), at, "left_anti").withColumn("gone", F.lit(True))
    return changed.unionByName(gone)


def count_other(statements: DataFrame, features: FeatureSet) -> dict[str, int]:
    """How many statements have a text of an attribute that the taxonomy does not list, by ``other_`` and the attribute."""
    choices = [fact for fact in features.facts if isinstance(fact, Choice)]
    sums = (f"count_if({fact.sql()} = {1 + len(fact.values)}) AS other_{fact.column}" for fact in choices)
    row = statements.selectExpr(*sums).first()
    return {name: number for name, number in row.asDict().items() if number}


# --- reading files -----------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Source:
    """How files are read: see ``read_statements``."""

    dimension: Dimension
    mapping: Any
    user_key: bytes
    as_of_ms: int | None

    def told(self, path: Path) -> Iterator[Told]:
        """What the rows of a file say."""
        return read_statements(path, self.mapping, self.dimension, self.user_key, self.as_of_ms)

    def batches(self, path: Path) -> Iterator[pa.RecordBatch]:
        """The same as Arrow, of ``statement_columns``."""
        rows: list[dict[str, Any]] = []
        for one in self.told(path):
            rows.append(self._row(dimension_origin(self.dimension.name, path), one))
            if len(rows) >= BATCH_ROWS:
                yield self._batch(rows)
                rows = []
        yield self._batch(rows)

    def _row(self, origin: str, one: Told) -> dict[str, Any]:
        place = {"origin": origin, "line": one.line, "seq": 0}
        if one.statement is not None:
            said = dict(zip(self.dimension.attributes, one.statement.values, strict=True))
            return {self.dimension.key: one.statement.key, "at_ms": one.statement.as_of_ms, **said, **place}
        assert one.rejection is not None
        reason, detail = one.rejection.reason, one.rejection.detail
        return {"reason": reason, "detail": without_values(reason, detail), **place}

    def _batch(self, rows: list[dict[str, Any]]) -> pa.RecordBatch:
        declared = statement_columns(self.dimension)
        return batch_of({name: [row.get(name) for row in rows] for name in declared}, declared)


# --- one run -----------------------------------------------------------------------------------------------------------


def ingest_dimension(
    settings: Settings, dimension: Dimension, paths: Sequence[Path], mapping_name: str, as_of_ms: int | None = None
) -> Report:
    """Put what files say into the table of a dimension. To do so twice adds nothing.

    Args:
        settings: the settings.
        dimension: which.
        paths: files that every executor can read.
        mapping_name: the path of a mapping of that dimension.
        as_of_ms: when the files were so; None where their rows say it.

    Raises:
        DataError: a file cannot be read, or another job has written to the table in the meantime.
        MappingError: the mapping is wrong or does not fit a file.
        UsageError: nothing says when the files were so.
    """
    source = Source(dimension, load_dimension_mapping(mapping_name, dimension), settings.user_key_bytes(), as_of_ms)
    paths = [path.expanduser().resolve() for path in paths]
    for path in paths:
        rows = source.told(path)
        next(rows, None)
        rows.close()  # type: ignore[attr-defined]
    with spark_session(settings, "lambent dimensions") as spark, told_plainly():
        table = settings.table(dimension.name)
        create_clustered(spark, table, dimension.columns, CLUSTERED_BY[dimension.name])
        read = one_a_task(spark, paths, source.batches, statement_columns(dimension)).persist()
        placed = place(read.where("reason IS NULL"), spark.read.format("delta").load(table), dimension)
        try:
            rejected = _refuse(
                settings, read, placed.refused, [dimension_origin(dimension.name, path) for path in paths]
            )
            said = {"files": [str(path) for path in paths], "as_of_ms": as_of_ms}
            counts = merge(placed.changes, table, (dimension.key, "valid_from_ms"), said)
            counts["read"] = read.where("reason IS NULL").count()
            if dimension.name == USERS:
                counts.update(count_other(read, FeatureSet(settings.load_taxonomy())))
        finally:
            read.unpersist()
    if dimension.name == PRODUCTS:
        publish_products(settings)
    counts.update({f"rejected_{reason}": number for reason, number in rejected.items()})
    return Report(JOB, counts["inserted"], counts=counts, facts={"dimension": dimension.name})


def _refuse(settings: Settings, read: DataFrame, refused: DataFrame, origins: Sequence[str]) -> Counter[str]:
    """Put into quarantine what is rejected and is not there, settle what is there and is no more; how many by reason."""
    from pyspark.sql import functions as F

    words = "another statement says otherwise of this time, or of a span that is known to hold it"
    contradicting = refused.withColumns({"reason": F.lit(CONTRADICTS), "detail": F.lit(words)})
    rejected = read.where("reason IS NOT NULL").unionByName(contradicting).select(*QUARANTINE_COLUMNS)
    found = [(row.origin, row.line, row.reason) for row in rejected.toLocalIterator()]
    if found:
        quarantine_new(settings, rejected)
    settle(settings, _mended(settings, origins, {(origin, line) for origin, line, _ in found}))
    return Counter(reason for _, _, reason in found)


def _mended(settings: Settings, origins: Sequence[str], refused: Container[tuple[str, int]]) -> Iterator[Outcome]:
    """Rows of these files that were refused once and, read again, are not."""
    for row in (row for origin in origins for row in open_rows(settings, Chosen(origin=origin))):
        if (row["origin"], row["line"]) not in refused:
            yield Outcome(place_of(row), DROPPED)
