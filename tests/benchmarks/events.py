"""A large table ``events`` of a made-up shop: quick to make, with the shape that costs depend on (users, types, sessions)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from lambent.progress import Progress
from lambent.tables import EVENT_COLUMNS
from spark_jobs.rows import arrow_types

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000
BATCH = 1_000_000
TYPES = {"view": 0.7, "search": 0.1, "cart": 0.1, "favourite": 0.04, "purchase": 0.03, "consult": 0.02, "review": 0.01}
SESSION_EVENTS = 6
PRODUCTS, CATEGORIES, BRANDS = 100_000, 500, 2_000


def write_events(path: str, events: int, users: int, days: tuple[int, int] = (0, 60), seed: int = 0) -> None:
    """Append events to the table, with file histories' order: ``ingest_ms`` is ``event_ms``.

    Args:
        path: of the table.
        events: how many.
        users: how many different ones act; some do much more than others.
        days: when.
        seed: names the events too.
    """
    properties = {"delta.enableChangeDataFeed": "true"}
    with Progress("making events", total=events, unit="events") as bar:
        for batch in _batches(events, users, days, np.random.default_rng(seed), f"{seed:x}"):
            write_deltalake(path, pa.Table.from_batches([batch]), mode="append", configuration=properties)
            bar.update(batch.num_rows)


def _batches(
    events: int, users: int, days: tuple[int, int], random: np.random.Generator, prefix: str
) -> Iterator[pa.RecordBatch]:
    names = pa.array([f"{user:022x}" for user in range(users)])
    shares = np.cumsum(random.lognormal(0, 1, users))
    first, last = (START_MS + day * DAY_MS for day in days)
    for start in range(0, events, BATCH):
        n = min(BATCH, events - start)
        sessions = -(-n // SESSION_EVENTS)
        # Sessions by time; a user's events of one session lie together.
        begins = np.sort(random.integers(first, last, sessions))
        who = np.searchsorted(shares, random.random(sessions) * shares[-1])
        session = np.repeat(np.arange(sessions), SESSION_EVENTS)[:n]
        event_ms = begins[session] + random.integers(0, 600_000, n)
        product = (PRODUCTS * random.random(n) ** 3).astype(np.int64)
        columns = {
            "event_id": [f"{prefix}{number:014x}" for number in range(start, start + n)],
            "user": names.take(pa.array(who[session])),
            "type": pa.array(list(TYPES)).take(pa.array(random.choice(len(TYPES), n, p=list(TYPES.values())))),
            "event_ms": event_ms,
            "product": _texts("product", PRODUCTS).take(pa.array(product)),
            "category": _texts("category", CATEGORIES).take(pa.array(product % CATEGORIES)),
            "brand": _texts("brand", BRANDS).take(pa.array(product % BRANDS)),
            "price": 1.0 + product % 997,
            "query": None,
            "dwell_ms": random.integers(1_000, 60_000, n),
            "device": _texts("device", 3).take(pa.array(who[session] % 3)),
            "source": np.zeros(n, np.int8),
            "ingest_ms": event_ms,
            "seq": np.zeros(n, np.int64),
        }
        arrays = []
        for name, kind in arrow_types(EVENT_COLUMNS).items():
            column = columns.get(name)
            arrays.append(
                pa.nulls(n, kind)
                if column is None
                else pa.array(column, kind)
                if not isinstance(column, pa.Array)
                else column
            )
        yield pa.RecordBatch.from_arrays(arrays, names=list(EVENT_COLUMNS))


def _texts(prefix: str, n: int) -> pa.Array:
    return pa.array([f"{prefix}-{number}" for number in range(n)])
