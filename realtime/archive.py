"""A Delta table to which streams are appended, exactly once.

Each commit carries, for every partition in it, an application transaction whose version is the id of the last archived
entry. So the table itself says where to go on, and a crash at any point repeats and loses nothing. deltalake would append
again under a version that is already there: look before each write. Writers that look at the same time conflict.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from lambent.errors import DataError, FencedError, UnwritableError
from lambent.events import Intent
from lambent.tables import DEAD_COLUMNS, INTENT_COLUMNS, LOG_COLUMNS
from realtime import ids
from realtime.store import DeadEntry, Entry

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

DAY_MS = 86_400_000
PASSED = "lambent-worker"
"""What transactions of ``log`` are called that say how far the workers were: whatever they gave up until there is in ``dead``."""
OTHER_PARTITIONS = (
    "Set LAMBENT_PARTITIONS to what the table has: the log and the quarantine know an entry by its partition, so another "
    "number needs a store and tables of its own, which begin with the history that you have as files."
)
_decode_intents = msgspec.json.Decoder(list[Intent]).decode


class Archive:
    """One table. Create it with the table's folder or URL.

    Args:
        path: where the table lies; it is made where there is none.
        columns: its columns, by Arrow's names.
        application: what its transactions are called before ``-{p}``.
        partitions: P.

    Raises:
        DataError: the table was made for another number of partitions.
        UnwritableError: it cannot be made or read just now.
    """

    def __init__(self, path: str, columns: Mapping[str, str], application: str, partitions: int) -> None:
        self._path, self._application, self._partitions = path, application, partitions
        self.schema = arrow_schema(columns)
        self.positions: dict[int, bytes] = {}
        self.reopen()

    def reopen(self) -> None:
        """Read the table's last version and where it ends in each stream."""
        from deltalake import DeltaTable

        description = json.dumps({"partitions": self._partitions})
        with writing(self._path):
            DeltaTable.create(
                self._path, schema=self.schema, mode="ignore", partition_by=["day"], description=description
            )
            self._table = DeltaTable(self._path)
        made = self._table.metadata().description
        if made != description:
            raise DataError(f"{self._path} was made with {made}; the store has {description}.", OTHER_PARTITIONS)
        self.positions = self._look()

    def _look(self) -> dict[int, bytes]:
        self._version = self._table.version()
        return read_ends(self._table, self._application, self._partitions)

    def append(self, rows: pa.Table, ends: Mapping[int, bytes], passed: Mapping[int, bytes] | None = None) -> None:
        """Append rows; ``ends`` is the id of each partition's last entry among them. All of it or nothing.

        ``passed`` is noted beside: how far the workers were.

        Raises:
            FencedError: another archiver has appended; call ``reopen`` and read again.
            UnwritableError: there is no room; call ``reopen``, which says what has been appended after all.
        """
        from deltalake import CommitProperties, Transaction, write_deltalake

        self._refuse_moved()
        marks = [Transaction(f"{self._application}-{p}", ids.to_version(end)) for p, end in ends.items()]
        marks += [Transaction(f"{PASSED}-{p}", ids.to_version(at)) for p, at in (passed or {}).items()]
        with writing(self._path):
            # A table of an earlier version gets the columns that it lacks.
            write_deltalake(
                self._table, rows, mode="append", schema_mode="merge",
                commit_properties=CommitProperties(app_transactions=marks),
            )  # fmt: skip
        self._version = self._table.version()
        self.positions |= ends

    def _refuse_moved(self) -> None:
        """Reading all transactions takes a while: only when the table has a version that is not ours."""
        if self._table.version() != self._version and self._look() != self.positions:
            raise FencedError(f"{self._path}: another archiver has appended to it.")


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turn deltalake's errors into ours.

    Raises:
        FencedError: another writer was first.
        UnwritableError: anything else that kept the table from being written.
    """
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError as error:
        raise FencedError(f"{path}: another archiver was first ({error}).") from error
    except (OSError, DeltaError) as error:
        remedy = "Make room there, or mend its permissions; until then the log waits in the store, and nothing is lost."
        raise UnwritableError(f"The table {path} cannot be written ({_plain(str(error))}).", remedy) from error


def _plain(message: str) -> str:
    """One line without a terminal's colours, which deltalake puts into its messages."""
    return " ".join(re.sub(r"\x1b\[[\d;]*m|↳", "", message).split())


def arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """Arrow's schema of a table's columns."""
    import pyarrow as pa

    nested = {"map<string,double>": pa.map_(pa.string(), pa.float64()), "list<string>": pa.list_(pa.string())}
    return pa.schema([(name, nested.get(kind) or pa.type_for_alias(kind)) for name, kind in columns.items()])


def read_ends(table: DeltaTable | None, application: str, partitions: int) -> dict[int, bytes]:
    """The id of each partition's last entry that is in the table, as its transactions say it."""
    names = {p: f"{application}-{p}" for p in range(partitions)}
    return {p: ids.from_version(table.transaction_version(name) if table else None) for p, name in names.items()}


def log_rows(found: Mapping[int, Sequence[Entry]], schema: pa.Schema) -> pa.Table:
    """Rows of the table ``log``: one an entry."""
    flat = [
        (p, *ids.parse(entry_id), kind.decode(errors="replace"), data)
        for p, own in found.items()
        for entry_id, kind, data in own
    ]
    partition, ms, seq, kind, data = zip(*flat, strict=True)
    columns = {"partition": partition, "ingest_ms": ms, "seq": seq, "kind": kind, "bytes": data}
    return _table(columns, ms, schema)


def intent_rows(found: Mapping[int, Sequence[Entry]], schema: pa.Schema) -> pa.Table:
    """Rows of the table ``intents``: one an intent."""
    flat = [
        (p, *ids.parse(entry_id), intent)
        for p, own in found.items() for entry_id, _, data in own for intent in _decode_intents(data)
    ]  # fmt: skip
    columns: dict[str, Any] = {
        "partition": [p for p, _, _, _ in flat],
        "committed_ms": [ms for _, ms, _, _ in flat],
        "seq": [seq for _, _, seq, _ in flat],
        "probabilities": [list(intent.probabilities.items()) for _, _, _, intent in flat],
    }
    for name in ("user", "event_id", "event_ms", "ingest_ms", "model", "cutoff_ms", "actions", "session_events"):
        columns[name] = [getattr(intent, name) for _, _, _, intent in flat]
    columns["arm"] = [intent.arm or None for _, _, _, intent in flat]
    shadows = [intent.shadow for _, _, _, intent in flat]
    columns["shadow_model"] = [one and one.model for one in shadows]
    columns["shadow"] = [one and list(one.probabilities.items()) for one in shadows]
    return _table(columns, columns["committed_ms"], schema)


def dead_rows(found: Mapping[int, Sequence[DeadEntry]], schema: pa.Schema) -> pa.Table:
    """Rows of the table ``dead``: one an entry that was given up."""
    flat = [(p, *ids.parse(died), *ids.parse(one.id), one) for p, own in found.items() for died, one in own]
    columns: dict[str, Any] = {
        "partition": [p for p, *_ in flat],
        "died_ms": [ms for _, ms, *_ in flat],
        "died_seq": [seq for _, _, seq, *_ in flat],
        "origin": [f"log/{p}" for p, *_ in flat],
        "line": [ms for _, _, _, ms, *_ in flat],
        "seq": [seq for _, _, _, _, seq, _ in flat],
        "reason": [one.reason.partition(":")[0] for *_, one in flat],
        "detail": [one.reason for *_, one in flat],
        "raw": [one.data for *_, one in flat],
        "became": [None] * len(flat),
    }
    return _table(columns, columns["died_ms"], schema)


def _table(columns: Mapping[str, Any], ms: Sequence[int], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    days = pa.array([at // DAY_MS for at in ms], pa.int32()).cast(pa.date32())
    arrays = {name: pa.array(values, schema.field(name).type) for name, values in columns.items()} | {"day": days}
    return pa.table([arrays[name] for name in schema.names], schema=schema)


LOG = (LOG_COLUMNS, "lambent-archiver", log_rows)
DEAD = (DEAD_COLUMNS, "lambent-dead", dead_rows)
INTENTS = (INTENT_COLUMNS, "lambent-intents", intent_rows)
