"""What the store's server says of itself, or each node of a Cluster, and what of it is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from lambent.doctor import Finding, ok, problem, warning

Info = dict[str, str]
"""What a server says of itself (``INFO``); ``skew_ms``: its clock less this machine's; ``node``: where it is."""

SEVERITY = ("ok", "warning", "problem")
OLDEST = {"redis": (7, 0), "valkey": (7, 2)}
"""Versions that have all that Lambent needs: functions of scripts, among them what may go beyond ``maxmemory``."""
WAITAOF = (7, 2)
"""Redis that can say what is on its disk."""


def read_infos(store: Any) -> list[Info]:
    """Ask every node; nothing is written."""
    return [_read(node) for node in store.nodes()]


def _read(node: Any) -> Info:
    from realtime.room import parse_info

    info = parse_info(node.execute_command("INFO"))
    before_ms = time.time() * 1000
    seconds, microseconds = node.execute_command("TIME")
    middle_ms = (before_ms + time.time() * 1000) / 2
    skew_ms = round(int(seconds) * 1000 + int(microseconds) / 1000 - middle_ms)
    return {**info, "skew_ms": str(skew_ms), "node": place_of(node)}


def place_of(node: Any) -> str:
    """Where a server is: its socket, or its host and port."""
    named = node.connection_pool.connection_kwargs
    return str(named.get("path") or f"{named.get('host')}:{named.get('port')}")


def server_of(info: Info) -> tuple[str, str]:
    """Name and version of a server."""
    name = info.get("server_name", "redis")
    return name, info.get(f"{name}_version", "?")


def described(infos: Sequence[Info]) -> str:
    """The server or the servers in a few words."""
    names = ", ".join(dict.fromkeys(" ".join(server_of(one)) for one in infos))
    return f"{names}, a Cluster of {len(infos)} nodes" if len(infos) > 1 else names


def check_servers(infos: Sequence[Info]) -> Iterator[Finding]:
    """What every server says: version, eviction, memory, persistence, clock. Of a Cluster the worst of each."""
    from realtime.checks import check_server

    yield ok("store", f"{described(infos)} {'answers' if len(infos) == 1 else 'answer'}")
    for findings in zip(*([check_version(one), *check_server(one)] for one in infos), strict=True):
        at, worst = max(enumerate(findings), key=lambda one: SEVERITY.index(one[1].status))
        if len(infos) > 1 and worst.status != "ok":
            yield Finding(worst.name, worst.status, f"{infos[at]['node']}: {worst.detail}", worst.remedy)
        else:
            yield worst


def check_version(info: Info) -> Finding:
    """What this server lacks of what Lambent can use."""
    name, text = server_of(info)
    parts = tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
    if parts < OLDEST.get(name, (0,)):
        needed = ".".join(map(str, OLDEST[name]))
        return problem(
            "version", f"{name} {text} is too old for the scripts of Lambent", f"Use {name} {needed} or newer."
        )
    if name == "redis" and parts < WAITAOF:
        detail = f"redis {text} cannot say what is on its disk (WAITAOF, since 7.2)"
        return warning("version", detail, "An event can be acknowledged from its memory or a replica's; or use Valkey.")
    return ok("version", "it has all that Lambent can use")
