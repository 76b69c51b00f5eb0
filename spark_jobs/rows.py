"""What ingest makes of its input, as Arrow batches: events and rejections side by side, so that nothing is read twice.

A row of ``ROW_COLUMNS`` is an event (``event_id``), a rejection (``reason``), or a count of rows that the mapping drops on
purpose (neither; the count is in ``line``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lambent.events import Event, Rejection
from lambent.tables import EVENT_COLUMNS, QUARANTINE_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

ROW_COLUMNS: Mapping[str, str] = {**EVENT_COLUMNS, **QUARANTINE_COLUMNS}  # ``seq`` is the same in both
BATCH_ROWS = 10_000
_EVENT_FIELDS = {"event_id": "id"} | {
    name: name for name in EVENT_COLUMNS if name not in ("event_id", "source", "ingest_ms", "seq")
}


class RowBuilder:
    """Collects rows and gives them as one batch.

    Args:
        source: where the events come from, see ``lambent.tables``.
    """

    def __init__(self, source: int) -> None:
        self._source = source
        self._clear()

    def _clear(self) -> None:
        self._events: list[tuple[Event, str, int, int, int]] = []
        self._rejections: list[dict[str, Any]] = []

    def __len__(self) -> int:
        return len(self._events) + len(self._rejections)

    def add_event(self, event: Event, origin: str, line: int, ingest_ms: int, seq: int) -> None:
        """One event; ``origin`` and ``line`` say where it was read."""
        self._events.append((event, origin, line, ingest_ms, seq))

    def add_rejection(self, rejection: Rejection, origin: str, line: int, seq: int, raw: bytes | None) -> None:
        """What is not an event, and why."""
        self._rejections.append(
            {
                "origin": origin,
                "line": line,
                "seq": seq,
                "reason": rejection.reason,
                "detail": rejection.detail,
                "raw": raw,
            }
        )

    def add_dropped(self, origin: str, count: int) -> None:
        """How many rows of a file were dropped on purpose."""
        self._rejections.append({"origin": origin, "line": count})

    def batch(self) -> pa.RecordBatch:
        """All rows so far, which the builder then forgets."""
        columns, nothing = self._event_columns(), [None] * len(self._events)
        rows = {name: [*columns.get(name, nothing), *(r.get(name) for r in self._rejections)] for name in ROW_COLUMNS}
        self._clear()
        return batch_of(rows, ROW_COLUMNS)

    def _event_columns(self) -> dict[str, list[Any]]:
        columns = {name: [getattr(row[0], field) for row in self._events] for name, field in _EVENT_FIELDS.items()}
        columns["attributes"] = [None if one is None else list(one.items()) for one in columns["attributes"]]
        columns["source"] = [self._source] * len(self._events)
        for place, name in enumerate(("origin", "line", "ingest_ms", "seq"), start=1):
            columns[name] = [row[place] for row in self._events]
        return columns


def arrow_types(columns: Mapping[str, str]) -> dict[str, pa.DataType]:
    """Arrow's types of declared columns."""
    import pyarrow as pa

    composed = {
        "map<string,string>": pa.map_(pa.string(), pa.string()),
        "list<float>": pa.list_(pa.float32()),
        "list<double>": pa.list_(pa.float64()),
        "list<int64>": pa.list_(pa.int64()),
        "list<int32>": pa.list_(pa.int32()),
        "list<int8>": pa.list_(pa.int8()),
    }
    return {name: composed.get(kind) or pa.type_for_alias(kind) for name, kind in columns.items()}


def lists(values: np.ndarray, lengths: np.ndarray) -> pa.Array:
    """Rows of flat values, ``lengths`` of them each."""
    import pyarrow as pa

    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))


def batch_of(columns: Mapping[str, Any], declared: Mapping[str, str]) -> pa.RecordBatch:
    """Columns as Arrow, of the types that are declared."""
    import pyarrow as pa

    arrays = [_typed(columns[name], kind) for name, kind in arrow_types(declared).items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(declared))


def _typed(column: Any, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    return column.cast(kind) if isinstance(column, pa.Array) else pa.array(column, kind)
