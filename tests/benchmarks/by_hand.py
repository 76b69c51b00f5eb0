"""The baselines: profiles by hand-written SQL, in Spark and in DuckDB, and sessions by hand-written Polars.

They do what a good data engineer would write for these features alone: one window, one GROUP BY, weights computed once.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lambent.settings import load_settings
from lambent.tables import EVENTS

TYPES = ("view", "search", "cart", "favourite", "purchase", "consult", "review")
HALF_LIVES_MS = {"1h": 3_600_000, "1d": 86_400_000, "7d": 604_800_000}
GAP_MS = 1_800_000
BUCKETS = {"category": (16, "7d"), "brand": (16, "7d"), "product": (32, "1d")}


def profile_sql(events: str, text_hash: str) -> str:
    """One query. ``text_hash`` is a function's name: crc32 in Spark, hash in DuckDB."""
    weights = ", ".join(f"power(2.0, (t - clock) / {ms}.0) AS w{h}" for h, ms in HALF_LIVES_MS.items())
    buckets = ", ".join(f"{text_hash}({name}) % {n} AS {name}_bucket" for name, (n, _) in BUCKETS.items())
    return f"""
WITH seen AS (
  SELECT user, type, price, dwell_ms, source, ingest_ms, seq, event_id, least(event_ms, ingest_ms) AS t, {buckets}
  FROM {events}),
clocked AS (
  SELECT *, max(t) OVER (PARTITION BY user ORDER BY source, ingest_ms, seq, event_id
                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
            max(t) OVER (PARTITION BY user) AS clock
  FROM seen),
weighed AS (
  SELECT *, before IS NULL OR t > before + {GAP_MS} AS opens, coalesce(t < before - {GAP_MS}, FALSE) AS late, {weights}
  FROM clocked)
SELECT user, clock, {", ".join(_columns())}
FROM weighed GROUP BY user, clock"""


def _columns() -> list[str]:
    columns = ["count(*) AS events", "count(CASE WHEN opens THEN 1 END) AS sessions", "min(t) AS first_ms"]
    columns += ["count(CASE WHEN late THEN 1 END) AS late", "max(CASE WHEN opens THEN t END) AS session_latest_ms"]
    columns += [f"sum(CASE WHEN opens THEN w{h} END) AS sessions_{h}" for h in HALF_LIVES_MS]
    for kind in TYPES:
        columns += [f"count(CASE WHEN type = '{kind}' THEN 1 END) AS {kind}_count"]
        columns += [f"max(CASE WHEN type = '{kind}' THEN t END) AS {kind}_latest_ms"]
        columns += [f"sum(CASE WHEN type = '{kind}' THEN w{h} END) AS {kind}_{h}" for h in HALF_LIVES_MS]
    for kind in ("view", "purchase"):
        columns += [f"sum(CASE WHEN type = '{kind}' THEN ln(1 + price) * w7d END) AS {kind}_log_price_7d"]
    columns += ["sum(ln(1 + dwell_ms) * w1d) AS dwell_1d"]
    for name, (n, h) in BUCKETS.items():
        columns += [f"sum(CASE WHEN {name}_bucket = {bucket} THEN w{h} END) AS {name}_{bucket}" for bucket in range(n)]
    return columns


def spark_profiles(out: str) -> None:
    """The query in Spark, with the session that Lambent's own jobs get."""
    from spark_jobs.session import spark_session

    settings = load_settings()
    with spark_session(settings, "by hand") as spark:
        spark.read.format("delta").load(settings.table(EVENTS)).createOrReplaceTempView("events")
        spark.sql(profile_sql("events", "crc32")).write.format("delta").mode("overwrite").save(out)


def duckdb_profiles(out: str) -> None:
    """The query in DuckDB on two threads, from the table's Parquet files to one Parquet file."""
    import duckdb

    files = _files(load_settings().table(EVENTS))
    with duckdb.connect(config={"threads": 2}) as db:
        query = profile_sql(f"read_parquet({files!r})", "hash").replace(" user", ' "user"')
        Path(out).mkdir(parents=True, exist_ok=True)
        db.execute(f"COPY ({query}) TO '{out}/profiles.parquet'")


def polars_sessions(out: str) -> None:
    """Sort the events, cut them into sessions, label each by the first decisive event that follows it, write them."""
    import polars as pl

    order = ["user", "source", "ingest_ms", "seq", "event_id"]
    events = pl.scan_parquet(_files(load_settings().table(EVENTS))).drop("attributes").sort(order)
    t = pl.min_horizontal("event_ms", "ingest_ms")
    before = t.cum_max().shift(1).over("user")
    opens = (before.is_null() | (t > before + GAP_MS)).alias("opens")
    sessions = events.with_columns(opens).with_columns(session=pl.col("opens").cum_sum())
    decisive = pl.when(pl.col("type").is_in(["purchase", "consult", "review"])).then(pl.col("type"))
    labels = decisive.shift(-1).backward_fill().over("session").fill_null("browse")
    Path(out).mkdir(parents=True, exist_ok=True)
    sessions.with_columns(label=labels).collect().write_parquet(f"{out}/sessions.parquet")


def _files(path: str) -> list[str]:
    from deltalake import DeltaTable

    return DeltaTable(path).file_uris()


if __name__ == "__main__":
    {"spark": spark_profiles, "duckdb": duckdb_profiles, "polars": polars_sessions}[sys.argv[1]](sys.argv[2])
