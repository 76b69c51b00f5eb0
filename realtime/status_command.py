"""``lambent status``: how the running system does, on one screen."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from lambent.cli import Command, Failed
from lambent.doctor import Finding, describe
from lambent.settings import Settings

if TYPE_CHECKING:
    from realtime.lag import Behind
    from realtime.room import Memory
    from realtime.status import Profiles, Rates, Status

SAMPLE_S = 1.0
NAMES = 6
"""Workers that are named on the screen."""


def lines(status: Status, findings: Sequence[Finding]) -> Iterator[str]:
    """The screen: what there is, then what is wrong."""
    rows = {
        "store": f"{status.store}, {_memory(status.memory)}",
        "workers": _workers(status.workers),
        "archiver": status.archiver or "none",
        "servers": "not known (CLIENT LIST is refused)" if status.servers is None else _names(status.servers),
        "partitions": _partitions(status),
        "worker lag": _lag([place.worker for place in status.partitions]),
        "archive lag": _lag([place.archive for place in status.partitions]),
        **({"rates": _rates(status.rates)} if status.rates else {}),
        "profiles": _profiles(status.profiles),
        "model": _versions(status.models),
        "catalogue": _versions(status.catalogues),
        "dead": f"{status.dead:,} entries",
    }
    yield from (f"{name:<12} {text}" for name, text in rows.items())
    yield ""
    yield from map(describe, findings)
    if not findings:
        yield "all is well"


def _memory(memory: Memory) -> str:
    used = f"{memory.used_bytes / 1e6:,.1f} MB"
    return f"{used} of {memory.limit_bytes / 1e6:,.1f} MB" if memory.limit_bytes else f"{used}, maxmemory not set"


def _workers(workers: Mapping[str, int]) -> str:
    return _names([f"{name} ({held})" for name, held in sorted(workers.items())])


def _names(names: Sequence[str]) -> str:
    shown = ", ".join([*names[:NAMES], *(["…"] if len(names) > NAMES else [])])
    return f"{len(names)}: {shown}" if names else "none"


def _partitions(status: Status) -> str:
    in_streams = sum(place.entries for place in status.partitions)
    held = len(status.partitions) - len(status.unheld)
    return f"{len(status.partitions)}, {held} held by workers; {in_streams:,} entries in their streams"


def _lag(behind: Sequence[Behind | None]) -> str:
    from realtime.verdict import entries_text

    known = [(one.waiting_ms, p) for p, one in enumerate(behind) if one]
    if not known:
        return "not known"
    waiting_ms, p = max(known)
    where = f", the oldest for {waiting_ms:,} ms (partition {p})" if waiting_ms else ""
    return f"{entries_text(behind)} entries{where}"


def _rates(rates: Rates) -> str:
    named = (("added", rates.added), ("worked", rates.worked), ("archived", rates.archived))
    said = (f"{name} {'not known' if rate is None else f'{rate:,.1f}/s'}" for name, rate in named)
    return f"{', '.join(said)} (over {rates.seconds:.1f} s)"


def _profiles(profiles: Profiles) -> str:
    from lambent.utc import time_text

    if profiles.version < 0:
        return "none published"
    age = f"as of {time_text(profiles.cutoff_ms)}, {profiles.age_ms / 3_600_000:,.1f} h ago"
    return f"version {profiles.version}, {age if profiles.cutoff_ms else 'of files alone'}"


def _versions(counts: Mapping[str, int]) -> str:
    """One for all partitions, or how many have come to each."""
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{name} in {n} partitions" for name, n in sorted(counts.items()))


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--sample", type=_seconds, default=SAMPLE_S, metavar="S",
        help="measure rates over S seconds; 0: none (default: %(default)s)",
    )  # fmt: skip


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 60:
        raise ValueError(text)
    return seconds


def run(arguments: argparse.Namespace, settings: Settings) -> Any:
    """Look, and say what is wrong."""
    from realtime.connection import in_words
    from realtime.status import read_status
    from realtime.store import open_store
    from realtime.verdict import judge

    store, meta = open_store(settings, create=False)
    with in_words():
        status = read_status(store, meta.partitions, arguments.sample)
    findings = list(judge(status, settings.stream_max_events))
    if not arguments.json:
        print("\n".join(lines(status, findings)))
    bad = any(finding.status == "problem" for finding in findings)
    report = {"ok": not bad, "findings": msgspec.to_builtins(findings), **msgspec.to_builtins(status)}
    return Failed(report) if bad else report


COMMAND = Command(
    help="see how the running system does",
    description=(
        "Reads the store and nothing else: who works, how far worker and archiver are behind the log, rates, what is\n"
        "published and which model is in force, and the store's memory; then what is wrong, and what to do. Changes nothing.\n"
        "Exits with 1 if there is a problem, or if the store is away; warnings leave it at 0."
    ),
    examples=(
        ("lambent status", "one screen"),
        ("watch lambent status", "again and again"),
        ("lambent status --json --sample 0", "every partition, for a monitor"),
    ),
    configure=configure,
    run=run,
)
