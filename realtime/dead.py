"""What workers gave up: entries of the log that were admitted and could not be folded.

They are archived and then leave their streams, as everything does; whoever asks for all of them asks here.
"""

from __future__ import annotations

from lambent import keys, tables
from lambent.settings import Settings
from realtime import ids
from realtime.commit import Dead
from realtime.history import open_table
from realtime.store import dead_entry
from realtime.stores import FullStore


def read_dead(settings: Settings, store: FullStore, partitions: int) -> dict[int, list[Dead]]:
    """All that was ever given up, by partition, in the order in which it was; also what went in again by a retry, which
    enters the log as a new entry."""
    streams = store.pipe_or_raise(("XRANGE", keys.dead(p), "-", "+") for p in range(partitions))
    # The streams first: what leaves them meanwhile is in the table by then.
    found = _archived(settings)
    for p, raws in enumerate(streams):
        found.setdefault(p, {}).update(map(dead_entry, raws))
    return {p: [own[at] for at in sorted(own, key=ids.parse)] for p, own in found.items()}


def _archived(settings: Settings) -> dict[int, dict[bytes, Dead]]:
    table = open_table(settings, tables.DEAD)
    if table is None:
        return {}
    names = ("partition", "died_ms", "died_seq", "line", "seq", "detail", "raw")
    rows = table.to_pyarrow_dataset().to_table(columns=list(names))
    found: dict[int, dict[bytes, Dead]] = {}
    for p, ms, number, line, seq, reason, data in zip(*(rows[name].to_pylist() for name in names), strict=True):
        found.setdefault(p, {})[ids.form(ms, number)] = Dead(ids.form(line, seq), reason, data)
    return found
