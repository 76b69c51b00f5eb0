"""``lambent intent``: what one visitor is about to do, for people."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lambent import keys
from lambent.cli import Command
from lambent.errors import DataError, UsageError
from lambent.events import UNDECODABLE, USER_PATTERN, Intent
from lambent.groups import GROUPS
from lambent.settings import Settings
from lambent.utc import time_text
from realtime.explanation import Explanation, Part, evidence_keys, make_explainer

if TYPE_CHECKING:
    from realtime.explain import Explainer
    from realtime.stores import FullStore

BAR = 24  # characters of a probability of 1
WIDE = max(map(len, GROUPS.values())) + 1
WATCH_S = 0.2


class Found(NamedTuple):
    """The newest intent, and, where it was asked for, why it is so."""

    intent: Intent
    explanation: Explanation | None = None


def find_intent(store: FullStore, partitions: int, user: str, explainer: Explainer | None = None) -> Found | None:
    """The newest intent of a pseudonym; None where there is none.

    Args:
        store: where it is.
        partitions: P.
        user: the pseudonym.
        explainer: says why; None: nobody asks.

    Raises:
        DataError: what the store holds is no intent.
        StoreError: to explain it, another version is needed.
    """
    p = keys.partition(user, partitions)
    if explainer is None:
        value, *beside = [store.call("GET", keys.intent(p, user))]
    else:
        value, *beside = store.call("MGET", *evidence_keys(p, user))
    if value is None:
        return None
    try:
        intent = msgspec.json.decode(value, type=Intent)
    except UNDECODABLE as error:
        raise DataError(
            f"The store holds no intent of this version ({error}).", "Is the worker of the same one?"
        ) from error
    return Found(intent, explainer.explain(intent, *beside) if explainer else None)


def describe(found: Found, now_ms: int) -> list[str]:
    """Lines for people: a bar for each intent, the actions, the model, the age; then why."""
    intent, explanation = found
    lines = [
        f"{name:>12} {probability:6.1%} {'█' * round(probability * BAR)}"
        for name, probability in sorted(intent.probabilities.items(), key=lambda item: -item[1])
    ]
    lines.append(f"{'actions':>12} {', '.join(intent.actions) or 'none'}")
    lines.append(f"{'model':>12} {intent.model}, after {intent.session_events} events of the session")
    lines.append(f"{'age':>12} {max(now_ms - intent.ingest_ms, 0) / 1000:,.1f} s")
    return [*lines, "", *describe_parts(intent, explanation)] if explanation else lines


def describe_parts(intent: Intent, explanation: Explanation) -> list[str]:
    """A table: by how many points of percent each part moved each intent, and a bar for the one that was moved most."""
    base, said, parts = explanation.base_rates, intent.probabilities, explanation.parts
    shown = max(list(base)[1:], key=lambda name: abs(said[name] - base[name]))  # the first holds where nothing decides
    longest = max((abs(part.moved[shown]) for part in parts), default=0.0) or 1.0
    lines = [f"{'why':<{WIDE}}" + "".join(f"{name:>11}" for name in base) + f"   bar: {shown}"]
    lines.append(_row("base rates", [f"{rate:.1%}" for rate in base.values()]))
    for part in parts:
        moved = part.moved[shown] / longest
        cells = [f"{100 * part.moved[name]:+.1f}" for name in base]
        lines.append(_row(_named(part), cells, ("█" if moved > 0 else "░") * round(abs(moved) * BAR)))
    lines.append(_row("together", [f"{said[name]:.1%}" for name in base]))
    return [*lines, explanation.undivided] if explanation.undivided else lines


def _row(name: str, cells: Iterable[str], bar: str = "") -> str:
    return (f"{name:<{WIDE}}" + "".join(f"{cell:>11}" for cell in cells) + f"   {bar}").rstrip()


def _named(part: Part) -> str:
    if part.kind == "profile":
        return GROUPS[part.name]
    return f"{part.events} earlier events" if part.kind == "earlier" else f"{time_text(part.at_ms)[11:]} {part.name}"


def watch(store: FullStore, partitions: int, user: str, explainer: Explainer | None) -> None:
    """Print each new intent until Ctrl-C."""
    last: Intent | None = None
    while True:
        found = find_intent(store, partitions, user, explainer)
        if found is not None and found.intent != last:
            print("\n".join([*describe(found, time.time_ns() // 1_000_000), ""]), flush=True)
            last = found.intent
        time.sleep(WATCH_S)


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("user", metavar="USER", help="the shop's own id of the visitor")
    parser.add_argument("--pseudonym", action="store_true", help="USER is a pseudonym already")
    parser.add_argument("--explain", action="store_true", help="say why: what the profile and each event did to it")
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
    explainer = make_explainer(settings, meta.tile_ms) if arguments.explain else None
    with in_words():
        if arguments.watch:
            watch(store, meta.partitions, user, explainer)
        found = find_intent(store, meta.partitions, user, explainer)
    if found is None:
        raise DataError("No intent is known of this visitor.", "Did an event of theirs arrive in the last 14 days?")
    intent, explanation = found
    age_ms = max(time.time_ns() // 1_000_000 - intent.ingest_ms, 0)
    if not arguments.json:
        sys.stdout.write("\n".join(describe(found, intent.ingest_ms + age_ms)) + "\n")
    why = {"explanation": msgspec.to_builtins(explanation)} if explanation else {}
    return {"intent": msgspec.to_builtins(intent), "age_ms": age_ms, **why}


COMMAND = Command(
    help="show what a visitor is about to do",
    description="Prints a visitor's newest intent: probabilities, actions, model, age. --explain says what moved it.",
    examples=(
        ("lambent intent anna", "the newest intent of the visitor that the shop calls anna"),
        ("lambent intent anna --explain", "and what the profile and each event of the session did to it"),
        ("lambent intent anna --watch", "and every new one from now on"),
    ),
    configure=configure,
    run=run,
)
