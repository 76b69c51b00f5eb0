"""A Cluster of three nodes for tests, from the wheel's Valkey: no replicas, nothing on disk, up in about a second."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path

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

    def owner(self, slot: int) -> Valkey:
        """The node that says of itself that it serves a slot."""
        for node in self.nodes:
            for first, last, primary, *_ in node.client.execute_command("CLUSTER", "SLOTS"):
                if first <= slot <= last and primary[2].decode() == self.id_of(node):
                    return node
        raise AssertionError(f"nobody serves slot {slot}")


def start_cluster(folder: Path, *options: str, binary: str = "") -> ClusterOfThree:
    """Start three nodes that share the slots evenly."""
    nodes = []
    for number in range(NODES):
        home = folder / str(number)
        home.mkdir()
        cluster = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", "2000")
        plain = ("--save", "", "--appendonly", "no")
        nodes.append(start_valkey(home, free_port(), *plain, *cluster, *options, binary=binary))
    for number, node in enumerate(nodes):
        first, last = -(-SLOTS * number // NODES), -(-SLOTS * (number + 1) // NODES) - 1
        node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for other in nodes:
            port = other.client.connection_pool.connection_kwargs["port"]
            bus = other.client.config_get("cluster-port")["cluster-port"]
            node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
    end_s = time.monotonic() + START_S
    while not all(_is_whole(node) for node in nodes):
        assert time.monotonic() < end_s, "the nodes did not find each other"
        time.sleep(0.02)
    return ClusterOfThree(nodes[0].url, connect(nodes[0].url), nodes[0].process, nodes)


def _is_whole(node: Valkey) -> bool:
    info = node.client.execute_command("CLUSTER", "INFO").decode()
    slots = node.client.execute_command("CLUSTER", "SLOTS")
    return "cluster_state:ok" in info and len({bytes(one[2][2]) for one in slots}) == NODES


def stop_cluster(cluster: ClusterOfThree) -> None:
    """Stop all nodes."""
    with contextlib.suppress(Exception):
        cluster.client.close()
    for node in cluster.nodes:
        stop_valkey(node)
