"""The baselines: profiles by hand-written SQL, in Spark and in DuckDB, and sessions by hand-written Polars.

They do what a good data engineer would write for these features alone: few windows, few GROUP BYs, weights computed once.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lambent.settings import load_settings
from lambent.tables import EVENTS

TYPES = ("view", "search", "cart", "favourite", "purchase", "consult", "review")
INTENTS = ("purchase", "consult", "review")
HALF_LIVES_MS = {"1h": 3_600_000, "1d": 86_400_000, "7d": 604_800_000}
GAP_MS = 1_800_000
HASHED, BUCKETS = ("category", "brand"), 16
MAPS = {
    "seen": ("view",),
    "cart": ("cart", "uncart", "purchase"),
    "favourites": ("favourite",),
    "bought": ("purchase",),
}
NEWEST = {
    "spark": "slice(sort_array(collect_list(CASE WHEN {t} IS NOT NULL THEN struct({t}, {act}, {key}) END), false), 1, 8)",
    "duckdb": "list_reverse_sort(list(struct_pack(t := {t}, a := {act}, k := {key})) FILTER (WHERE {t} IS NOT NULL))[1:8]",
}


def profile_sql(events: str, engine: str) -> str:
    """One query: the sums in one GROUP BY over marked events, the last-N maps in two more, joined."""
    text_hash = {"spark": "crc32", "duckdb": "hash"}[engine]
    weights = ", ".join(f"power(2.0, (t - clock) / {ms}.0) AS w{h}" for h, ms in HALF_LIVES_MS.items())
    hashes = ", ".join(f"{text_hash}({name}) AS {name}_hash" for name in (*HASHED, "product"))
    in_order = "PARTITION BY user ORDER BY source, ingest_ms, seq, event_id ROWS BETWEEN UNBOUNDED PRECEDING AND"
    return f"""
WITH seen AS (
  SELECT user, type, price, dwell_ms, source, ingest_ms, seq, event_id, least(event_ms, ingest_ms) AS t, {hashes}
  FROM {events}),
clocked AS (
  SELECT *, max(t) OVER ({in_order} 1 PRECEDING) AS before, max(t) OVER (PARTITION BY user) AS clock FROM seen),
marked AS (
  SELECT *, before IS NULL OR t > before + {GAP_MS} AS opens, coalesce(t < before - {GAP_MS}, FALSE) AS late FROM clocked),
numbered AS (
  SELECT *, sum(CASE WHEN opens THEN 1 ELSE 0 END) OVER ({in_order} CURRENT ROW) AS session FROM marked),
weighed AS (
  SELECT *, {weights}, type IN {INTENTS} AND NOT late AND 1 = row_number() OVER (
    PARTITION BY user, session, type, late ORDER BY source, ingest_ms, seq, event_id) AS decides
  FROM numbered),
sums AS (SELECT user AS u, clock, {", ".join(_columns())} FROM weighed GROUP BY user, clock),
acts AS (SELECT user, product_hash, {", ".join(_acts())} FROM seen GROUP BY user, product_hash),
maps AS (SELECT user AS mu, {", ".join(_map(name, "product_hash", engine) for name in MAPS)} FROM acts GROUP BY user),
category_acts AS (
  SELECT user, category_hash, {", ".join(_acts())} FROM seen WHERE type = 'purchase' GROUP BY user, category_hash),
categories AS (
  SELECT user AS cu, {_map("bought", "category_hash", engine)}_categories FROM category_acts GROUP BY user)
SELECT * FROM sums JOIN maps ON u = mu LEFT JOIN categories ON u = cu"""


def _acts() -> list[str]:
    columns = []
    for name, types in MAPS.items():
        among = f"CASE WHEN type IN ({', '.join(map(repr, types))}) THEN t END"
        columns += [f"max({among}) AS {name}_t", f"max_by(type, {among}) AS {name}_act"]
    return columns


def _map(name: str, key: str, engine: str) -> str:
    return NEWEST[engine].format(t=f"{name}_t", act=f"{name}_act", key=key) + f" AS {name}"


def _columns() -> list[str]:
    columns = ["count(*) AS events", "count(CASE WHEN opens THEN 1 END) AS sessions", "min(t) AS first_ms"]
    columns += ["count(CASE WHEN late THEN 1 END) AS late", "max(CASE WHEN opens THEN t END) AS session_latest_ms"]
    columns += [f"approx_count_distinct({name}_hash) AS {name}s" for name in ("product", "category")]
    columns += [f"sum(CASE WHEN opens THEN w{h} END) AS sessions_{h}" for h in HALF_LIVES_MS]
    columns += [f"sum(ln(1 + dwell_ms) * w{h}) AS dwell_{h}" for h in HALF_LIVES_MS]
    for kind in TYPES:
        columns += [f"count(CASE WHEN type = '{kind}' THEN 1 END) AS {kind}_count"]
        columns += [f"max(CASE WHEN type = '{kind}' THEN t END) AS {kind}_latest_ms"]
        columns += [f"sum(CASE WHEN type = '{kind}' THEN w{h} END) AS {kind}_{h}" for h in HALF_LIVES_MS]
    for kind in INTENTS:
        decides = f"CASE WHEN decides AND type = '{kind}' THEN"
        columns += [f"count({decides} 1 END) AS {kind}_sessions", f"max({decides} t END) AS {kind}_session_ms"]
        columns += [f"sum({decides} w{h} END) AS {kind}_sessions_{h}" for h in HALF_LIVES_MS]
    for kind in ("view", "purchase"):
        for h in HALF_LIVES_MS:
            columns += [f"sum(CASE WHEN type = '{kind}' THEN ln(1 + price) * w{h} END) AS {kind}_log_price_{h}"]
            columns += [f"sum(CASE WHEN type = '{kind}' AND price IS NULL THEN w{h} END) AS {kind}_unpriced_{h}"]
    for name in HASHED:
        for bucket in range(BUCKETS):
            inside = f"CASE WHEN {name}_hash % {BUCKETS} = {bucket} THEN"
            columns += [f"sum({inside} w{h} END) AS {name}_{h}_{bucket}" for h in HALF_LIVES_MS]
    for name, (width_ms, buckets) in {"hours": (10_800_000, 8), "weekdays": (86_400_000, 7)}.items():
        # the whole part of a quotient, in words that both engines have
        columns += [
            f"count(CASE WHEN floor(t / {width_ms}.0) % {buckets} = {n} THEN 1 END) AS {name}_{n}"
            for n in range(buckets)
        ]
    return columns


def spark_profiles(out: str) -> None:
    """The query in Spark, with the session that Lambent's own jobs get."""
    from spark_jobs.session import spark_session

    settings = load_settings()
    with spark_session(settings, "by hand") as spark:
        spark.read.format("delta").load(settings.table(EVENTS)).createOrReplaceTempView("events")
        spark.sql(profile_sql("events", "spark")).write.format("delta").mode("overwrite").save(out)


def duckdb_profiles(out: str) -> None:
    """The query in DuckDB on two threads, from the table's Parquet files to one Parquet file."""
    import duckdb

    files = _files(load_settings().table(EVENTS))
    with duckdb.connect(config={"threads": 2}) as db:
        query = profile_sql(f"read_parquet({files!r})", "duckdb").replace(" user", ' "user"')
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
