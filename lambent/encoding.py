"""Events as numbers: one fixed-width row each, by the same rule in numpy and in SQL.

Text becomes its CRC-32 (``zlib.crc32`` here, ``crc32`` in Spark SQL), 0 where it is missing; tables of embeddings and
hashed buckets take it modulo their size. A missing number is NaN here and NULL in SQL.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lambent.catalogue import KINDS, VALUES
from lambent.events import Event
from lambent.taxonomy import Taxonomy

KNOWN = len(KINDS) * len(VALUES)

Events = NDArray[np.void]
"""A structured array of ``EVENT_DTYPE``."""

EVENT_DTYPE = np.dtype(
    [
        ("t_ms", "i8"),  # min(event_ms, ingest_ms): an event is never later than the log that took it
        ("ingest_ms", "i8"),
        ("id", "u8"),  # hash of the event's id, for the memory of duplicates
        ("type", "u1"),
        ("device", "u4"),
        ("product", "u4"),
        ("category", "u4"),
        ("brand", "u4"),
        ("query_first", "u4"),
        ("query_last", "u4"),
        ("price", "f8"),
        ("dwell_ms", "f8"),
        ("known", "f4", (KNOWN,)),  # what the catalogue knows of the product, then of the category; NaN: nothing
        ("opens", "?"),  # set by the fold in the log's order: the event opens a session …
        ("late", "?"),  # … or is too late for the one that is open …
        ("decides", "?"),  # … or is the first of its session that leads to its intent …
        ("returns", "?"),  # … or to come back to what the user saw last before it …
        ("clock_ms", "i8"),  # … and the user's clock, the event included
    ]
)

ID_BYTES = 6
"""Of an event's id: among 16 that are remembered, one event in 17 million million is taken for another."""

WORDS = {"query_first": 0, "query_last": -1}
"""Text columns that are a word of the query, by its place: what is asked of a product often stands first or last. Words are what
is between single spaces, since that is the same in every language."""

TEXT_FIELDS = ("device", "product", "category", "brand", *WORDS)


def text_hash(text: str | None) -> int:
    """CRC-32 of the UTF-8 bytes, at least 1; 0 where the text is missing."""
    return 0 if text is None else max(zlib.crc32(text.encode()), 1)


def id_hash(event_id: str) -> int:
    """48 bits of BLAKE2b of an event's id."""
    return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=ID_BYTES).digest(), "little")


def encode_events(events: Sequence[Event], ingest_ms: Sequence[int], taxonomy: Taxonomy) -> Events:
    """Encode admitted events.

    Args:
        events: n events that ``admit`` let in.
        ingest_ms: n times at which the log took them, milliseconds.
        taxonomy: gives the codes of the types.

    Returns:
        [n] of ``EVENT_DTYPE``, without marks and with nothing ``known``.
    """
    code, nan = taxonomy.type_code, float("nan")
    rows = np.zeros(len(events), EVENT_DTYPE)
    rows["known"] = nan
    rows["ingest_ms"] = ingest_ms
    rows["t_ms"] = np.minimum([event.event_ms for event in events], rows["ingest_ms"])
    rows["id"] = [id_hash(event.id) for event in events]
    rows["type"] = [code[event.type] for event in events]
    for name in TEXT_FIELDS:
        texts = _texts(events, name)
        rows[name] = [0 if text is None else zlib.crc32(text.encode()) or 1 for text in texts]  # ``text_hash``
    rows["price"] = [nan if event.price is None else event.price for event in events]
    rows["dwell_ms"] = [nan if event.dwell_ms is None else event.dwell_ms for event in events]
    return rows


def _texts(events: Sequence[Event], name: str) -> Iterator[str | None]:
    """A text column of events."""
    if name not in WORDS:
        return (getattr(event, name) for event in events)
    queries = (event.query for event in events)
    return (None if query is None else query.split(" ")[WORDS[name]] for query in queries)


def encoded_sql(taxonomy: Taxonomy) -> dict[str, str]:
    """The same encoding as SQL expressions over the columns of the table ``events``, by encoded column.

    ``id`` is left out: batch knows duplicates by the whole id. ``opens`` and ``late`` are the fold's (``sessions``).
    """
    names = ", ".join(f"'{event_type.name}'" for event_type in taxonomy.types)
    words = {name: f"substring_index(query, ' ', {place or 1})" for name, place in WORDS.items()}
    texts = {name: words.get(name, name) for name in TEXT_FIELDS}
    hashes = {
        name: f"CASE WHEN {text} IS NULL THEN 0L ELSE greatest(crc32({text}), 1L) END" for name, text in texts.items()
    }
    return {
        "t_ms": "least(event_ms, ingest_ms)",
        "ingest_ms": "ingest_ms",
        "type": f"CAST(array_position(array({names}), type) - 1 AS INT)",
        **hashes,
        "price": "price",
        "dwell_ms": "CAST(dwell_ms AS DOUBLE)",
    }
