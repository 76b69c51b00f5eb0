"""A large table ``events`` of a made-up shop: quick to make, with the shape that costs depend on.

A session of six events has 1.9 categories, 3.2 brands and 5.4 products, half of them what the user likes: between REES46's
1.5, 2.2 and 4.0 and Taobao's 3.1 categories and 5.6 products. The mean user does 1.7 times what the median one does; 1.9 and 1.4
times there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from lambent.keys import pseudonym
from lambent.progress import Progress
from lambent.tables import EVENT_COLUMNS
from spark_jobs.rows import arrow_types

START_MS = 1_700_000_000_000
DAY_MS = 86_400_000
BATCH = 1_000_000
TYPES = {"view": 0.7, "search": 0.1, "cart": 0.1, "favourite": 0.04, "purchase": 0.03, "consult": 0.02, "review": 0.01}
SESSION_EVENTS = 6
CATEGORIES, BRANDS = 500, 2_000
PRODUCTS = 200 * CATEGORIES
BRANDS_OF_CATEGORY = 2
LIKED, LIKES = 4, 0.5
"""Categories that a user likes, and the share of what the user looks at that is of them."""


def write_events(path: str, events: int, users: int, days: tuple[int, int] = (0, 60), seed: int = 0) -> None:
    """Append events to the table, with file histories' order: ``ingest_ms`` is ``event_ms``.

    Args:
        path: of the table.
        events: how many.
        users: how many different ones act, each at least once where there are events enough; some do much more than others.
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
    names = pa.array([pseudonym(f"{user}", b"bench") for user in range(users)])  # numbers with zeros would sort slowly
    shares = np.cumsum(random.lognormal(0, 1, users))
    first, last = (START_MS + day * DAY_MS for day in days)
    for start in range(0, events, BATCH):
        n = min(BATCH, events - start)
        sessions = -(-n // SESSION_EVENTS)
        # Sessions by time; a user's events of one session lie together.
        begins = np.sort(random.integers(first, last, sessions))
        who = np.searchsorted(shares, random.random(sessions) * shares[-1])
        if events >= SESSION_EVENTS * users:
            number = start // SESSION_EVENTS + np.arange(sessions)
            who = np.where(number < users, number, who)
        session = np.repeat(np.arange(sessions), SESSION_EVENTS)[:n]
        event_ms = begins[session] + random.integers(0, 600_000, n)
        category = _categories(who, random)[session, random.integers(0, 2, n)]
        rank = ((session * 7 + random.integers(0, 4, n)) % (PRODUCTS // CATEGORIES)) * random.random(n) ** 0.1
        product = category + CATEGORIES * rank.astype(np.int64)
        columns = {
            "event_id": [f"{prefix}{number:014x}" for number in range(start, start + n)],
            "user": names.take(pa.array(who[session])),
            "type": pa.array(list(TYPES)).take(pa.array(random.choice(len(TYPES), n, p=list(TYPES.values())))),
            "event_ms": event_ms,
            "product": _texts("product", PRODUCTS).take(pa.array(product)),
            "category": _texts("category", CATEGORIES).take(pa.array(category)),
            "brand": _texts("brand", BRANDS).take(pa.array(_brands(product))),
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


def _categories(who: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """[sessions, 2] what a session of a user is about."""
    popular = (CATEGORIES * random.random((len(who), 2)) ** 2).astype(np.int64)
    liked = (who[:, None] * 31 + random.integers(0, LIKED, (len(who), 2)) * 97) % CATEGORIES
    return np.where(random.random((len(who), 2)) < LIKES, liked, popular)


def _brands(product: np.ndarray) -> np.ndarray:
    category, rank = product % CATEGORIES, product // CATEGORIES
    return (category * BRANDS_OF_CATEGORY + rank % BRANDS_OF_CATEGORY) % BRANDS


def _texts(prefix: str, n: int) -> pa.Array:
    return pa.array([f"{prefix}-{number}" for number in range(n)])
