"""The frame of the command ``lambent``: finds commands, parses, reports, and turns errors into one line.

A command is a ``Command`` that a package offers under the entry-point group ``lambent.commands``; the core imports no
layer. A module that offers one keeps its heavy imports inside ``run``, so that ``--help`` is quick.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import lambent
from lambent.errors import LambentError, UsageError
from lambent.settings import Settings, load_settings

GROUP = "lambent.commands"
STOPPED = 130
"""The exit code of what was stopped by Ctrl-C, as shells have it."""
_EXTRAS = (
    "Install what this command needs: pip install 'lambent[realtime]' for the live parts, [batch] for Spark's jobs, "
    "[train] for models, [demo] for all."
)


@dataclasses.dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        help: one line for the list of commands.
        description: what it does and when one needs it.
        examples: command lines, each with what it shows: ``(line, meaning)``.
        configure: adds the arguments to the parser.
        run: does the work; returns what ``--json`` prints (None: nothing), having printed for people itself
            unless ``arguments.json``. ``Failed`` around it makes the exit code 1, or another.
    """

    help: str
    description: str
    examples: Sequence[tuple[str, str]]
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Settings], Any]


@dataclasses.dataclass(frozen=True)
class Failed:
    """The report of a command that did its work and found that all is not well, or was stopped: printed like any other."""

    report: Any
    exit_code: int = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 the job failed, 2 the call was wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        return _run(arguments)
    except LambentError as error:
        if debug:
            raise
        print(f"lambent: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if debug:
            raise
        print(f"lambent: {error.name} is not installed. {_EXTRAS}", file=sys.stderr)
        return UsageError.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: say nothing at exit
        return 0
    except KeyboardInterrupt:
        print("lambent: stopped.", file=sys.stderr)
        return STOPPED
    except Exception as error:
        if debug:
            raise
        print(f"lambent: {type(error).__name__}: {error} Run again with --debug for the trace.", file=sys.stderr)
        return 1


def _run(arguments: list[str]) -> int:
    parser = _build_parser()
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.print_help()
        return 0
    result = parsed.run(parsed, load_settings())
    exit_code, report = (result.exit_code, result.report) if isinstance(result, Failed) else (0, result)
    if parsed.json and report is not None:
        print(json.dumps(report, indent=2, sort_keys=True))
    return exit_code


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lambent",
        description="What each shopper is about to do, said for every live event. Start with: lambent demo",
        epilog="Settings come from LAMBENT_* variables, .env and lambent.toml.",
    )
    parser.add_argument("--version", action="version", version=f"lambent {lambent.__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, command in sorted(load_commands().items()):
        add_command(subparsers, name, command)
    return parser


def load_commands() -> dict[str, Command]:
    """Commands of all installed packages, by name. One whose package lacks an extra says so when it is called."""
    return {entry.name: _load(entry) for entry in importlib.metadata.entry_points(group=GROUP)}


def _load(entry: importlib.metadata.EntryPoint) -> Command:
    try:
        command: Command = entry.load()
        return command
    except ImportError as error:
        missing = error

        def run(arguments: argparse.Namespace, settings: Settings) -> None:
            raise UsageError(f"'{entry.name}' cannot be loaded ({missing}).", "Install the extra that it needs.")

        return Command("(not installed)", str(missing), (), lambda parser: None, run)


def add_command(subparsers: Any, name: str, command: Command) -> None:
    """Add one command with what all commands share: examples in the help, ``--json``, ``--debug``."""
    examples = "".join(f"\n  {line}\n      {meaning}" for line, meaning in command.examples)
    parser = subparsers.add_parser(
        name,
        help=command.help,
        description=command.description,
        epilog=f"examples:{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.configure(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON, for machines")
    parser.add_argument("--debug", action="store_true", help="show the trace of an error")
    parser.set_defaults(run=command.run)
