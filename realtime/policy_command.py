"""``lambent policy``: which rules are in force, and others from here on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.cli import Command
from lambent.errors import UsageError
from lambent.policy import Rule
from lambent.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("action", choices=("show", "set"), help="see what is in force, or put others in force")
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="set: TOML of rules; without one, those that are shipped"
    )


def run(arguments: argparse.Namespace, settings: Settings) -> Any:
    """``lambent policy show | set``.

    Raises:
        UsageError: the arguments contradict each other. SettingsError: the file is no policy of this taxonomy.
        StoreError: the store cannot be reached.
    """
    if arguments.action == "show" and arguments.file:
        raise UsageError("'policy show' takes no file.", "See lambent policy --help.")
    return _set(arguments, settings) if arguments.action == "set" else _show(arguments, settings)


def _set(arguments: argparse.Namespace, settings: Settings) -> Any:
    from lambent.control import PolicyEntry
    from lambent.policy import load_policy, rules_for
    from realtime.connection import in_words
    from realtime.store import open_store

    taxonomy = settings.load_taxonomy()
    rules = load_policy(arguments.file, taxonomy) if arguments.file else rules_for(taxonomy)
    store, meta = open_store(settings)
    with in_words():
        store.publish_control(PolicyEntry(rules), meta.partitions)
    if not arguments.json:
        print(f"{len(rules)} rules are in force from here on; {meta.partitions} partitions were told.")
    return {"rules": len(rules), "partitions": meta.partitions}


def _show(arguments: argparse.Namespace, settings: Settings) -> Any:
    from collections import Counter

    import msgspec

    from lambent import keys
    from lambent.policy import rules_for
    from realtime.connection import in_words
    from realtime.predict import read_control
    from realtime.store import open_store

    store, meta = open_store(settings, create=False)
    with in_words():
        controls = store.pipe_or_raise(("GET", keys.control(p)) for p in range(meta.partitions))
    shipped = rules_for(settings.load_taxonomy())
    found = [read_control(one).rules for one in controls]
    counts = Counter(shipped if rules is None else rules for rules in found)
    if not arguments.json:
        print("\n".join(describe(rules, n) for rules, n in counts.most_common()))
    return [{"partitions": n, "rules": msgspec.to_builtins(rules)} for rules, n in counts.most_common()]


def describe(rules: Sequence[Rule], partitions: int) -> str:
    """Rules for people."""
    lines = [f"in {partitions} partitions: {len(rules)} rules"]
    return "\n".join([*lines, *(f"  {one.intent:<12} from {one.threshold:.2f}  {one.action}" for one in rules)])


COMMAND = Command(
    help="see and change what follows from intents",
    description="A rule names an action when an intent is probable enough. 'set' sends a control entry to each partition: from its place\n"
    "in the log on, intents name the actions of the new rules. Nothing has to be started anew.",
    examples=(
        ("lambent policy show", "what is in force"),
        ("lambent policy set rules.toml", "with [[rules]], each of intent, threshold and action"),
        ("lambent policy set", "back to the rules that are shipped"),
    ),
    configure=configure,
    run=run,
)
