"""Training sessions against their definition, written again slowly: sessions, labels, parts, what is left out."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from lambent import keys, oracle
from lambent.events import Event
from lambent.features import FeatureSet
from lambent.settings import Settings
from lambent.tables import EVENTS, TRAINING_COLUMNS, TRAINING_SESSIONS, USERS
from spark_jobs import histories, training_sessions
from spark_jobs.commits import append, last_metadata, need_table
from spark_jobs.ingest import first_copies
from spark_jobs.rows import arrow_types
from tests.batch_rows import rows_of
from tests.told import Users, users_table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.spark]

START_MS = 1_700_000_000_000
GAP_MS = 30 * 60_000
Log = list[tuple[Event, int]]
MARKS = {13: {"test": "true"}, 14: {"who": "probe-7"}, 15: {"test": "false"}}
"""Attributes of all events of some users."""
RULES = r"""
[bot]
minute = 60
[test]
attributes = { test = ["true", "1"], who = ["probe-*"] }
devices = ["it's 100%!", "back\\slash"]
"""
FLAGGED = {"bot_traffic": [11], "test_traffic": [12, 13, 14]}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A shop with rules of its own."""
    (path := settings.root / "traffic.toml").write_text(RULES)
    return settings.model_copy(update={"traffic": path})


def made_up_log() -> Log:
    """Sixty users with a few sessions each. Of one a session is too long, one is a bot, three are tests; some are late."""
    random = np.random.default_rng(7)
    types = ["view", "cart", "search", "purchase", "consult"]
    log = []
    for n in range(60):
        user, at_ms = keys.pseudonym(f"u{n}", b"k"), START_MS + int(random.integers(0, 10 * GAP_MS))
        for k in range({0: 1_100, 11: 70}.get(n) or int(random.integers(1, 25))):
            at_ms += {0: 15_000, 11: 500}.get(n) or int(random.choice([5_000, 60_000, 2 * GAP_MS]))
            late_ms = 5 * GAP_MS if n % 9 == 1 and k % 4 == 3 else 0
            event = Event(
                user=user, type=str(random.choice(types, p=[0.5, 0.2, 0.15, 0.1, 0.05])), event_ms=at_ms - late_ms,
                id=f"{n}-{k}", product=f"p{random.integers(0, 9)}", price=float(k) if k % 3 else None,
                device="it's 100%!" if (n, k) == (12, 0) else "it's 100 %!", attributes={"a": "b"} | MARKS.get(n, {}),
            )  # fmt: skip
            log.append((event, at_ms))
    return sorted(log, key=lambda one: one[1])


def made_up_users(log: Log) -> Users:
    """What is told: of some users before all and again while the log goes on, of some only then, of some nothing."""
    at_ms = {user: [ms for event, ms in log if event.user == user] for user in {event.user for event, _ in log}}
    users: Users = {}
    for n, user in enumerate(sorted(at_ms)):
        own, known = sorted(at_ms[user]), [START_MS - 1, sorted(at_ms[user])[len(at_ms[user]) // 2]]
        users[user] = {ms: {"gender": ["female", "x", None][(n + ms) % 3], "age_band": "18-24", "member_since_ms": own[0]}
                       for ms in known[n % 3 :]}  # fmt: skip
    return users


def slow_rows(log: Log, features: FeatureSet, users: Users | None = None) -> tuple[list[dict[str, Any]], list[int]]:
    """The table by its definition, one event after another."""
    newest_ms = max(min(event.event_ms, ms) for event, ms in log)
    sessions: list[dict[str, Any]] = []
    flagged = {keys.pseudonym(f"u{n}", b"k") for own in FLAGGED.values() for n in own}
    for user in sorted({event.user for event, _ in log} - flagged):
        own = [one for one in log if one[0].user == user]
        sessions += slow_sessions(own, features, (users or {}).get(user, {}))
    ended = [one for one in sessions if one["end_ms"] + GAP_MS < newest_ms and len(one["events"]) <= 1_000]
    starts = sorted(one["start_ms"] for one in ended)
    times_ms = [starts[int(np.ceil(q * len(starts))) - 1] for q in (0.70, 0.85)]
    return [row for one in ended if (row := slow_row(one, times_ms, features))], times_ms


def slow_sessions(log: Log, features: FeatureSet, told: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for n, (event, t_ms, opens, late, *_) in enumerate(seen := oracle.mark(features, log)):
        if opens:
            said = {} | {name: value for ms in sorted(told) if ms <= log[n][1] for name, value in told[ms].items()}
            profile = features.profile.finalize(oracle.profile(features, seen[:n], said), np.array([t_ms]))[0]
            found.append({"user": event.user, "start_ms": t_ms, "end_ms": t_ms, "events": [], "profile": profile})
        if not late:
            found[-1]["events"].append(event)
            found[-1]["end_ms"] = max(found[-1]["end_ms"], t_ms)
    return found


def slow_row(session: dict[str, Any], times_ms: list[int], features: FeatureSet) -> dict[str, Any] | None:
    held_out = zlib.crc32(session["user"].encode()) % 1000 < 100
    split = ("train", "validation", "test")[sum(session["start_ms"] >= ms for ms in times_ms)]
    if held_out and split != "test":
        return None
    events, taxonomy = session["events"], features.taxonomy
    following = [
        [e for e in events[n + 1 :] if e.type in ("purchase", "consult", "review")] for n in range(len(events))
    ]
    labels = [taxonomy.intents.index(later[0].type if later else "browse") for later in following]
    return session | {"split": split, "held_out": held_out, "labels": labels}


def test_the_table_is_the_slow_definitions(spark: SparkSession, settings: Settings) -> None:
    log, features = made_up_log(), FeatureSet(settings.load_taxonomy())
    append(first_copies(spark.createDataFrame(rows_of([], log)), None), settings.table(EVENTS),
           {"watermark_ms": START_MS + 10**9})  # fmt: skip
    users = made_up_users(log)
    append(users_table(spark, users), settings.table(USERS), {})
    report = training_sessions.build(settings)
    table = need_table(settings.table(TRAINING_SESSIONS), "")
    found = table.to_pyarrow_dataset().to_table().to_pylist()
    expected, times_ms = slow_rows(log, features, users)

    assert last_metadata(table) == {
        "events_version": 0, "cutoff_ms": START_MS + 10**9, "users_version": 0, "features": features.hash,
        "split_ms": times_ms,
        "traffic": msgspec.json.decode(msgspec.json.encode(settings.load_traffic())),
    }  # fmt: skip
    assert report.rows == len(found) == len(expected)
    assert report.counts["too_long"] == 1
    for kind, own in FLAGGED.items():
        assert report.counts[f"{kind}_users"] == len(own)
        assert report.counts[kind] >= len(own)
    assert (report.counts["bot_traffic"], report.counts["bot_traffic_events"]) == (1, 70)
    assert report.counts["open"] > 0
    assert {row["split"] for row in found} == {"train", "validation", "test"}
    for row, slow in zip(by_start(found), by_start(expected), strict=True):
        same_row(row, slow, features)


def by_start(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["start_ms"], row["user"]))


def same_row(row: dict[str, Any], slow: dict[str, Any], features: FeatureSet) -> None:
    for name in ("user", "start_ms", "split", "held_out", "labels"):
        assert row[name] == slow[name], name
    length = len(slow["events"])
    ids = np.array(row["ids"]).reshape(length, len(features.step_ids))
    assert row["length"] == length
    assert ids.tolist() == [oracle.ids(features, event) for event in slow["events"]]
    assert len(row["floats"]) == length * len(features.step_floats)
    np.testing.assert_allclose(row["profile"], slow["profile"], rtol=1e-5, atol=1e-6)


def test_a_table_as_of_a_time_is_that_of_a_log_that_ends_there(spark: SparkSession, settings: Settings) -> None:
    log, features = made_up_log(), FeatureSet(settings.load_taxonomy())
    as_of_ms = sorted(ms for _, ms in log)[len(log) // 2]
    append(first_copies(spark.createDataFrame(rows_of([], log)), None), settings.table(EVENTS),
           {"watermark_ms": START_MS + 10**9})  # fmt: skip
    training_sessions.build(settings, as_of_ms=as_of_ms)
    table = need_table(settings.table(TRAINING_SESSIONS), "")
    found = by_start(table.to_pyarrow_dataset().to_table().to_pylist())
    expected = by_start(slow_rows([one for one in log if one[1] < as_of_ms], features)[0])
    assert last_metadata(table)["as_of_ms"] == as_of_ms
    assert [(row["user"], row["start_ms"], row["labels"]) for row in found] == [
        (row["user"], row["start_ms"], row["labels"]) for row in expected
    ]
    assert 0 < len(found) < len(slow_rows(log, features)[0])


def test_the_columns_are_the_declared_ones_and_a_rerun_repeats_the_rows(
    spark: SparkSession, settings: Settings
) -> None:
    append(first_copies(spark.createDataFrame(rows_of([], made_up_log())), None), settings.table(EVENTS),
           {"watermark_ms": START_MS + 10**9})  # fmt: skip
    runs = []
    for _ in range(2):
        training_sessions.build(settings)
        table = need_table(settings.table(TRAINING_SESSIONS), "").to_pyarrow_dataset().to_table()
        runs.append(table.sort_by([("start_ms", "ascending"), ("user", "ascending")]))
    assert runs[0].equals(runs[1])
    declared = {name: str(kind).replace("item", "element") for name, kind in arrow_types(TRAINING_COLUMNS).items()}
    assert {field.name: str(field.type).replace("item", "element") for field in table.schema} == declared


def test_events_come_in_chunks_of_whole_users() -> None:
    import pyarrow as pa

    users = ["a"] * 3 + ["b"] * 5 + ["c"] * 2 + ["d"]
    batches = [pa.RecordBatch.from_pydict({"user": users[n : n + 2]}) for n in range(0, len(users), 2)]
    chunks = [table.column("user").to_pylist() for table in histories.whole_users(batches, chunk_events=4)]
    assert [user for chunk in chunks for user in chunk] == users
    assert [sorted(set(chunk)) for chunk in chunks] == [["a"], ["b"], ["c", "d"]]
