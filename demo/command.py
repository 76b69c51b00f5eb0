"""``lambent demo``: the whole loop once, on simulated events or on a real log."""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambent.cli import Command
from lambent.errors import UsageError
from lambent.settings import Settings

if TYPE_CHECKING:
    from demo.environment import Processes
    from demo.live import Traffic
    from demo.screen import Screen
    from demo.source import Source

DEFAULT_USERS = 4_000
DEFAULT_TRAFFIC_SECONDS = 55


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--input", type=Path, metavar="FILE", help="a real log: CSV, JSON lines or Parquet")
    parser.add_argument("--mapping", metavar="NAME", help="how to read it: rees46, taobao, lambent or a TOML file")
    parser.add_argument(
        "--users", type=int, default=DEFAULT_USERS, metavar="N", help=f"simulated shoppers (default {DEFAULT_USERS:,})"
    )
    parser.add_argument(
        "--traffic-seconds", type=int, default=DEFAULT_TRAFFIC_SECONDS, metavar="S",
        help=f"how long the live traffic lasts at least (default {DEFAULT_TRAFFIC_SECONDS})",
    )  # fmt: skip


def _run(arguments: argparse.Namespace, settings: Settings) -> Any:
    from rich.console import Console

    from demo.environment import demo_settings, running
    from demo.screen import Screen

    if arguments.mapping and not arguments.input:
        raise UsageError("A mapping without a log.", "Name the log: --input FILE (make demo INPUT=FILE MAPPING=…).")
    start = time.monotonic()
    own = demo_settings(settings)
    shutil.rmtree(own.root, ignore_errors=True)
    screen = Screen(Console(stderr=arguments.json))
    with running(own) as processes:
        found = _loop(arguments, own, processes, screen, start)
    return found if arguments.json else None


def _loop(
    arguments: argparse.Namespace, settings: Settings, processes: Processes, screen: Screen, start: float
) -> dict[str, Any]:
    from demo.batch import build_and_train
    from demo.environment import start_store
    from demo.live import check_law, run_traffic, start_parts
    from demo.report import report

    screen.title("1. A log")
    processes.start("airflow-db", ["airflow", "db", "migrate"])  # takes seconds and nobody waits for it yet
    source = _source(arguments, settings, screen)
    screen.say(f"    {source.label}; history before {source.before}: {source.history_events:,} events")
    screen.title("2. Batch: Airflow has Spark build profiles and sessions, Horovod train, the registry decide")
    start_store(processes)
    processes.wait("airflow-db")
    build_and_train(settings, processes, screen, source)
    screen.title("3. Live: events in, intents out, profiles published in the midst of it")
    start_parts(settings, processes)
    traffic = run_traffic(settings, processes, screen, source, arguments.traffic_seconds)
    screen.title("4. The lambda law: is what live computed what batch computes?")
    with screen.step("law, every user", "users") as step:
        law = check_law(settings, processes)
        step.update(law["users"])
    processes.stop("server")
    processes.stop("worker")
    return _finish(settings, screen, source, traffic, law, start, report)


def _finish(
    settings: Settings, screen: Screen, source: Source, traffic: Traffic, law: dict[str, Any], start: float, report: Any
) -> dict[str, Any]:
    from demo.summary import write_summary

    with screen.step("pictures") as step:
        found: dict[str, Any] = report(settings, source, traffic, law)
        step.note("")
    found |= {"steps": [one.as_dict() for one in screen.steps], "seconds": round(time.monotonic() - start, 1)}
    write_summary(settings, screen, found)
    return found


def _source(arguments: argparse.Namespace, settings: Settings, screen: Screen) -> Source:
    from demo.source import real, simulated

    name = "read the log" if arguments.input else "simulate a shop"
    with screen.step(name, "events", own_bar=not arguments.input) as step:
        if arguments.input:
            source = real(settings, arguments.input, arguments.mapping)
        else:
            source = simulated(settings, arguments.users)
        step.update(source.history_events + len(source.live))
    return source


COMMAND = Command(
    help="run the whole of Lambent once, on this machine",
    description="Runs the whole loop with every real part: ingest, profiles, training, live prediction, profiles again "
    "while\ntraffic flows, and the check that live and batch agree for every user. Takes about four minutes on two cores "
    "and\nends by itself; what it made lies in ROOT/demo.",
    examples=(
        ("lambent demo", "on a simulated shop"),
        (
            "lambent demo --input 2019-Oct.csv.gz --mapping rees46",
            "on a real log: the first part history, the rest live",
        ),
    ),
    configure=_configure,
    run=_run,
)
