"""The typed client on a real Valkey: what it gives for what is there, and for what is not."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.reference.contract import READER_RIGHTS
from lambent import keys
from lambent.client import AsyncIntentClient, IntentClient, Reading, Reason
from lambent.errors import DataError, SettingsError
from lambent.events import Event
from lambent.slots import slot_of
from tests.chaos.rig import Rig, make_rig
from tests.clients import (
    DEFAULT,
    KEY,
    PARTITIONS,
    PATIENT_MS,
    SHOPPERS,
    Make,
    an_intent,
    fill,
    key_of,
    user_of,
)
from tests.cluster import ClusterOfThree, move_slot
from tests.stores import Start
from tests.valkey import Valkey, flush, free_port, server, start_valkey, stop_valkey, valkey  # noqa: F401

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A store in which the worker has answered every shopper."""
    folder = tmp_path_factory.mktemp("client")
    valkey = start_valkey(folder, free_port())  # noqa: F811
    rig = make_rig(valkey, folder, partitions=PARTITIONS)
    now_ms = time.time_ns() // 1_000_000
    rig.feed_now([Event(user=user_of(one), type="view", event_ms=now_ms, id=one, product="p") for one in SHOPPERS])
    rig.drain()
    yield rig
    stop_valkey(valkey)


def test_what_the_worker_said_of_a_thousand_shoppers_in_all_partitions_is_read_at_once(
    rig: Rig, client_of: Make
) -> None:
    client = client_of(rig.url)
    readings = client.get_many(SHOPPERS)
    assert {keys.partition(one.user, PARTITIONS) for one in readings} == set(range(PARTITIONS))
    assert [one.intent.event_id for one in readings] == SHOPPERS
    assert sorted((one.intent for one in readings), key=lambda one: one.user) == sorted(
        rig.said(), key=lambda one: one.user
    )
    assert client.tally == {Reason.READ: len(SHOPPERS)}
    for one in readings:
        assert (one.user, one.probabilities, one.actions) == (
            one.intent.user,
            one.intent.probabilities,
            one.intent.actions,
        )
        assert not one.is_default
        assert 0 <= one.age_ms < 600_000


def test_one_shopper_reads_the_same_alone_as_among_others(rig: Rig, client_of: Make) -> None:
    client = client_of(rig.url)
    together = client.get_many([*SHOPPERS[:5], "nobody", SHOPPERS[0]])
    alone = [client.get(one) for one in (*SHOPPERS[:5], "nobody", SHOPPERS[0])]
    assert [without_age(one) for one in together] == [without_age(one) for one in alone]


def test_nobody_asked_for_is_nobody_told(rig: Rig, client_of: Make) -> None:
    assert client_of(rig.url).get_many([]) == []


@pytest.mark.parametrize("shopper", ["nobody", "", "\ud800"])
def test_a_visitor_of_whom_nothing_is_known_gets_the_default(rig: Rig, client_of: Make, shopper: str) -> None:
    client = client_of(rig.url)
    reading = client.get(shopper)
    assert (reading.reason, reading.probabilities, reading.intent, reading.age_ms) == (
        Reason.ABSENT,
        DEFAULT,
        None,
        None,
    )
    assert reading.is_default
    assert client.tally == {Reason.ABSENT: 1}


def test_another_key_of_the_pseudonyms_finds_nobody(rig: Rig, client_of: Make) -> None:
    assert {one.reason for one in client_of(rig.url, bytes(32)).get_many(SHOPPERS)} == {Reason.ABSENT}


def test_an_intent_that_is_too_old_is_shown_but_does_not_count(valkey: Valkey, client_of: Make) -> None:  # noqa: F811
    fill(valkey)
    valkey.client.set(key_of("old"), an_intent("old", age_ms=3_600_000))
    young, old = client_of(valkey.url, max_age_ms=1_800_000).get_many(["anna", "old"])
    assert (young.reason, old.reason) == (Reason.READ, Reason.STALE)
    assert (old.probabilities, old.actions) == (DEFAULT, ())
    assert old.intent.probabilities["purchase"] == 0.75
    assert old.age_ms >= 3_600_000
    assert client_of(valkey.url).get("old").reason == Reason.READ


def test_an_intent_from_a_clock_that_is_ahead_has_no_negative_age(valkey: Valkey, client_of: Make) -> None:  # noqa: F811
    fill(valkey)
    valkey.client.set(key_of("ahead"), an_intent("ahead", age_ms=-60_000))
    assert client_of(valkey.url).get("ahead").age_ms == 0


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b'{"user":"x"}', b"[" * 100_000])
def test_bytes_that_are_no_intent_are_the_default_and_are_counted(
    valkey: Valkey,  # noqa: F811
    client_of: Make,
    data: bytes,
) -> None:
    fill(valkey)
    valkey.client.set(key_of("broken"), data)
    client = client_of(valkey.url)
    good, broken = client.get_many(["anna", "broken"])
    assert (good.reason, broken.reason, broken.probabilities) == (Reason.READ, Reason.UNREADABLE, DEFAULT)
    assert "no intent of this version" in broken.detail
    assert client.tally == {Reason.READ: 1, Reason.UNREADABLE: 1}
    with pytest.raises(DataError, match="no intent of this version"):
        client_of(valkey.url, strict=True).get("broken")


@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=50).map(str.encode)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_a_read_fail(valkey: Valkey, data: bytes) -> None:  # noqa: F811
    fill(valkey)
    valkey.client.set(key_of("anna"), data)
    with IntentClient(valkey.url, KEY, timeout_ms=PATIENT_MS) as client:
        assert client.get("anna").reason == Reason.UNREADABLE


def test_a_field_that_a_later_version_adds_is_passed_over(valkey: Valkey, client_of: Make) -> None:  # noqa: F811
    fill(valkey)
    later = msgspec.json.encode({**msgspec.json.decode(an_intent("anna")), "mood": {"is": ["good"]}})
    valkey.client.set(key_of("anna"), later)
    assert client_of(valkey.url).get("anna").reason == Reason.READ


def test_threads_share_a_client_and_each_gets_its_own_answers(rig: Rig) -> None:
    with IntentClient(rig.url, KEY, timeout_ms=PATIENT_MS) as client, ThreadPoolExecutor(16) as pool:
        readings = list(pool.map(client.get, SHOPPERS))
    assert [one.intent and one.intent.event_id for one in readings] == SHOPPERS
    assert client.tally == {Reason.READ: len(SHOPPERS)}


def test_a_crowd_of_tasks_shares_a_round_trip_and_each_gets_its_own_answers(rig: Rig) -> None:
    rig.store.call("CONFIG", "RESETSTAT")

    async def read() -> list[Reading]:
        async with AsyncIntentClient(rig.url, KEY, timeout_ms=PATIENT_MS) as client:
            return list(await asyncio.gather(*map(client.get, SHOPPERS)))

    assert [one.intent and one.intent.event_id for one in asyncio.run(read())] == SHOPPERS
    stats = rig.store.call("INFO", "commandstats", "stats").decode()
    assert f"cmdstat_mget:calls={PARTITIONS}," in stats
    assert "total_connections_received:1\r" in stats


def test_a_task_that_gives_up_takes_nothing_from_those_who_travel_with_it(rig: Rig) -> None:
    async def read() -> Reading:
        async with AsyncIntentClient(rig.url, KEY, timeout_ms=PATIENT_MS) as client:
            leaving = asyncio.create_task(client.get(SHOPPERS[0]))
            staying = asyncio.create_task(client.get(SHOPPERS[0]))
            await asyncio.sleep(0)
            leaving.cancel()
            return await staying

    assert asyncio.run(read()).reason == Reason.READ


def test_a_client_from_before_a_fork_is_two_clients_after_it(rig: Rig) -> None:
    with IntentClient(rig.url, KEY, timeout_ms=PATIENT_MS) as client:
        assert client.get(SHOPPERS[0]).reason == Reason.READ
        forked = multiprocessing.get_context("fork")
        pipe, end = forked.Pipe()
        child = forked.Process(target=lambda: end.send([client.get(one).intent.event_id for one in SHOPPERS[:200]]))  # type: ignore[union-attr]
        child.start()
        assert [client.get(one).intent.event_id for one in SHOPPERS[200:400]] == SHOPPERS[200:400]  # type: ignore[union-attr]
        assert pipe.recv() == SHOPPERS[:200]
        child.join()


def test_a_cluster_is_read_from_the_nodes_that_have_the_keys_also_after_a_slot_has_moved(
    servers: Start, client_of: Make
) -> None:
    cluster = servers("cluster")
    assert isinstance(cluster, ClusterOfThree)
    flush(cluster)
    fill(cluster)
    for shopper in SHOPPERS[:200]:
        cluster.client.set(key_of(shopper), an_intent(shopper))
    client = client_of(cluster.nodes[2].url)
    assert {one.reason for one in client.get_many(SHOPPERS[:200])} == {Reason.READ}
    slot = slot_of(key_of(SHOPPERS[0]))
    owner = cluster.owner(slot)
    target = next(node for node in cluster.nodes if node is not owner)
    move_slot(cluster, slot, target)
    assert client.get(SHOPPERS[0]).reason == Reason.READ
    assert {one.reason for one in client.get_many(SHOPPERS[:200])} == {Reason.READ}


def test_the_rights_that_the_reference_names_are_enough_and_no_more(valkey: Valkey, client_of: Make) -> None:  # noqa: F811
    fill(valkey)
    valkey.client.execute_command("ACL", "SETUSER", "reader", "on", ">secret", *READER_RIGHTS.split())
    url = valkey.url.replace("redis://", "redis://reader:secret@")
    try:
        assert client_of(url).get("anna").reason == Reason.READ
        with closing(redis.Redis.from_url(url, driver_info=None, protocol=2)) as reader:
            for command in (
                ("GET", keys.live(0, "u")),
                ("SET", key_of("anna"), "x"),
                ("XADD", keys.intents(0), "*", "i", "x"),
            ):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    reader.execute_command(*command)
            assert reader.execute_command("XREAD", "STREAMS", keys.intents(0), "0") in (None, [], {})
        reading = client_of(url.replace("secret", "wrong")).get("anna")
        assert reading.reason == Reason.UNAVAILABLE
        assert "wrong" not in reading.detail
    finally:
        valkey.client.execute_command("ACL", "DELUSER", "reader")


def test_what_is_no_key_or_no_url_is_refused_at_once_and_no_password_is_repeated(client_of: Make) -> None:
    with pytest.raises(SettingsError, match="has 16 bytes, not 32"):
        client_of("redis://127.0.0.1", bytes(16))
    for url in ("http://user:secret@shop", "redis://:secret@shop:port/0", "redis://:secret@shop?colour=red"):
        with pytest.raises(SettingsError) as refused:
            client_of(url)
        assert "secret" not in str(refused.value)


def test_whoever_reads_intents_loads_no_numba_and_no_settings() -> None:
    said = "import sys, lambent.client; print(sorted({'numpy', 'numba', 'pydantic', 'litestar'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def without_age(reading: Reading) -> Reading:
    return msgspec.structs.replace(reading, age_ms=None)
