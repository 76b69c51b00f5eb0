"""``lambent simulate``: writes a simulated shop's events as JSON lines."""

from __future__ import annotations

import argparse
import datetime
from typing import TYPE_CHECKING, Any

from lambent.cli import Command
from lambent.settings import Settings

if TYPE_CHECKING:
    from lambent.simulate.simulation import Summary


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--users", type=int, default=4000, metavar="N", help="how many shoppers (default 4000)")
    parser.add_argument("--days", type=int, default=14, metavar="D", help="how many days (default 14)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="same seed, same bytes (default 1)")
    parser.add_argument(
        "--start",
        type=datetime.date.fromisoformat,
        default=datetime.date(2025, 1, 6),
        metavar="DATE",
        help="the first day, UTC (default 2025-01-06, a Monday)",
    )
    parser.add_argument("--truth", metavar="FILE", help="where to write the truth: each event's probabilities, exact")
    parser.add_argument(
        "--shift", type=int, metavar="DAY", help="rates of the intents shift from this day on (0: first)"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="where to write; FILE.gz is compressed")


def _run(arguments: argparse.Namespace, settings: Settings) -> Any:
    import msgspec

    from lambent.simulate.simulation import simulate
    from lambent.simulate.writing import write

    simulation = simulate(arguments.users, arguments.days, arguments.seed, start=arguments.start, shift=arguments.shift)
    write(simulation, arguments.out, arguments.truth)
    if not arguments.json:
        print(_report(simulation.summary, arguments.out))
    return {**msgspec.to_builtins(simulation.summary), "out": arguments.out, "truth": arguments.truth}


def _report(summary: Summary, out: str) -> str:
    """The summary for people."""
    types = ", ".join(f"{name} {count:,}" for name, count in summary.events_by_type.items())
    shares = ", ".join(f"{name} {share:.1%}" for name, share in summary.session_shares().items())
    return (
        f"{out}: {summary.lines:,} lines in order of arrival\n"
        f"  events    {summary.events:,}: {types}\n"
        f"  sessions  {summary.sessions:,}: {shares}\n"
        f"  bots      {summary.bot_sessions:,} sessions with {summary.bot_events:,} of the events\n"
        f"  mess      {summary.late:,} late, {summary.duplicates:,} duplicates, {summary.broken:,} broken lines"
    )


COMMAND = Command(
    help="write a simulated shop's events",
    description="Writes the events of a simulated shop as JSON lines, in the order in which they would arrive: with "
    "late ones,\nduplicates and broken lines, and with raw user ids, as a producer sends them. For a first try, for "
    "tests and\nfor load, where no real log is at hand. The truth says, for each event of a person, how likely each intent was\ngiven all that could be seen so far: no model can do better.",
    examples=(
        ("lambent simulate --out events.jsonl", "two weeks of 4,000 shoppers"),
        (
            "lambent simulate --users 27000 --days 30 --seed 7 --out events.jsonl.gz",
            "some 2 million events, compressed",
        ),
        (
            "lambent simulate --out events.jsonl --truth truth.jsonl --shift 10",
            "other rates from day 10 on; what was to be expected after each event",
        ),
    ),
    configure=_configure,
    run=_run,
)
