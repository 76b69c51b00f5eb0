"""A Cluster of three nodes for tests, from the wheel's Valkey: no replicas, nothing on disk, up in about a second."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path

import redis

from lambent.cluster import connect
from lambent.keys import SLOTS
from tests.valkey import START_S, Valkey, free_port, start_valkey, stop_valkey

NODES = 3


@dataclasses.dataclass
class ClusterOfThree(Valkey):
    """A running Cluster; ``process`` is its first node's.

    Attributes:
        nodes: each of them.
    """

    nodes: list[Valkey]

    def id_of(self, node: Valkey) -> str:
        """What the Cluster calls a node."""
        return str(node.client.execute_command("CLUSTER", "MYID").decode())

    def owner(self, slot: int) -> Valkey | None:
        """The node that serves a slot, as all that live have it; None while they do not agree."""
        alive = [node for node in self.nodes if node.process.poll() is None]
        said = {_owner_id(node, slot) for node in alive}
        return next((node for node in alive if {self.id_of(node)} == said), None)


def _owner_id(node: Valkey, slot: int) -> str:
    for first, last, primary, *_ in node.client.execute_command("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return str(primary[2].decode())
    return ""


def start_cluster(folder: Path, *options: str, binary: str = "") -> ClusterOfThree:
    """Start three nodes that share the slots evenly."""
    nodes = [_start_node(folder / str(number), *options, binary=binary) for number in range(NODES)]
    for number, node in enumerate(nodes):
        first, last = -(-SLOTS * number // NODES), -(-SLOTS * (number + 1) // NODES) - 1
        node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for other in nodes:
            _meet(node, other)
    end_s = time.monotonic() + START_S
    while not all(_is_whole(node) for node in nodes):
        assert time.monotonic() < end_s, "the nodes did not find each other"
        time.sleep(0.02)
    return ClusterOfThree(nodes[0].url, connect(nodes[0].url), nodes[0].process, nodes)


def add_replica(cluster: ClusterOfThree, primary: Valkey, folder: Path) -> Valkey:
    """One node more, which has what a primary has and takes over from it; it counts as the Cluster's."""
    node = _start_node(folder / "replica")
    _meet(node, primary)
    end_s = time.monotonic() + START_S
    while True:
        try:
            node.client.execute_command("CLUSTER", "REPLICATE", cluster.id_of(primary))
            break
        except redis.exceptions.ResponseError:  # it does not know the primary yet
            assert time.monotonic() < end_s, "the replica did not find its primary"
            time.sleep(0.02)
    cluster.nodes.append(node)
    return node


def _start_node(folder: Path, *options: str, binary: str = "") -> Valkey:
    folder.mkdir()
    bus = ("--cluster-port", str(free_port()), "--cluster-node-timeout", "1000")
    plain = ("--cluster-enabled", "yes", "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0")
    return start_valkey(folder, free_port(), *plain, *bus, *options, binary=binary)


def _meet(node: Valkey, other: Valkey) -> None:
    port = other.client.connection_pool.connection_kwargs["port"]
    bus = other.client.config_get("cluster-port")["cluster-port"]
    node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)


def _is_whole(node: Valkey) -> bool:
    info = node.client.execute_command("CLUSTER", "INFO").decode()
    slots = node.client.execute_command("CLUSTER", "SLOTS")
    return "cluster_state:ok" in info and len({bytes(one[2][2]) for one in slots}) == NODES


def move_slot(cluster: ClusterOfThree, slot: int, target: Valkey, pause_s: float = 0.0) -> None:
    """Move a slot key by key, as ``redis-cli --cluster reshard`` does; between two keys the slot is on two nodes."""
    source = cluster.owner(slot)
    assert source is not None
    target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(source))
    source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(target))
    port = target.client.connection_pool.connection_kwargs["port"]
    while found := source.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1):
        source.client.execute_command("MIGRATE", "127.0.0.1", port, found[0], 0, 5_000)
        time.sleep(pause_s)
    for node in (target, source, *cluster.nodes):
        node.client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", cluster.id_of(target))


def stop_cluster(cluster: ClusterOfThree) -> None:
    """Stop all nodes."""
    with contextlib.suppress(Exception):
        cluster.client.close()
    for node in cluster.nodes:
        stop_valkey(node)
