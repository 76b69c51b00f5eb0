"""``lambent intent``: what one visitor is about to do, for people."""

from __future__ import annotations

import argparse
import re
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec

from lambent import keys
from lambent.cli import Command
from lambent.errors import DataError, UsageError
from lambent.events import UNDECODABLE, USER_PATTERN, Intent
from lambent.settings import Settings

if TYPE_CHECKING:
    from realtime.stores import FullStore

BAR = 24  # characters of a probability of 1
WATCH_S = 0.2


def find_intent(store: FullStore, partitions: int, user: str) -> Intent | None:
    """The newest intent of a pseudonym; None where there is none.

    Raises:
        DataError: what the store holds is no intent.
    """
    value = store.call("GET", keys.intent(keys.partition(user, partitions), user))
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=Intent)
    except UNDECODABLE as error:
        raise DataError(
            f"The store holds no intent of this version ({error}).", "Is the worker of the same one?"
        ) from error


def describe(intent: Intent, now_ms: int) -> list[str]:
    """Lines for people: a bar for each intent, the actions, the model, the age."""
    lines = [
        f"{name:>12} {probability:6.1%} {'█' * round(probability * BAR)}"
        for name, probability in sorted(intent.probabilities.items(), key=lambda item: -item[1])
    ]
    lines.append(f"{'actions':>12} {', '.join(intent.actions) or 'none'}")
    lines.append(f"{'model':>12} {intent.model}, after {intent.session_events} events of the session")
    lines.append(f"{'age':>12} {max(now_ms - intent.ingest_ms, 0) / 1000:,.1f} s")
    return lines


def watch(store: FullStore, partitions: int, user: str) -> None:
    """Print each new intent until Ctrl-C."""
    last: Intent | None = None
    while True:
        intent = find_intent(store, partitions, user)
        if intent is not None and intent != last:
            print("\n".join([*describe(intent, time.time_ns() // 1_000_000), ""]), flush=True)
            last = intent
        time.sleep(WATCH_S)


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("user", metavar="USER", help="the shop's own id of the visitor")
    parser.add_argument("--pseudonym", action="store_true", help="USER is a pseudonym already")
    parser.add_argument("--watch", action="store_true", help="go on, and show every new intent")


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any] | None:
    """Print the newest intent.

    Raises:
        DataError: none is known.
    """
    from realtime.connection import in_words
    from realtime.store import open_store

    store, meta = open_store(settings, create=False)
    user = arguments.user if arguments.pseudonym else keys.pseudonym(arguments.user, settings.user_key_bytes())
    if not re.fullmatch(USER_PATTERN, user):
        raise UsageError(f"{user!r} is not a pseudonym.", "Leave out --pseudonym to look up the shop's own id.")
    with in_words():
        if arguments.watch:
            watch(store, meta.partitions, user)
        intent = find_intent(store, meta.partitions, user)
    if intent is None:
        raise DataError("No intent is known of this visitor.", "Did an event of theirs arrive in the last 14 days?")
    age_ms = max(time.time_ns() // 1_000_000 - intent.ingest_ms, 0)
    if not arguments.json:
        sys.stdout.write("\n".join(describe(intent, intent.ingest_ms + age_ms)) + "\n")
    return {"intent": msgspec.to_builtins(intent), "age_ms": age_ms}


COMMAND = Command(
    help="show what a visitor is about to do",
    description="Prints a visitor's newest intent: probabilities, actions, model, age.",
    examples=(
        ("lambent intent anna", "the newest intent of the visitor that the shop calls anna"),
        ("lambent intent anna --watch", "and every new one from now on"),
    ),
    configure=configure,
    run=run,
)
