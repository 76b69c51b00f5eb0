"""The archived log: which of its files are new, what they hold, and up to when the archive is complete.

The archiver appends to ``log`` and compaction only rewrites it, so what was added between two versions is in the files
that the older one lacks. A compacted file is read once more; ingest knows its events again by their ids.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from lambent import keys
from lambent.errors import DataError
from lambent.events import Event, Rejection, admit
from lambent.settings import Settings
from lambent.tables import LOG, LOG_COLUMNS, SOURCE_LIVE
from lambent.taxonomy import Taxonomy
from spark_jobs.commits import ddl, open_table
from spark_jobs.rows import ROW_COLUMNS, RowBuilder

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame, SparkSession

SEQ_BITS = 20
"""An archiver's transaction version is ``ingest_ms << 20 | seq`` of the partition's last archived entry."""


@dataclasses.dataclass(frozen=True)
class NewEntries:
    """What was added to ``log`` since it was last read.

    Attributes:
        version: of ``log``, up to which it is read now.
        files: paths or URLs of the Parquet files.
        watermark_ms: every entry with a smaller ``ingest_ms``, of every partition, is in ``version``.
        partitions: how many the log has.
    """

    version: int
    files: tuple[str, ...]
    watermark_ms: int
    partitions: int


def find_new(settings: Settings, consumed: int | None) -> NewEntries | None:
    """What was added to ``log`` after version ``consumed`` (None: nothing is read yet); None if there is no log yet.

    Raises:
        DataError: there was a log, and it is gone.
    """
    path = settings.table(LOG)
    table = open_table(path)
    if table is None and consumed is not None:
        remedy = "Restore it, or set LAMBENT_TABLES to where it is: a new one would begin with another watermark."
        raise DataError(f"There is no table {path}, of which version {consumed} was ingested.", remedy)
    if table is None:
        return None
    known = _files_of(path, consumed) if consumed is not None else frozenset()
    files = tuple(sorted(set(table.file_uris()) - known))
    return NewEntries(table.version(), files, watermark_ms(table), partitions_of(table))


def _files_of(path: str, version: int) -> frozenset[str]:
    """Files of an older version; none where its log is cleaned up, so that all is read again."""
    from deltalake.exceptions import DeltaError

    try:
        table = open_table(path, version)
    except DeltaError:
        return frozenset()
    return frozenset(table.file_uris()) if table else frozenset()


def watermark_ms(table: DeltaTable) -> int:
    """Time of the partition that is furthest behind; 0 while one has nothing archived."""
    entries = (table.transaction_version(f"lambent-archiver-{p}") for p in range(partitions_of(table)))
    return min((entry or 0) >> SEQ_BITS for entry in entries)


def partitions_of(table: DeltaTable) -> int:
    """How many partitions the log has, as the archiver wrote it when it made the table.

    Raises:
        DataError: the table does not say.
    """
    metadata = table.metadata()
    try:
        described = json.loads(metadata.description or "{}").get("partitions")
        return int(metadata.configuration.get("lambent.partitions") or described)
    except (TypeError, ValueError, AttributeError) as error:
        remedy = 'Its description has to be JSON such as {"partitions": 64}; the archiver writes it.'
        raise DataError("The table log does not say how many partitions there are.", remedy) from error


def read_log(spark: SparkSession, files: Iterable[str], taxonomy: Taxonomy, partitions: int) -> DataFrame:
    """Rows of ``ROW_COLUMNS`` from the event entries; control entries and markers are not events."""

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield admit_entries(batch, taxonomy, partitions)

    entries = spark.read.schema(ddl(LOG_COLUMNS)).parquet(*files)
    events = entries.where("kind NOT IN ('c', 'm')").select("partition", "ingest_ms", "seq", "kind", "bytes")
    return events.mapInArrow(read, ddl(ROW_COLUMNS))


def still_refused(rows: DataFrame, quarantine: DataFrame) -> DataFrame:
    """Rows of the log less the events at quarantined places.

    The worker has refused them, though the door may be wider by now; what is retried enters at a place of its own.
    """
    from pyspark.sql import functions as F

    refused = quarantine.where("origin LIKE 'log/%'").select("origin", "line", "seq").alias("q")
    same = [F.col(f"q.{name}") == F.col(f"r.{name}") for name in ("origin", "line", "seq")]
    return rows.alias("r").join(refused, [*same, F.col("r.event_id").isNotNull()], "left_anti")


def admit_entries(entries: pa.RecordBatch, taxonomy: Taxonomy, partitions: int) -> pa.RecordBatch:
    """Put each entry through the door. One of a kind that nobody knows is no event either: the worker counts it too."""
    builder = RowBuilder(SOURCE_LIVE)
    columns = (entries.column(name).to_pylist() for name in ("partition", "ingest_ms", "seq", "kind", "bytes"))
    for p, ingest_ms, seq, kind, data in zip(*columns, strict=True):
        admitted, origin = admit(data, taxonomy), f"log/{p}"
        if kind != "e":
            admitted = Rejection("kind", f"the entry's field is {kind[:40]!r}; that of an event is 'e'")
        if isinstance(admitted, Event) and keys.partition(admitted.user, partitions) != p:
            admitted = Rejection("partition", "the user belongs to another partition")
        if isinstance(admitted, Event):
            builder.add_event(admitted, origin, ingest_ms, ingest_ms, seq)
        else:
            builder.add_rejection(admitted, origin, ingest_ms, seq, data)
    return builder.batch()
