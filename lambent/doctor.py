"""``lambent doctor``: is this machine, and what Lambent stands on, in order?

A check is a function from a ``Question`` to findings. Each layer offers its own under the entry-point group
``lambent.checks`` (a sequence of such functions), so the core imports no layer. A check changes nothing that it looks at.
"""

from __future__ import annotations

import argparse
import importlib.metadata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from lambent.cli import Command, Failed
from lambent.errors import LambentError
from lambent.masking import mask_url
from lambent.settings import Settings

GROUP = "lambent.checks"
USERS = 1_000_000

Status = Literal["ok", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """What a check has found.

    Attributes:
        name: of the thing that was looked at, a word or two.
        status: ``ok``; ``warning``: works, but not as it should, or not yet; ``problem``: something will fail.
        detail: what was found, in one line.
        remedy: how to mend it, in one line; empty if it is ok.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


def ok(name: str, detail: str) -> Finding:
    """A finding that needs nothing."""
    return Finding(name, "ok", detail)


def warning(name: str, detail: str, remedy: str) -> Finding:
    """A finding that somebody should look at."""
    return Finding(name, "warning", detail, remedy)


def problem(name: str, detail: str, remedy: str) -> Finding:
    """A finding that makes the command fail."""
    return Finding(name, "problem", detail, remedy)


class Question(msgspec.Struct, frozen=True):
    """What checks are asked about.

    Attributes:
        settings: in force.
        users: how many users the store has to hold.
    """

    settings: Settings
    users: int = USERS


Check = Callable[[Question], Iterable[Finding]]


def load_checks() -> list[Check]:
    """The checks of all installed packages."""
    entries = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: entry.name)
    return [check for entry in entries for check in entry.load()]


def run_checks(checks: Sequence[Check], question: Question) -> Iterator[Finding]:
    """All findings, as they come. A check that cannot look is a finding too, and the others go on."""
    for check in checks:
        try:
            yield from check(question)
        except ImportError as error:
            yield warning(_name(check), f"not looked at: {error}", "Install the extra that this layer needs.")
        except LambentError as error:
            yield problem(_name(check), error.cause, error.remedy)
        except Exception as error:  # a doctor that falls ill says nothing of the rest
            detail = mask_url(f"could not look: {type(error).__name__}: {error}")
            yield problem(_name(check), detail, "Report this as a bug.")


def _name(check: Check) -> str:
    return getattr(check, "__name__", "check").removeprefix("check_").replace("_", " ")


def describe(finding: Finding) -> str:
    """A finding for people: one line, and one more with the remedy."""
    line = f"{finding.status:<8} {finding.name:<12} {finding.detail}"
    return f"{line}\n{'':<21} -> {finding.remedy}" if finding.remedy else line


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--users", type=_number, default=USERS, metavar="N", help=f"forecast the store for N users (default {USERS:,})"
    )


def _number(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _run(arguments: argparse.Namespace, settings: Settings) -> Any:
    findings = []
    for finding in run_checks(load_checks(), Question(settings, arguments.users)):
        findings.append(finding)
        if not arguments.json:
            print(describe(finding), flush=True)
    counts = Counter(finding.status for finding in findings)
    if not arguments.json:
        print(f"ok: {counts['ok']}, warnings: {counts['warning']}, problems: {counts['problem']}")
    report = {"ok": not counts["problem"], "checks": [msgspec.to_builtins(finding) for finding in findings]}
    return Failed(report) if counts["problem"] else report


COMMAND = Command(
    help="check this machine and what Lambent stands on",
    description="Looks at Java and Delta's jars, the Python packages, the store and its settings, MLflow, Airflow, ports,\n"
    "disk and clock, and forecasts the store's memory. Each finding is ok, a warning or a problem, with what to do.\n"
    "Changes nothing. Exits with 1 if there is a problem; a store that does not run is a warning.",
    examples=(
        ("lambent doctor", "after 'make setup', or when something does not work"),
        ("lambent doctor --users 20000000", "how much memory the store of a large shop needs"),
        ("lambent doctor --json", "for a monitor or a pipeline"),
    ),
    configure=_configure,
    run=_run,
)
