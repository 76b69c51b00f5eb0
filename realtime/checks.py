"""``lambent doctor``'s checks of the realtime layer: the store, its memory, and the ports."""

from __future__ import annotations

import errno
import socket
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from lambent.doctor import Finding, Question, ok, problem, warning
from lambent.errors import SettingsError, StoreError
from realtime.node_checks import Info, check_servers, read_infos

SKEW_MS, WRONG_MS = 1_000, 60_000
"""How far the store's clock may be from this machine's before it is looked at, and before times are plainly wrong."""
ANSWER_S = 2.0
METRICS_HOST = "127.0.0.1"


def check_store(question: Question) -> Iterator[Finding]:
    """Whether the store answers and keeps what it is given, and whether its memory will do."""
    from realtime.connection import in_words
    from realtime.promise import check_promise
    from realtime.store import Store

    infos: list[Info] = []
    try:
        with in_words():
            store = Store(question.settings.store_url.get_secret_value())
            infos = read_infos(store)
            yield from check_servers(infos)
            yield check_meta(store, question)
            yield from check_promise(
                store, question.settings, min(int(one.get("connected_slaves", 0)) for one in infos)
            )
            yield check_held(store)
    except SettingsError as error:
        yield problem("store", error.cause, error.remedy)
    except StoreError as error:
        yield warning("store", error.cause, error.remedy or "Look at the rights of its user (ACL).")
    yield check_memory(question, infos)


def check_server(info: Info) -> Iterator[Finding]:
    """What one server says: eviction, memory, persistence, clock."""
    yield check_eviction(info)
    yield check_room(info)
    yield check_persistence(info)
    yield check_skew(int(info["skew_ms"]))


def check_eviction(info: Info) -> Finding:
    """A store that evicts forgets users, and positions, without a word."""
    policy = info.get("maxmemory_policy", "?")
    limit = int(info.get("maxmemory", 0))
    if policy != "noeviction":
        remedy = "Set it, and in the server's file too: CONFIG SET maxmemory-policy noeviction."
        return problem("eviction", f"maxmemory-policy is {policy}: a full store drops users and positions", remedy)
    return ok("eviction", f"noeviction, maxmemory {_gigabytes(limit) if limit else 'not set'}")


def check_room(info: Info) -> Finding:
    """Whether events are refused, or will soon be, for want of memory."""
    from realtime.room import FULL, NEAR, memory_of

    memory = memory_of(info)
    if not memory.limit_bytes:
        return ok("room", f"{_gigabytes(memory.used_bytes)} used")
    detail = f"{memory.share:.0%} of maxmemory ({_gigabytes(memory.limit_bytes)}) is used"
    remedy = f"Give it more; do worker and archiver run? From {FULL:.0%} on the server takes no events (429)."
    if memory.share >= FULL:
        return problem("room", detail, remedy)
    return warning("room", detail, remedy) if memory.share >= NEAR else ok("room", detail)


def check_persistence(info: Info) -> Finding:
    """What is lost with the server: without a log of its own, all events that are not archived yet."""
    if info.get("aof_enabled") != "1":
        remedy = "Set it, and in the server's file too: CONFIG SET appendonly yes."
        return problem("persistence", "appendonly is off: a restart loses events that are not archived yet", remedy)
    if info.get("aof_last_write_status") != "ok":
        return problem("persistence", "the append-only file cannot be written", "Look at the server's disk and log.")
    return ok("persistence", "appendonly is on")


def check_skew(skew_ms: int) -> Finding:
    """The store's clock stamps every event: one that happened after it was logged counts as of the log's time."""
    detail = f"the store's is {abs(skew_ms):,} ms {'ahead of' if skew_ms >= 0 else 'behind'} this machine's"
    if abs(skew_ms) > WRONG_MS:
        return problem("clocks", detail, "Set the wrong one: it moves the times of events.")
    if abs(skew_ms) > SKEW_MS:
        return warning("clocks", detail, "Run an NTP client on both machines.")
    return ok("clocks", detail)


def check_meta(store: Any, question: Question) -> Finding:
    """Whether the store was made for these settings."""
    meta, settings = store.meta(), question.settings
    if meta is None:
        return ok("partitions", f"no store is made yet; it will have {settings.partitions}")
    for name in ("partitions", "tile_ms"):
        made, asked = getattr(meta, name), getattr(settings, name)
        if made != asked:
            detail = f"the store was made with {name}={made:,}; the settings say {asked:,}"
            return problem("partitions", detail, f"Set LAMBENT_{name.upper()}={made}, or name another store.")
    return ok("partitions", f"{meta.partitions}, tiles of {meta.tile_ms / 1000:,.0f} s, as the settings say")


def check_held(store: Any) -> Finding:
    """Whether a rebuild has partitions in its hands, which workers leave alone meanwhile."""
    from realtime import ids

    meta = store.meta()
    partitions = range(meta.partitions if meta else 0)
    held = sum(at == ids.HELD for at in store.positions(partitions))
    if held:
        remedy = "If none is running, one was stopped: run lambent rebuild again."
        return warning(
            "rebuild", f"{held} partitions are being rebuilt, and answer nothing until that has ended", remedy
        )
    return ok("rebuild", "none is under way")


def check_memory(question: Question, infos: Sequence[Info]) -> Finding:
    """What the store will need, against ``maxmemory`` or else the memory of its machine."""
    from lambent.features import FeatureSet
    from realtime.forecast import HISTORY, user_bytes

    features = FeatureSet(question.settings.load_taxonomy())
    one_bytes = user_bytes(features, question.settings.partitions)
    needed_bytes = one_bytes * question.users
    limit_bytes = sum(int(one.get("maxmemory", 0)) or int(one.get("total_system_memory", 0)) for one in infos)
    assumed = f"{one_bytes:,} bytes each after {HISTORY} events, all active within 14 days; streams on top"
    detail = f"{_gigabytes(needed_bytes)} for {question.users:,} users ({assumed})"
    if limit_bytes and needed_bytes > limit_bytes:
        remedy = "Give it more, or say how many users you have: lambent doctor --users N."
        return warning("memory", f"{detail}; the store has {_gigabytes(limit_bytes)}", remedy)
    return ok("memory", f"{detail}; the store has {_gigabytes(limit_bytes)}" if limit_bytes else detail)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def check_ports(question: Question) -> Iterator[Finding]:
    """Whether the server, and a worker's metrics, can listen where the settings say."""
    settings = question.settings
    yield check_port("http port", settings.http_host, settings.http_port, "/healthz", b"ok")
    if settings.metrics_port:
        yield check_port("metrics port", METRICS_HOST, settings.metrics_port, "/metrics", b"lambent_")


def check_port(name: str, host: str, port: int, path: str, words: bytes) -> Finding:
    """A port that is free, or that one of our own processes has: its answer at ``path`` holds ``words``."""
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    setting = f"LAMBENT_{name.upper().replace(' ', '_')}"
    try:
        listen(host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return problem(name, f"{at} cannot be listened on ({error.strerror})", f"Set {setting}, or another host.")
        if answers(f"http://{at}{path}", words):
            return ok(name, f"{at} is taken by Lambent itself")
        return problem(name, f"{at} is taken by another program", f"Stop it, or set {setting} to a free port.")
    return ok(name, f"{at} is free" if port else "any free one")


def listen(host: str, port: int) -> None:
    """Take a port and give it back.

    Raises:
        OSError: it is taken, or the address is not this machine's.
    """
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: a closed connection is no owner
        probe.bind((host, port))
        probe.listen(1)


def answers(url: str, words: bytes) -> bool:
    """Whether an HTTP server is there whose answer holds some words."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows nothing of this machine
    try:
        with opener.open(url, timeout=ANSWER_S) as reply:
            return words in reply.read(1 << 16)
    except (OSError, ValueError):
        return False


CHECKS = (check_store, check_ports)
