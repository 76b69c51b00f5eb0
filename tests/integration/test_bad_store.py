"""What is in the store or in the tables and should not be, or should be and is not: said, counted, and nobody dies of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lambent import keys
from lambent.errors import DataError, StoreError
from lambent.records import LIVE_VERSION
from lambent.settings import Settings
from models.dataset import TrainingTable
from realtime.predict import BASE_RATE
from realtime.store import Store, open_store
from spark_jobs import profiles, publish, training_sessions
from tests.chaos.rig import FEATURES, Rig, events_of, make_rig
from tests.histories import START_MS
from tests.valkey import Valkey, server, valkey  # noqa: F401

pytestmark = pytest.mark.integration
STEP_MS = 100


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path)


def feed(rig: Rig, start: int) -> None:
    """40 events, four seconds of them."""
    rig.feed([(event, START_MS + n * STEP_MS) for n, event in enumerate(events_of(4, 40, start=start), start)])


def change(rig: Rig, key: str, how: Any) -> bytes:
    """Change a value's bytes; returns what the store then holds."""
    value = how(bytearray(rig.store.call("GET", key)))
    rig.store.call("SET", key, bytes(value))
    return bytes(value)


def newer(value: bytearray) -> bytearray:
    value[0] += 1  # the format's version
    return value


def of_other_features(value: bytearray) -> bytearray:
    value[1] ^= 0xFF
    return value


def cut(value: bytearray) -> bytearray:
    return value[:-1]


@pytest.mark.parametrize("how", [newer, of_other_features, cut], ids=lambda how: how.__name__)
def test_a_profile_that_cannot_be_read_is_said_counted_and_left_alone_and_its_users_events_are_applied(
    rig: Rig, how: Any, caplog: pytest.LogCaptureFixture
) -> None:
    feed(rig, 0)
    worker = rig.drain()
    rig.publish(START_MS + 40 * STEP_MS)
    user = rig.log[0][0].user
    key = keys.profile(keys.partition(user, rig.meta.partitions), user)
    good = rig.store.call("GET", key)
    bad = change(rig, key, how)
    for start in (40, 80):
        feed(rig, start)
        rig.drain(worker)
    report = worker.metrics.report()
    assert (report["events"], report["dead"], report["unreadable_profiles"]) == (120, 0, 2)
    assert b"lambent_worker_profiles_unreadable_total 2.0" in exposed(worker)
    assert sum("event=profile-unreadable" in line for line in caplog.messages) == 1
    assert rig.store.call("GET", key) == bad
    newest = msgspec.json.decode(rig.store.call("GET", keys.intent(keys.partition(user, 4), user)))
    assert "cutoff_ms" not in newest  # the answer says that it has seen no profile
    rig.store.call("SET", key, good)
    rig.check()


def exposed(worker: Any) -> bytes:
    from prometheus_client import generate_latest

    return generate_latest(worker.metrics.registry)


def test_a_live_record_of_a_newer_version_stops_the_worker_in_words_before_it_is_overwritten(rig: Rig) -> None:
    rig.feed_now(events_of(1, 10))
    rig.drain()
    user = rig.log[0][0].user
    p = keys.partition(user, rig.meta.partitions)
    at, record = rig.store.positions([p]), change(rig, keys.live(p, user), newer)
    rig.feed_now(events_of(1, 10, start=10))
    with pytest.raises(
        StoreError, match=f"A live record has version {LIVE_VERSION + 1}; this is version {LIVE_VERSION}"
    ):
        rig.drain()
    assert (rig.store.positions([p]), rig.store.call("GET", keys.live(p, user))) == (at, record)
    rig.store.call("SET", keys.live(p, user), bytes([record[0] - 1]) + record[1:])
    rig.drain()
    rig.check()


def test_a_control_state_of_a_newer_version_stops_the_worker_in_words(rig: Rig) -> None:
    rig.store.call("SET", keys.control(2), b'{"models":[{"type":"ensemble","version":1}]}')
    with pytest.raises(StoreError, match="What the control entries have set cannot be read"):
        rig.worker().turn(block_ms=0)


def test_a_store_of_a_newer_schema_is_refused_at_the_start(rig: Rig) -> None:
    rig.store.call("HSET", keys.META, "schema", keys.SCHEMA + 1)
    with pytest.raises(StoreError, match=r"The store has schema 2; this version knows schemas up to 1\. Upgrade"):
        open_store(rig.settings)


def test_without_a_model_the_base_rates_are_the_answer_and_the_log_and_each_intent_say_so(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.feed_now(events_of(3, 9))
    with caplog.at_level(logging.WARNING, "lambent"):
        rig.drain(rig.worker(Store(rig.url)))
    rates = dict(zip(FEATURES.taxonomy.intents, FEATURES.taxonomy.base_rates, strict=True))
    assert [(intent.model, intent.probabilities) for intent in rig.said()] == [(BASE_RATE, rates)] * 9
    assert [line.partition(" ")[0] for line in caplog.messages] == ["event=no-model"]


MISSING = {
    "profiles": (profiles.build, "There is no table {tables}/events. Run lambent ingest first."),
    "training-sessions": (training_sessions.build, "There is no table {tables}/events. Run lambent ingest first."),
    "publish": (publish.publish, "There is no table {tables}/profiles. Make it: lambent batch profiles."),
    "train and evaluate": (
        lambda settings: TrainingTable.open(settings, FEATURES),
        "{tables}/training_sessions: there is no such table. Make it: lambent batch training-sessions.",
    ),
}


@pytest.mark.parametrize("job", MISSING)
def test_a_missing_table_is_told_with_the_command_that_makes_it_and_before_an_engine_starts(
    job: str, tmp_path: Path
) -> None:
    run, words = MISSING[job]
    settings = Settings(root=tmp_path)
    with pytest.raises(DataError) as caught:
        run(settings)  # type: ignore[operator]
    assert str(caught.value) == words.format(tables=settings.tables_root)
    assert not list(tmp_path.iterdir())
