"""The archived log: which of its files are new, what they hold, and up to when the archive is complete.

The archiver appends to ``log`` and compaction only rewrites it, so what was added between two versions is in the files
that the older one lacks. A compacted file is read once more; ingest knows its events again by their ids.

What no worker has passed yet is left for the next time: a worker may still give it up. So ``events`` never holds what is a
dead letter later, and no cut-off is ahead of the workers.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
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
EVERY = 1 << 63
"""Such a number after all entries."""


@dataclasses.dataclass(frozen=True)
class NewEntries:
    """What was added to ``log`` since it was last read.

    Attributes:
        version: of ``log``, up to which it is read now.
        files: paths or URLs of the Parquet files.
        watermark_ms: every entry with a smaller ``ingest_ms``, of every partition, is in ``version``, and was passed.
        partitions: how many the log has.
        passed: by partition the last entry that a worker has passed, as one number; none where no worker has ever been.
    """

    version: int
    files: tuple[str, ...]
    watermark_ms: int
    partitions: int
    passed: Mapping[int, int]


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
    known = _read_whole(path, consumed) if consumed is not None else frozenset()
    files = tuple(sorted(set(table.file_uris()) - known))
    return NewEntries(table.version(), files, watermark_ms(table), partitions_of(table), passed_of(table))


def _read_whole(path: str, version: int) -> frozenset[str]:
    """Files of an older version of which nothing was left for later; none where its log is cleaned up, so that all is read
    again."""
    import pyarrow as pa
    from deltalake.exceptions import DeltaError

    try:
        table = open_table(path, version)
    except DeltaError:
        return frozenset()
    if table is None:
        return frozenset()
    left_ms = _left_ms(table)
    if left_ms is None:
        return frozenset(table.file_uris())
    files = pa.table(table.get_add_actions(flatten=True)).select(["path", "max.ingest_ms"]).to_pylist()
    later = {_name(file["path"]) for file in files if file["max.ingest_ms"] is None or file["max.ingest_ms"] >= left_ms}
    return frozenset(uri for uri in table.file_uris() if _name(uri) not in later)


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _left_ms(table: DeltaTable) -> int | None:
    """Time from which on there may be entries that were archived and not passed; None: there are none."""
    archived, passed = _archived(table), passed_of(table)
    behind = [at for p, at in passed.items() if at < archived[p]]
    return min(behind) >> SEQ_BITS if behind else None


def watermark_ms(table: DeltaTable) -> int:
    """Time of the partition that is furthest behind, by archive or worker; 0 while one has nothing archived."""
    passed = passed_of(table)
    return min(min(end, passed.get(p, end)) >> SEQ_BITS for p, end in enumerate(_archived(table)))


def _archived(table: DeltaTable) -> list[int]:
    """The last archived entry of each partition, as one number; 0: there is none."""
    return [table.transaction_version(f"lambent-archiver-{p}") or 0 for p in range(partitions_of(table))]


def passed_of(table: DeltaTable) -> dict[int, int]:
    """The last entry of each partition that a worker has passed, as the archiver found it."""
    found = ((p, table.transaction_version(f"lambent-worker-{p}")) for p in range(partitions_of(table)))
    return {p: at for p, at in found if at is not None}


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


def read_log(spark: SparkSession, new: NewEntries, taxonomy: Taxonomy) -> DataFrame:
    """Rows of ``ROW_COLUMNS`` from the event entries that were passed; control entries and markers are not events."""
    partitions, passed = new.partitions, new.passed

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield admit_entries(batch, taxonomy, partitions, passed)

    entries = spark.read.schema(ddl(LOG_COLUMNS)).parquet(*new.files)
    events = entries.where("kind NOT IN ('c', 'm')").select("partition", "ingest_ms", "seq", "kind", "bytes")
    return events.mapInArrow(read, ddl(ROW_COLUMNS))


def without(rows: DataFrame, refused: DataFrame) -> DataFrame:
    """Rows of the log less the events at places in ``quarantine``, or in ``dead``.

    The worker has refused them, though the door may be wider by now, or has given them up; what is retried enters at a place of
    its own.
    """
    from pyspark.sql import functions as F

    refused = refused.where("origin LIKE 'log/%'").select("origin", "line", "seq").alias("q")
    same = [F.col(f"q.{name}") == F.col(f"r.{name}") for name in ("origin", "line", "seq")]
    return rows.alias("r").join(refused, [*same, F.col("r.event_id").isNotNull()], "left_anti")


def admit_entries(
    entries: pa.RecordBatch, taxonomy: Taxonomy, partitions: int, passed: Mapping[int, int]
) -> pa.RecordBatch:
    """Put each entry that was passed through the door. One of a kind that nobody knows is no event either: the worker counts it
    too."""
    builder = RowBuilder(SOURCE_LIVE)
    columns = (entries.column(name).to_pylist() for name in ("partition", "ingest_ms", "seq", "kind", "bytes"))
    for p, ingest_ms, seq, kind, data in zip(*columns, strict=True):
        if (ingest_ms << SEQ_BITS | seq) > passed.get(p, EVERY):
            continue
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
