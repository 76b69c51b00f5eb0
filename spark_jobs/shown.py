"""Which catalogue each event is shown with in training: of a file that of its day, live the one in force at its place.

The worker shows an event with what the last control entry before it in its partition has named. That entry is in ``log``,
and so training sees what the worker saw, whatever was built since.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lambent import keys
from lambent.catalogue import KINDS, STEPS, VALUES, Catalogue, read_catalogue
from lambent.control import CatalogueEntry, decode_control
from lambent.encoding import Events
from lambent.errors import DataError
from lambent.settings import Settings
from lambent.tables import LOG, SOURCE_FILE, SOURCE_LIVE
from spark_jobs.catalogue_rows import DAY_MS
from spark_jobs.commits import open_table
from spark_jobs.histories import Histories
from spark_jobs.log import SEQ_BITS, partitions_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

CATALOGUES = 64
"""Catalogues that a task holds at once."""


@dataclasses.dataclass(frozen=True)
class InForce:
    """The catalogues that the log has named.

    Attributes:
        partitions: P.
        places: of each partition the places of its entries, ascending: ``ingest_ms << 20 | seq``.
        entries: of each partition the entries.
        unreadable: how many of them could not be read: they change nothing, as in the worker.
    """

    partitions: int = 1
    places: dict[int, NDArray[np.int64]] = dataclasses.field(default_factory=dict)
    entries: dict[int, list[CatalogueEntry]] = dataclasses.field(default_factory=dict)
    unreadable: int = 0

    @classmethod
    def find(cls, settings: Settings) -> InForce:
        """As the archived log says."""
        import pyarrow.compute as pc

        table = open_table(settings.table(LOG))
        if table is None:
            return cls()
        columns = ["partition", "ingest_ms", "seq", "bytes"]
        rows = table.to_pyarrow_dataset().to_table(columns=columns, filter=pc.field("kind") == "c").to_pylist()
        found, unreadable = cls(partitions_of(table)), 0
        named = [
            (row["partition"], place_of(row["ingest_ms"], row["seq"]), decode_control(row["bytes"])) for row in rows
        ]
        for p, place, entry in sorted(named, key=lambda one: one[:2]):
            if not isinstance(entry, CatalogueEntry):
                continue
            if not _is_readable(entry):
                unreadable += 1
                continue
            found.places[p] = np.append(found.places.get(p, np.zeros(0, np.int64)), place)
            found.entries.setdefault(p, []).append(entry)
        return dataclasses.replace(found, unreadable=unreadable)

    def show(self, histories: Histories, events: Events) -> None:
        """Write into the live events what was known of their product and category.

        Args:
            histories: the users' rows.
            events: [n] the same, encoded; ``known`` is changed in place.
        """
        if not self.entries:
            return
        column = {name: histories.rows.column(name).to_numpy() for name in ("source", "ingest_ms", "seq")}
        names = histories.names.to_pylist()
        partition = np.array([keys.partition(name, self.partitions) for name in names])[histories.user]
        place = place_of(column["ingest_ms"], column["seq"])
        for p, places in self.places.items():
            rows = np.flatnonzero((partition == p) & (column["source"] == SOURCE_LIVE))
            last = np.searchsorted(places, place[rows]) - 1
            for number in np.unique(last[last >= 0]).tolist():
                own = rows[last == number]
                catalogue = _load(self.entries[p][number])
                events["known"][own] = catalogue.known(events["product"][own], events["category"][own])


def place_of(ingest_ms: Any, seq: Any) -> Any:
    """An entry's place in its partition, as one number; of one, or [n]."""
    return ingest_ms << SEQ_BITS | seq


@functools.lru_cache(CATALOGUES)
def _load(entry: CatalogueEntry) -> Catalogue:
    return read_catalogue(Path(entry.path), entry.sha256)


def _is_readable(entry: CatalogueEntry) -> bool:
    try:
        _load(entry)
    except DataError:
        return False
    return True


def with_days(encoded: DataFrame, catalogue: DataFrame) -> DataFrame:
    """Encoded events with ``known_product`` and ``known_category``: of files, what was known at the start of their day.

    Args:
        encoded: as ``snapshot.encoded`` gives them.
        catalogue: of ``tables.CATALOGUE_COLUMNS``.
    """
    from pyspark.sql import functions as F

    rates = ", ".join("_".join(step) for step in STEPS)
    values = f"array({rates}, log1p(popularity), coalesce(usual_price_log, double('NaN')))"
    known = catalogue.selectExpr(
        "datediff(day, DATE'1970-01-01') AS day", "kind", "hash", f"CAST({values} AS ARRAY<FLOAT>) AS known"
    )
    for kind in KINDS:
        of_kind = known.where(f"kind = '{kind}'").selectExpr("day", f"hash AS {kind}", f"known AS known_{kind}")
        own = f"e.{kind} = k.{kind} AND e.source = {SOURCE_FILE} AND e.ingest_ms div {DAY_MS} = k.day"
        encoded = encoded.alias("e").join(of_kind.alias("k"), F.expr(own), "left").select("e.*", f"known_{kind}")
    return encoded


def show_days(histories: Histories, events: Events) -> None:
    """Write into the events what ``with_days`` has joined; ``known`` is changed in place."""
    for place, kind in enumerate(KINDS):
        if f"known_{kind}" in histories.rows.column_names:
            column = histories.rows.column(f"known_{kind}").combine_chunks()
            known = column.is_valid().to_numpy(zero_copy_only=False)
            values = column.drop_null().flatten().to_numpy().reshape(-1, len(VALUES))
            events["known"][known, place * len(VALUES) : (place + 1) * len(VALUES)] = values
