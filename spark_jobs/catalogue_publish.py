"""Publishes the newest day of ``catalogue``: a file that each worker loads, and an entry in each partition's log from
which on it counts. Without Spark.
"""

from __future__ import annotations

from lambent import keys
from lambent.catalogue import write_catalogue
from lambent.control import CatalogueEntry, encode_control
from lambent.errors import DataError
from lambent.settings import Settings
from lambent.tables import CATALOGUE
from spark_jobs.catalogue import newest_day
from spark_jobs.catalogue_rows import to_catalogue
from spark_jobs.commits import need_table
from spark_jobs.report import Report, Stopwatch, keep
from spark_jobs.store import connected, meet_store

JOB = "publish_catalogue"
FOLDER = "catalogue"
"""Of the files, below the artifacts' root."""


def publish_catalogue(settings: Settings) -> Report:
    """Publish the newest day, and keep the report. What is published already is not announced again.

    Raises:
        DataError: no day is built.
        StoreError: the store cannot be reached.
    """
    import pyarrow.compute as pc

    watch = Stopwatch()
    table = need_table(settings.table(CATALOGUE), "Build it first: lambent batch catalogue.")
    day = newest_day(settings)
    if day is None:
        raise DataError("No day of the catalogue is built.", "Build it first: lambent batch catalogue.")
    rows = to_catalogue(table.to_pyarrow_dataset().to_table(filter=pc.field("day") == day))
    path, sha256 = write_catalogue(settings.artifacts_root / FOLDER, str(day), rows)
    told = announce(settings, CatalogueEntry(str(day), str(path), sha256))
    report = Report(JOB, len(rows), watch.seconds, {"partitions_told": told}, {"day": str(day), "sha256": sha256})
    keep(settings, report)
    return report


def announce(settings: Settings, entry: CatalogueEntry) -> int:
    """Append the entry to every partition's log, unless it was the last that was announced; to how many.

    A run that dies half-way is repeated: the same entry twice does no harm.
    """
    data = encode_control(entry)
    with connected(settings) as store:
        partitions = meet_store(store, settings)
        if store.hget(keys.META, "catalogue") == data:
            return 0
        pipeline = store.pipeline(transaction=False)
        for p in range(partitions):
            pipeline.xadd(keys.events(p), {"c": data})
        pipeline.execute()
        store.hset(keys.META, "catalogue", data)
    return partitions
