"""``lambent up``: the whole system on this machine, until it is told to stop."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lambent.cli import Command
from lambent.errors import LambentError, UsageError
from lambent.settings import Settings

if TYPE_CHECKING:
    from demo.parts import Plan
    from demo.supervisor import Part, Supervisor

TURN_SECONDS = 0.1


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--without", default="", metavar="PARTS",
        help="leave these out: any of store, server, worker, archiver, airflow, mlflow, with commas between them",
    )  # fmt: skip


def _run(arguments: argparse.Namespace, settings: Settings) -> None:
    from demo.environment import variables, write_spark_conf
    from demo.families import adopt_orphans, end_children
    from demo.parts import make_plan
    from demo.supervisor import Supervisor
    from realtime.running import stop_on_signals

    without, stop = parse_without(arguments.without), threading.Event()
    with only_one(settings.root), _hang_up_ends(), stop_on_signals(stop):
        plan = make_plan(settings, without, _say)
        if "airflow" not in without:
            write_spark_conf(plan.settings)
        adopt_orphans()
        env = variables(plan.settings) | plan.env
        supervisor = Supervisor(
            plan.parts, settings.root / "logs", env, _say, lambda part: _say(_ready_line(plan, part))
        )
        try:
            _keep(supervisor, plan, stop, arguments.json)
        finally:
            _say("Stopping.")
            supervisor.stop()
            end_children()
            _say("Stopped: no process is left. Started again, it goes on from here.")


def _keep(supervisor: Supervisor, plan: Plan, stop: threading.Event, as_json: bool) -> None:
    """Keep the parts running until ``stop`` is set; say once when all of them are ready."""
    said = False
    while not stop.wait(TURN_SECONDS):
        supervisor.turn()
        if supervisor.all_ready and not said:
            said = True
            _say(f"All is up. Ctrl-C stops it. Logs: {supervisor.logs}")
            if as_json:
                print(json.dumps(plan.addresses), flush=True)


def parse_without(text: str) -> set[str]:
    """The parts to leave out.

    Raises:
        UsageError: one is not a part.
    """
    from demo.parts import NAMES

    without = {name.strip() for name in text.split(",")} - {""}
    if unknown := sorted(without - set(NAMES)):
        raise UsageError(f"--without {unknown[0]}: there is no such part.", f"Parts are: {', '.join(NAMES)}.")
    return without


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Hold the folder's lock; it is free again when this process ends, however that happens.

    Raises:
        LambentError: another process holds it.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            cause = f"Lambent is up already in {root} (process {file.read().strip()})."
            raise LambentError(cause, "Stop that one first, or choose another folder: LAMBENT_ROOT.") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextlib.contextmanager
def _hang_up_ends() -> Iterator[None]:
    """A terminal that is closed ends all, as SIGTERM does, unless it is ignored (``nohup``)."""
    before = signal.getsignal(signal.SIGHUP)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _ready_line(plan: Plan, part: Part) -> str:
    notes = {"worker": "/metrics", "archiver": "/metrics", "server": "  (its API: /schema)"}
    address = plan.addresses.get(part.name, "")
    return f"ready  {part.name:<18} {address}{notes.get(part.name, '')}".rstrip()


def _say(text: str) -> None:
    """Words are for people: standard output is for ``--json``. A terminal that is gone keeps nothing from being stopped."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


COMMAND = Command(
    help="run the whole system on this machine until Ctrl-C",
    description="Runs the store, the server, a worker, the archiver, Airflow (web UI, scheduler, DAG processor) and MLflow's\n"
    "UI, all on this machine, and says where each is once it is ready. What ends is started again, with its reason.\n"
    "Everything lies under ROOT: a second start goes on where the first stopped. A port that is taken is replaced.\n"
    "With --json, one object of addresses is printed when all is ready. Airflow's DAGs start paused.",
    examples=(
        ("lambent up", "all of it"),
        ("lambent up --without airflow,mlflow", "only what answers live events"),
    ),
    configure=_configure,
    run=_run,
)
