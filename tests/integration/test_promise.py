"""What 202 means: what each setting of ``acknowledge`` loses with the power, or with the primary, and what it does not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from redis.exceptions import OutOfMemoryError

from lambent import keys
from lambent.doctor import Question
from lambent.errors import SettingsError
from lambent.events import Event
from lambent.rights import rules
from lambent.slots import slot_of
from realtime.api import EXCEPTION_HANDLERS, store_full
from realtime.checks import check_store
from realtime.collector import Taken
from realtime.gateway import Gateway
from realtime.promise import NotKeptError, refuse_promise
from realtime.store import Store
from tests.chaos.generator import ACCEPTED
from tests.chaos.machine import Machine
from tests.chaos.processes import running, spawn
from tests.chaos.proxy import Proxy, Way, proxied
from tests.chaos.rig import Rig, make_rig, wait_until
from tests.chaos.traffic import check_held, producing
from tests.cluster import start_cluster, stop_cluster
from tests.http_server import VIEW, post, serving
from tests.valkey import Valkey, free_port, server, start_valkey, stop_valkey, valkey  # noqa: F401

pytestmark = pytest.mark.integration
ON_DISK = ("--save", "", "--appendonly", "yes", "--appendfsync")
PARTITIONS = 12
IN_MEMORY = ("--save", "", "--appendonly", "no")


def held(valkey: Valkey, partitions: int) -> set[str]:  # noqa: F811
    """Ids of the events that are in the streams."""
    entries = (entry for p in range(partitions) for entry in valkey.client.xrange(keys.events(p)))
    return {msgspec.json.decode(fields[b"e"], type=Event).id for _, fields in entries if b"e" in fields}


def kill(valkey: Valkey) -> None:  # noqa: F811
    valkey.process.kill()
    valkey.process.wait()


def lose_power(folder: Path, acknowledge: str, fsync: str) -> tuple[set[str], set[str]]:
    """Traffic until the store's power is cut.

    Returns:
        What was accepted and is gone, and what was accepted after the last sync began.
    """
    machine, port = Machine(folder), free_port()
    own = start_valkey(folder, port, *ON_DISK, fsync, environment=machine.environment)
    rig = make_rig(own, folder, http_port=free_port(), acknowledge=acknowledge)
    with running(rig.settings, "server"), producing(rig, threads=12, pause_s=0.005) as traffic:
        traffic.wait_for_accepted(2_000)
        wait_until(lambda: traffic.waiting > 3)
        kill(own)
    (file,) = (folder / "appendonlydir").glob("*.incr.aof")
    synced_ms = machine.cut_power(file)
    own = start_valkey(folder, port, *ON_DISK, fsync)
    lost = traffic.ids(ACCEPTED) - held(own, rig.meta.partitions)
    stop_valkey(own)
    return lost, {one.event.id for one in traffic.told() if one.outcome == ACCEPTED and one.at_ms >= synced_ms}


def test_a_power_cut_loses_nothing_that_was_acknowledged_from_disk(tmp_path: Path) -> None:
    lost, _ = lose_power(tmp_path, "disk", "always")
    assert not lost


def test_a_power_cut_loses_of_what_was_acknowledged_from_memory_what_came_after_the_last_sync(tmp_path: Path) -> None:
    lost, after = lose_power(tmp_path, "memory", "everysec")
    assert lost, "nothing was lost: that is more than this setting promises, and shows nothing"
    assert lost <= after


@contextmanager
def with_replica(folder: Path) -> Iterator[tuple[Rig, Valkey, Valkey, Proxy]]:
    """A primary in memory alone and its replica, with a network between them; 202 means that the replica has an event."""
    for name in ("primary", "replica"):
        (folder / name).mkdir()
    primary = start_valkey(folder / "primary", port := free_port(), *IN_MEMORY)
    with proxied(port) as network:
        follows = ("--replicaof", "127.0.0.1", str(network.port))
        replica = start_valkey(folder / "replica", free_port(), *IN_MEMORY, *follows)
        try:
            wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
            rig = make_rig(primary, folder, http_port=free_port(), acknowledge="replica", acknowledge_ms=500)
            yield rig, primary, replica, network
        finally:
            kill(replica)
            kill(primary)


def test_a_replica_that_is_promoted_has_all_that_was_acknowledged(tmp_path: Path) -> None:
    with with_replica(tmp_path) as (rig, primary, replica, network):
        with running(rig.settings, "server"), producing(rig) as traffic:
            traffic.wait_for_accepted(1_000)
            with network.losing(Way.UP, Way.DOWN):
                answered = traffic.answered
                wait_until(lambda: traffic.answered > answered + 20)
                kill(primary)
        replica.client.replicaof("NO", "ONE")
        check_held(traffic, held(replica, rig.meta.partitions))


def test_a_replica_that_does_not_answer_is_a_503_and_the_events_are_sent_again(tmp_path: Path) -> None:
    with with_replica(tmp_path) as (rig, _, _, network), serving(rig) as http:
        with network.losing(Way.DOWN):
            answer = post(http, VIEW | {"id": "again"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (
            "did not say within 500 ms that they are in a replica's memory. Send the request again"
            in answer.json()["detail"]
        )
        wait_until(lambda: post(http, VIEW | {"id": "again"}).status_code == 202)
        rig.drain()
        assert [intent.event_id for intent in rig.said()] == ["again"]


def test_a_store_that_does_not_know_what_is_on_its_disk_is_refused_at_the_start(
    valkey: Valkey,  # noqa: F811
    tmp_path: Path,
) -> None:
    rig = make_rig(valkey, tmp_path, acknowledge="disk", http_port=free_port())
    process = spawn(rig.settings, "server")
    assert process.wait(20) == 2
    said = (tmp_path / "server.log").read_text()
    assert "LAMBENT_ACKNOWLEDGE is disk, and the store at 127.0.0.1:" in said
    assert "cannot say what is on its disk (WAITAOF" in said
    assert "with appendonly yes" in said


def test_a_store_that_syncs_once_a_second_is_refused_since_it_says_too_early_that_it_has(tmp_path: Path) -> None:
    own = start_valkey(tmp_path, free_port(), *ON_DISK, "everysec")
    rig = make_rig(own, tmp_path, acknowledge="disk")
    try:
        with pytest.raises(SettingsError, match="is everysec: it may lose what it acknowledged"):
            refuse_promise(rig.store, rig.settings)
        own.client.config_set("appendfsync", "always")
        refuse_promise(rig.store, rig.settings)
    finally:
        stop_valkey(own)


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_servers_user_may_ask_what_is_on_the_disk_where_its_rights_were_written_for_it(
    tmp_path: Path, on_disk: bool
) -> None:
    own = start_valkey(tmp_path, free_port(), *ON_DISK, "always")
    rig = make_rig(own, tmp_path, acknowledge="disk")
    own.client.execute_command("ACL", "SETUSER", "server", "on", ">secret", *rules("server", on_disk=on_disk).split())
    store = Store(own.url.replace("redis://", "redis://server:secret@"))
    try:
        if on_disk:
            refuse_promise(store, rig.settings)
        else:
            with pytest.raises(SettingsError, match=r"infra\.acl --disk"):
                refuse_promise(store, rig.settings)
    finally:
        stop_valkey(own)


def test_on_a_cluster_an_event_is_acknowledged_only_by_a_node_that_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "nodes").mkdir()
    own = start_cluster(tmp_path / "nodes", *ON_DISK[2:], "always")
    rig = make_rig(own, tmp_path, acknowledge="disk", partitions=PARTITIONS)
    one = own.nodes[1]
    elsewhere = [p for p in range(PARTITIONS) if own.owner(slot_of(keys.events(p))) is not one]

    async def append() -> None:
        gateway = Gateway(rig.settings, PARTITIONS)
        await gateway.append([Taken(p, "user", f"a{p}", b"{}") for p in range(PARTITIONS)])
        one.client.config_set("appendonly", "no")
        await gateway.append([Taken(p, "user", f"b{p}", b"{}") for p in elsewhere])
        with pytest.raises(NotKeptError, match="cannot say whether"):
            await gateway.append([Taken(p, "user", f"c{p}", b"{}") for p in range(PARTITIONS)])
        await gateway.close()

    try:
        port = one.client.connection_pool.connection_kwargs["port"]
        one.client.config_set("appendfsync", "everysec")
        with pytest.raises(SettingsError, match=rf":{port} is everysec"):
            refuse_promise(rig.store, rig.settings)
        one.client.config_set("appendfsync", "always")
        refuse_promise(rig.store, rig.settings)
        asyncio.run(append())
    finally:
        stop_cluster(own)


@pytest.mark.parametrize(("acknowledge", "status"), [("memory", "ok"), ("disk", "problem"), ("replica", "problem")])
def test_the_doctor_says_whether_a_store_alone_and_in_memory_can_keep_what_202_means(
    valkey: Valkey,  # noqa: F811
    tmp_path: Path,
    acknowledge: str,
    status: str,
) -> None:
    rig = make_rig(valkey, tmp_path, acknowledge=acknowledge)
    (finding,) = (one for one in check_store(Question(rig.settings)) if one.name == "202")
    assert finding.status == status
    assert finding.detail and bool(finding.remedy) == (status == "problem")


def test_a_store_that_has_no_memory_for_any_of_the_events_has_taken_none(valkey: Valkey, tmp_path: Path) -> None:  # noqa: F811
    rig = make_rig(valkey, tmp_path)
    gateway = Gateway(rig.settings, rig.meta.partitions)
    events = [Taken(0, "user", f"f{n}", b"{}") for n in range(5)]
    valkey.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(OutOfMemoryError):
            asyncio.run(gateway.append(events))
    finally:
        valkey.client.config_set("maxmemory", 0)
    assert not valkey.client.exists(keys.events(0))
    assert EXCEPTION_HANDLERS[OutOfMemoryError] is store_full
