"""A Cluster as the store: who serves what is found out, followed when it changes, and nothing is lost or sent twice."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from lambent import keys
from lambent.doctor import Question
from lambent.slots import slot_of
from realtime.checks import check_store
from realtime.commit import Commit
from realtime.status import read_status
from realtime.store import SHA, Store
from tests.chaos.rig import Rig, events_of, in_background, make_rig, wait_until
from tests.cluster import ClusterOfThree, add_replica, move_slot, start_cluster, stop_cluster
from tests.event_stream import following, some
from tests.http_server import VIEW, post, serving
from tests.stores import Start
from tests.valkey import Valkey, flush, free_port

pytestmark = pytest.mark.integration
PARTITIONS = 6


@pytest.fixture
def cluster(servers: Start) -> ClusterOfThree:
    """The session's Cluster, empty."""
    one = servers("cluster")
    assert isinstance(one, ClusterOfThree)
    flush(one)
    return one


@pytest.fixture
def own_cluster() -> Iterator[ClusterOfThree]:
    """A Cluster that a test may break."""
    folder = Path(tempfile.mkdtemp(prefix="lambent-cluster-"))
    one = start_cluster(folder)
    yield one
    stop_cluster(one)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def rig(cluster: ClusterOfThree, tmp_path: Path) -> Rig:
    return make_rig(cluster, tmp_path, partitions=PARTITIONS)


def move_by_hand(cluster: ClusterOfThree, slot: int, target: Valkey) -> None:
    """Slowly, so that the worker meets it."""
    move_slot(cluster, slot, target, pause_s=0.002)


def move_at_once(cluster: ClusterOfThree, slot: int, target: Valkey) -> None:
    """Move a slot as Valkey 9 does: copied while it is served, then handed over."""
    source = cluster.owner(slot)
    assert source is not None
    source.client.execute_command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", cluster.id_of(target))


def work(rig: Rig) -> Callable[[], None]:
    """Start a worker; call what comes back to wait until it has seen all that was fed, and to stop it."""
    stop = in_background(rig.worker(Store(rig.url), lease_ms=3_000).run)

    def end() -> None:
        wait_until(lambda: is_worked_off(rig))
        stop()

    return end


def is_worked_off(rig: Rig) -> bool:
    return rig.store.positions(rig.last) == list(rig.last.values())


def offset(node: Valkey) -> int:
    """How far a node's replication is."""
    said = node.client.info("replication")
    return int(said.get("slave_repl_offset", said["master_repl_offset"]))


def another(cluster: ClusterOfThree, slot: int) -> Valkey:
    owner = cluster.owner(slot)
    return next(node for node in cluster.nodes if node is not owner)


def test_sixty_four_partitions_lie_on_three_nodes_as_evenly_as_can_be(cluster: ClusterOfThree) -> None:
    nodes = Counter(id(cluster.owner(slot_of(keys.events(p)))) for p in range(64))
    assert sorted(nodes.values()) == [21, 21, 22]


def test_what_is_read_and_written_together_lies_where_it_belongs(rig: Rig, cluster: ClusterOfThree) -> None:
    rig.feed_now(events_of(50, 200))
    rig.drain()
    for node in cluster.nodes:
        for key in node.client.scan_iter():
            assert cluster.owner(slot_of(key)) is node
    assert {len(list(node.client.scan_iter())) > 0 for node in cluster.nodes} == {True}
    rig.check()


@pytest.mark.parametrize("move", [move_by_hand, move_at_once])
def test_a_slot_moves_while_a_worker_works_and_nothing_is_lost_or_doubled(
    own_cluster: ClusterOfThree, tmp_path: Path, move: object
) -> None:
    rig = make_rig(own_cluster, tmp_path, partitions=PARTITIONS)
    end = work(rig)
    rig.feed_now(events_of(40, 400))
    for number in range(6):
        slot = slot_of(keys.events(number % PARTITIONS))
        target = another(own_cluster, slot)
        mover = threading.Thread(target=move, args=(own_cluster, slot, target))  # type: ignore[arg-type]
        mover.start()
        at = 400 + number * 200
        while mover.is_alive() or at < 600 + number * 200:
            rig.feed_now(events_of(40, 20, start=at))
            at += 20
        mover.join()
        wait_until(lambda slot=slot, target=target: own_cluster.owner(slot) is target)  # type: ignore[misc]
    end()
    rig.check()


def test_a_node_that_does_not_know_the_script_gets_it(rig: Rig, cluster: ClusterOfThree) -> None:
    rig.feed_now(events_of(50, 100))
    for node in cluster.nodes:
        node.client.script_flush()
    rig.drain()
    assert {node.client.script_exists(SHA.decode())[0] for node in cluster.nodes} == {True}
    rig.check()


def test_commits_of_several_nodes_travel_together_and_each_stands_or_falls_alone(rig: Rig) -> None:
    commits = [Commit(p, b"0-0", b"5-0", newest={"u": b"%d" % p}) for p in range(PARTITIONS)]
    assert rig.store.commit(commits[:3]) == [None] * 3
    outcomes = rig.store.commit(commits)
    assert [outcome is None for outcome in outcomes] == [False] * 3 + [True] * 3
    assert [rig.store.call("GET", keys.intent(p, "u")) for p in range(PARTITIONS)] == [
        b"%d" % p for p in range(PARTITIONS)
    ]


def test_a_reply_that_is_lost_is_not_asked_for_again(
    rig: Rig, cluster: ClusterOfThree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What redis-py's own pipeline does: it sends again what may have been done."""
    client = rig.store.client
    first = client.nodes()[0]
    parse = first.parse_response

    def breaks(line: object, name: str, **options: object) -> object:
        parse(line, name, **options)
        raise redis.exceptions.ConnectionError("cut")

    monkeypatch.setattr(first, "parse_response", breaks)
    with pytest.raises(redis.exceptions.ConnectionError):
        rig.store.append((p, b"e", b"x") for p in range(PARTITIONS))
    monkeypatch.undo()
    lengths = rig.store.pipe(("XLEN", keys.events(p)) for p in range(PARTITIONS))
    assert max(lengths) == 1


def test_a_replica_that_takes_over_is_found_and_the_worker_goes_on(own_cluster: ClusterOfThree, tmp_path: Path) -> None:
    rig = make_rig(own_cluster, tmp_path, partitions=PARTITIONS)
    lost = own_cluster.owner(slot_of(keys.events(0)))
    assert lost is not None
    replica = add_replica(own_cluster, lost, tmp_path)
    end = work(rig)
    rig.feed_now(events_of(40, 400))
    wait_until(lambda: is_worked_off(rig))
    wait_until(lambda: offset(replica) >= offset(lost))
    lost.process.kill()
    lost.process.wait()
    wait_until(lambda: own_cluster.owner(slot_of(keys.events(0))) is replica)
    with pytest.raises(redis.exceptions.ConnectionError):  # so it is found out
        rig.store.positions(range(PARTITIONS))
    rig.feed_now(events_of(40, 400, start=400))
    end()
    rig.check()


def test_the_server_takes_events_answers_and_tells_who_follows_while_slots_move(
    own_cluster: ClusterOfThree, tmp_path: Path
) -> None:
    rig = make_rig(own_cluster, tmp_path, partitions=PARTITIONS, http_port=free_port())
    end = work(rig)
    users = [f"u{n}" for n in range(30)]
    with serving(rig) as http, following(http) as told:
        for slot in (slot_of(keys.events(0)), slot_of(keys.events(1)), slot_of(keys.META)):
            said = post(http, [{**VIEW, "user": user, "id": f"{slot}-{user}"} for user in users], wait=10_000).json()
            assert all(one["intent"] for one in said["intents"])
            move_slot(own_cluster, slot, another(own_cluster, slot))
        found = http.post("/v1/intents", json={"users": users}).json()
        assert all(one["intent"] for one in found["intents"])
        assert len(some(told, 90)) == 90
    end()


def test_status_and_doctor_speak_of_all_nodes(rig: Rig, cluster: ClusterOfThree) -> None:
    said = read_status(rig.store, PARTITIONS)
    assert said.store.startswith("valkey ")
    assert said.store.endswith(", a Cluster of 3 nodes")
    cluster.nodes[2].client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = {one.name: one for one in check_store(Question(rig.settings))}
    finally:
        cluster.nodes[2].client.config_set("maxmemory-policy", "noeviction")
    assert found["store"].status == "ok"
    assert found["eviction"].status == "problem"
    assert found["eviction"].detail.startswith(
        f"127.0.0.1:{cluster.nodes[2].client.connection_pool.connection_kwargs['port']}: "
    )
