"""The page of the commands."""

from __future__ import annotations

import argparse

from infra.reference.markdown import code, markdown, table
from lambent.cli import Command, add_command, load_commands

WIDTH = 100
"""Columns of the usage lines."""


def cli_page() -> str:
    """Every command."""
    commands = sorted(load_commands().items())
    rows = ((f"[`lambent {name}`](#lambent-{name})", command.help) for name, command in commands)
    return f"""# Commands

The exit code is 0 where all is well, 1 where a job failed or found that something is not well, 2 where the call itself
was wrong. An error is one line that says what to do. Every command takes `--json`, which prints the report for machines,
and `--debug`, which shows the trace of an error.

{table(("command", "what it does"), rows)}
{"".join(_command(name, command) for name, command in commands)}"""


def _command(name: str, command: Command) -> str:
    subparsers = argparse.ArgumentParser(prog="lambent").add_subparsers()
    add_command(subparsers, name, command)
    parser = subparsers.choices[name]
    parser.formatter_class = lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=WIDTH)
    arguments = [
        (code(_spelling(action)), _help(parser, action))
        for action in parser._actions
        if action.dest not in ("help", "json", "debug")
    ]
    examples = "".join(f"* `{line}`: {meaning}\n" for line, meaning in command.examples)
    return f"""
## lambent {name}

{" ".join(markdown(command.description).split())}

```text
{parser.format_usage().removeprefix("usage: ").rstrip()}
```

{table(("argument", "meaning"), arguments) if arguments else ""}
{examples}"""


def _spelling(action: argparse.Action) -> str:
    value = action.metavar if isinstance(action.metavar, str) else None
    if action.choices:
        value = ", ".join(map(str, action.choices))
    if not action.option_strings:
        return value or action.dest.upper()
    return " ".join([", ".join(action.option_strings), *([value or action.dest.upper()] if action.nargs != 0 else [])])


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return f"{text}; needed" if action.required and action.option_strings else text
