"""What is wrong with a running system, in words, by what its store says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lambent.doctor import Finding, problem, warning
from realtime.lag import Behind
from realtime.room import FULL, NEAR
from realtime.status import Status

LATE_MS = 10_000
"""A worker answers within milliseconds: an entry that has waited so long says that it does not keep up."""
ARCHIVE_LATE_MS = 300_000
"""The archiver may have been told to commit once a minute."""
STALE_MS = 2 * 24 * 3600 * 1000
"""Profiles are published every hour, or at least every night."""


def judge(status: Status, stream_max_events: int) -> Iterator[Finding]:
    """All that is not as it should be; nothing where all is well.

    Args:
        status: what was read.
        stream_max_events: entries of a stream from which on the server takes no events.
    """
    yield from _workers(status)
    yield from _archiver(status)
    yield from _servers(status)
    yield from _room(status, stream_max_events)
    yield from _batch(status)
    if status.dead:
        remedy = "They stop nobody, and are archived. Each names its reason: lambent dead show."
        yield warning("dead", f"workers gave up {status.dead:,} entries in the last minutes", remedy)


def _workers(status: Status) -> Iterator[Finding]:
    rebuilt = [place.partition for place in status.partitions if place.worker is None]
    unheld = len(set(status.unheld) - set(rebuilt))
    if not status.workers and unheld:
        yield problem("worker", "none works: events are kept and not answered", "Start one: lambent worker.")
    elif unheld:
        remedy = "A new worker takes them within seconds; look again, or start one for them: lambent worker."
        yield problem("worker", f"nobody works on {unheld} of {len(status.partitions)} partitions", remedy)
    elif late := _late([place.worker for place in status.partitions], LATE_MS):
        yield problem("worker", f"behind by {late}", "Start more workers, or look at the log of those that run.")
    if rebuilt:
        remedy = "If none is running, one was stopped: run lambent rebuild again."
        yield warning("rebuild", f"{len(rebuilt)} partitions are being rebuilt, and answer nothing meanwhile", remedy)


def _archiver(status: Status) -> Iterator[Finding]:
    if not status.archiver:
        yield problem(
            "archiver", "none works: the streams grow until the store is full", "Start one: lambent archiver."
        )
    elif late := _late([place.archive for place in status.partitions], ARCHIVE_LATE_MS):
        yield problem("archiver", f"behind by {late}", "Its log says why: a full disk, or tables it may not write.")


def _late(behind: Sequence[Behind | None], late_ms: int) -> str:
    """How much is waiting, in words; empty if nothing has waited long."""
    waiting = [one for one in behind if one and one.entries]
    oldest_ms = max((one.waiting_ms for one in waiting), default=0)
    return f"{entries_text(waiting)} entries, the oldest for {oldest_ms / 1000:,.0f} s" if oldest_ms > late_ms else ""


def entries_text(behind: Sequence[Behind | None]) -> str:
    """How many entries these are together; ``≥`` where not all were counted."""
    known = [one for one in behind if one]
    return f"{'' if all(one.exact for one in known) else '≥ '}{sum(one.entries for one in known):,}"


def _servers(status: Status) -> Iterator[Finding]:
    if status.servers == ():
        yield warning("server", "none is connected to the store", "If events come over HTTP: lambent server.")


def _room(status: Status, stream_max_events: int) -> Iterator[Finding]:
    memory = status.memory
    name, limit_bytes = (
        ("maxmemory", memory.limit_bytes) if memory.limit_bytes else ("its machine's memory", memory.machine_bytes)
    )
    share = memory.used_bytes / limit_bytes if limit_bytes else 0
    if share >= NEAR:
        tell = problem if share >= FULL else warning
        remedy = f"Give it more. From {FULL:.0%} of maxmemory on the server answers 429 until worker and archiver have made room."
        yield tell("memory", f"the store uses {share:.0%} of {name}", remedy)
    longest = max(status.partitions, key=lambda place: place.entries)
    share = longest.entries / stream_max_events
    if share >= NEAR:
        tell = problem if share >= FULL else warning
        detail = f"partition {longest.partition} holds {longest.entries:,} of {stream_max_events:,} entries (LAMBENT_STREAM_MAX_EVENTS)"
        yield tell(
            "stream", detail, "Only what worker and archiver have both seen leaves it; the server answers 429 then."
        )


def _batch(status: Status) -> Iterator[Finding]:
    profiles = status.profiles
    if profiles.version < 0:
        yield warning("profiles", "none are published: users are known by live events alone", "Run lambent publish.")
    elif profiles.age_ms > STALE_MS:
        detail = f"the newest are as of {profiles.age_ms / 86_400_000:,.1f} days ago"
        yield warning("profiles", detail, "Build and publish: lambent batch profiles publish.")
    if set(status.models) == {"none"}:
        yield warning("model", "none: intents are base rates", "Train and register one: lambent model register.")
