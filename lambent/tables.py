"""The Delta tables: name, columns and what a row means. Writers and readers of a table take its columns from here.

Types are Arrow's names; ``spark_jobs`` and ``realtime`` translate them.
"""

from __future__ import annotations

from collections.abc import Mapping

from lambent.profile import Layout

LOG = "log"
"""What the streams held, byte for byte: one row an entry. Only the archiver appends; partitioned by ``day``."""

LOG_COLUMNS: Mapping[str, str] = {
    "partition": "int32",  # of the stream
    "ingest_ms": "int64",  # the entry's id is ingest_ms-seq
    "seq": "int64",  # within the millisecond
    "day": "date32",  # day of ingest_ms, UTC
    "kind": "string",  # the stream entry's field: e event, c control entry, m marker
    "bytes": "binary",  # as they were sent
}

INTENTS = "intents"
"""What was predicted: one row an event that was answered. Only the archiver appends; partitioned by ``day``."""

INTENT_COLUMNS: Mapping[str, str] = {
    "partition": "int32",  # of the stream
    "committed_ms": "int64",  # the batch's entry of intents:{p} has the id committed_ms-seq
    "seq": "int64",  # within the millisecond
    "day": "date32",  # day of committed_ms, UTC
    "user": "string",
    "event_id": "string",
    "event_ms": "int64",
    "ingest_ms": "int64",
    "probabilities": "map<string,double>",
    "model": "string",
    "cutoff_ms": "int64",
    "actions": "list<string>",
    "session_events": "int64",
    "arm": "string",  # of the experiment that ran; none: there was none
    "shadow_model": "string",  # version that predicted in the shadow; none: there was none
    "shadow": "map<string,double>",  # what it said
}

EVENTS = "events"
"""Distinct events, first copy in the log's order. Only ``ingest`` writes."""

EVENT_COLUMNS: Mapping[str, str] = {
    "event_id": "string",
    "user": "string",
    "type": "string",
    "event_ms": "int64",
    "product": "string",
    "category": "string",
    "brand": "string",
    "price": "double",
    "query": "string",
    "dwell_ms": "int64",
    "device": "string",
    "attributes": "map<string,string>",
    "source": "int8",  # 0 a file, 1 the live log: all of a user's files come before the live log
    "ingest_ms": "int64",  # for a file: event_ms, which takes for granted that what happened was known at once
    "seq": "int64",  # for a file: 0
}
SOURCE_FILE, SOURCE_LIVE = 0, 1

QUARANTINE = "quarantine"
"""What is not an event, with its reason. ``ingest`` appends; ``retry`` settles."""

QUARANTINE_COLUMNS: Mapping[str, str] = {
    "origin": "string",  # the file, or log/{partition}
    "line": "int64",  # line of the file, or ingest_ms of the entry
    "seq": "int64",  # 0 for a file
    "reason": "string",  # the code
    "detail": "string",  # the reason in words
    "raw": "binary",  # none for a file, whose rows hold raw user ids
}
BECAME = "became"
"""A column that the first retry adds to ``quarantine``: the id of the event that the row has become, or ``DROPPED``."""
DROPPED = "-"
"""The row is wanted no more: a mended mapping drops it on purpose; or it is of a dimension's file, which was read again."""

DEAD = "dead"
"""What a worker had to give up, though it is an event: one row an entry of ``dead:{p}``. The archiver appends; ``dead retry``
settles. ``ingest`` leaves such entries of the log out; one that is retried is a new entry."""

DEAD_COLUMNS: Mapping[str, str] = {
    "partition": "int32",  # of the stream
    "died_ms": "int64",  # the entry of dead:{p} has the id died_ms-died_seq
    "died_seq": "int64",  # within the millisecond
    "day": "date32",  # day of died_ms, UTC
    "origin": "string",  # log/{partition}
    "line": "int64",  # ingest_ms of the entry of the log
    "seq": "int64",  # its seq
    "reason": "string",  # the error's name, or partition: a producer put it where its user does not belong
    "detail": "string",  # the error in words
    "raw": "binary",  # as it was sent
    "became": "string",  # once it was retried: the id of the event
}

USERS = "users"
"""What is known of users besides what they do: a row a span of time over which it was the same (a slowly changing
dimension of type 2; Kimball, Ross, "The Data Warehouse Toolkit"). ``ingest --into users`` writes."""

USER_COLUMNS: Mapping[str, str] = {
    "user": "string",  # the pseudonym
    "age_band": "string",  # as the shop writes it; the taxonomy lists what a model tells apart
    "gender": "string",  # the same
    "member_since_ms": "int64",  # when the account was made
    "valid_from_ms": "int64",  # it was so from here on …
    "valid_to_ms": "int64",  # … up to here; none: it is so
    "told_ms": "int64",  # the newest time at which a file has said this
}

PRODUCTS = "products"
"""What is known of products, in the same form. ``ingest --into products`` writes."""

PRODUCT_COLUMNS: Mapping[str, str] = {
    "product": "string",  # the shop's own id
    "category": "string",  # a path, written with dots or slashes
    "brand": "string",  # the maker's name
    "price": "double",  # of one piece, in the shop's currency
    "valid_from_ms": "int64",  # it was so from here on …
    "valid_to_ms": "int64",  # … up to here; none: it is so
    "told_ms": "int64",  # the newest time at which a file has said this
}

CATALOGUE = "catalogue"
"""What all shoppers did with each product and category before a day began: one row each and a day. ``catalogue`` writes;
partitioned by ``day``. A visit is what one user did on one day of the log, UTC."""

CATALOGUE_COLUMNS: Mapping[str, str] = {
    "day": "date32",  # at whose start it was so: what has ingest_ms before it counts
    "kind": "string",  # whole, category or product
    "hash": "int64",  # of the category's or product's name (encoding.text_hash); of the whole 0
    "parent": "int64",  # of a product the hash of its newest category; 0: none is known
    "events": "int64",  # how many there are
    "viewed": "int64",  # visits with a view
    "carted": "int64",  # visits with a cart
    "viewed_carted": "int64",  # of those with a view: with a cart too
    "viewed_bought": "int64",  # of those with a view: with a purchase too
    "carted_bought": "int64",  # of those with a cart: with a purchase too
    "popularity": "double",  # events, each halved every 7 days
    "priced": "double",  # events with a price, each halved every 28 days
    "price_log": "double",  # the sum of their log(1 + price), each halved every 28 days
    "view_cart": "double",  # smoothed rate of viewed_carted
    "cart_purchase": "double",  # smoothed rate of carted_bought
    "view_purchase": "double",  # smoothed rate of viewed_bought
    "usual_price_log": "double",  # price_log / priced; none: nobody has seen a price
}

CLUSTERED_BY: Mapping[str, tuple[str, ...]] = {
    EVENTS: ("user", "ingest_ms"),
    USERS: ("user",),
    PRODUCTS: ("product",),
}
"""How ``maintenance`` lays tables out, so that a user's events and a day's are both in few files. Only Spark writes them."""

PROFILES = "profiles"
"""Users' profiles. Of a user's rows the one of the newest snapshot counts: a build adds the rows of users of whom something is
new, and leaves those that it had of them before. The commit's metadata names the snapshot of the whole table."""

NEWEST_PROFILES = (
    "SELECT * FROM (SELECT *, row_number() OVER "
    "(PARTITION BY user ORDER BY events_version DESC, cutoff_ms DESC, users_version DESC) AS n FROM profiles) AS p WHERE n = 1"
)
"""The rows of ``profiles`` that count, in the SQL of Spark, DuckDB and DataFusion."""


def profile_columns(layout: Layout) -> Mapping[str, str]:
    """Columns of ``profiles``: the user, a column an aggregate, and what the row is made from."""
    kinds = {"i8": "int64", "f8": "double", "i1": "int8"}
    values = {
        one.name: kinds[one.dtype] if one.width == 1 else f"list<{kinds[one.dtype]}>" for one in layout.aggregates
    }
    return {
        "user": "string",
        # The snapshot at which the row last changed. Of the first 32 columns Delta's readers know which files have what.
        "events_version": "int64",
        "cutoff_ms": "int64",
        "users_version": "int64",
        "clock_ms": "int64",  # the user's clock, as of which what decays is told
        "source": "int8",  # the largest of the user's events: whether the live log has begun
        "features": "string",  # hash of the feature set
        **values,
    }


TRAINING_SESSIONS = "training_sessions"
"""One row a session that has ended, of users whom ``traffic`` does not flag; see ``training.session_rows``."""

TRAINING_COLUMNS: Mapping[str, str] = {
    "user": "string",
    "start_ms": "int64",
    "length": "int32",
    "profile": "list<float>",  # [profile features] as it stood when the session began
    "ids": "list<int32>",  # [length * step ids], row by row
    "floats": "list<float>",  # [length * step floats], row by row
    "labels": "list<int8>",  # [length] code of the intent
    "split": "string",  # train, validation, test
    "held_out": "bool",  # a user of whom no session is in train or validation
}
