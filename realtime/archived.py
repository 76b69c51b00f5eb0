"""The archived log, read back: where it ends, what it holds, and what it never got."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lambent import keys, tables
from lambent.errors import DataError, StoreError
from lambent.settings import Settings
from realtime import ids
from realtime.archive import OTHER_PARTITIONS
from realtime.history import open_table
from realtime.stores import FullStore

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

ORDER = ("partition", "ingest_ms", "seq")


def refuse_other_partitions(table: DeltaTable | None, partitions: int) -> None:
    """Refuse a log that was archived from a store with another number of partitions.

    Raises:
        DataError: it was.
    """
    made = json.loads(table.metadata().description or "{}").get("partitions") if table else partitions
    if made != partitions:
        raise DataError(f"The table log has {made} partitions, and the store {partitions}.", OTHER_PARTITIONS)


def read_trimmed(store: FullStore, partitions: int) -> dict[int, bytes]:
    """Up to where each stream has been trimmed. To be read before the table: another archiver may append and trim meanwhile."""
    replies = store.pipe_or_raise(("GET", keys.trimmed(p)) for p in range(partitions))
    return {p: trimmed or ids.START for p, trimmed in enumerate(replies)}


def refuse_gap(trimmed: Mapping[int, bytes], archived: Mapping[int, bytes]) -> None:
    """Entries that were trimmed and are not in the table are lost.

    Raises:
        StoreError: there are such.
    """
    for p, end in archived.items():
        if ids.parse(end) < ids.parse(trimmed[p]):
            raise StoreError(
                f"Partition {p} was trimmed up to {trimmed[p].decode()}, but the table log ends at {end.decode()}.",
                "The table is older than the store: restore it, or start with an empty store.",
            )


def raise_ids(store: FullStore, archived: Mapping[int, bytes]) -> dict[int, bytes]:
    """A store that lost its last entries must not give their ids again: a marker with a higher id sees to it.

    Returns:
        The partitions that lost entries, each with the last id that its stream had.
    """
    lost = {}
    for (p, end), last in zip(archived.items(), store.last_ids(list(archived)), strict=True):
        if ids.parse(last) < ids.parse(end):
            ms, seq = ids.parse(end)
            store.call("XADD", keys.events(p), ids.form(ms, seq + 1), "m", "")
            lost[p] = last
    return lost


def count_unseen(settings: Settings, store: FullStore, lost: Mapping[int, bytes]) -> int:
    """How many archived events no worker will see: their streams have lost them before a worker passed them."""
    import pyarrow.dataset as ds

    table = open_table(settings, tables.LOG)
    if table is None:
        return 0
    after = {p: ids.latest(last, at) for (p, last), at in zip(lost.items(), store.positions(lost), strict=True)}
    since_ms = min(map(ids.ingest_ms, after.values()))
    rows = table.to_pyarrow_dataset().to_table(
        columns=[*ORDER], filter=(ds.field("kind") == "e") & (ds.field("ingest_ms") >= since_ms)
    )
    places = zip(*(rows[name].to_pylist() for name in ORDER), strict=True)
    return sum(p in after and (ms, seq) > ids.parse(after[p]) for p, ms, seq in places)


def count_entries(table: DeltaTable | None, partitions: int, since_ms: int) -> list[int]:
    """How many entries of each partition the log took at ``since_ms`` or later."""
    import numpy as np
    import pyarrow.dataset as ds

    if table is None:
        return [0] * partitions
    rows = table.to_pyarrow_dataset().to_table(columns=["partition"], filter=ds.field("ingest_ms") >= since_ms)
    return [int(n) for n in np.bincount(rows["partition"].to_numpy(), minlength=partitions)]


def read_entries(table: DeltaTable | None, partitions: Sequence[int], since_ms: int) -> dict[int, pa.Table]:
    """Entries of some partitions in the log's order: those taken at ``since_ms`` or later, and control entries of any time.

    Returns:
        By partition, where there are any: ``ingest_ms``, ``seq``, ``kind``, ``bytes``.
    """
    import numpy as np
    import pyarrow.dataset as ds

    if table is None:
        return {}
    wanted = (ds.field("ingest_ms") >= since_ms) | (ds.field("kind") == "c")
    rows = table.to_pyarrow_dataset().to_table(
        columns=[*ORDER, "kind", "bytes"], filter=ds.field("partition").isin(list(partitions)) & wanted
    )
    rows = rows.sort_by([(name, "ascending") for name in ORDER])
    own = rows["partition"].to_numpy()
    spans = {p: np.searchsorted(own, [p, p + 1]).tolist() for p in partitions}
    return {p: rows.slice(first, last - first) for p, (first, last) in spans.items() if last > first}


def count_lost(settings: Settings, store: FullStore, archived: Mapping[int, bytes]) -> int:
    """How many events were answered and are in no archive and in no stream: what is known of a loss.

    Intents are archived after the log; those that came in between name events of which nothing else may be left.
    """
    import pyarrow.dataset as ds

    table = open_table(settings, tables.INTENTS)
    if table is None:
        return 0
    ends_ms = {p: ids.ingest_ms(end) for p, end in archived.items()}
    newer = ds.field("ingest_ms") > min(ends_ms.values())
    rows = table.to_pyarrow_dataset().to_table(columns=["partition", "ingest_ms"], filter=newer)
    places = zip(rows["partition"].to_pylist(), rows["ingest_ms"].to_pylist(), strict=True)
    beyond = [(p, ms) for p, ms in places if ms > ends_ms.get(p, ms)]
    found = store.pipe_or_raise(("XRANGE", keys.events(p), ms, ms, "COUNT", 1) for p, ms in beyond)
    return sum(not entries for entries in found)
