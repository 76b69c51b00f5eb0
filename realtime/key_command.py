"""``lambent key``: who may call the server."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from lambent.cli import Command
from lambent.errors import UsageError
from lambent.settings import Settings
from lambent.utc import time_text
from realtime.api_keys import ApiKey, Scope, create_key, read_keys, revoke_key

SCOPES = [str(scope) for scope in Scope]


def describe(keys: list[dict[str, Any]]) -> str:
    """The keys for people."""
    if not keys:
        return "There are no API keys."
    return "\n".join(f"{k['id']}  {k['created']}  {','.join(k['scopes']):<16} {k['name']}".rstrip() for k in keys)


def shown(key: ApiKey) -> dict[str, Any]:
    """What may be said of a key."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": [str(s) for s in key.scopes],
        "created": time_text(key.created_ms),
    }


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("action", choices=("create", "list", "revoke"), help="what to do")
    parser.add_argument("id", nargs="?", metavar="ID", help="revoke: which one; list names them")
    parser.add_argument(
        "--scope", action="append", choices=SCOPES, dest="scopes", help="create: what it may do; may be given again"
    )
    parser.add_argument("--name", default="", metavar="TEXT", help="create: who has it, for people")


def run(arguments: argparse.Namespace, settings: Settings) -> Any:
    """``lambent key create | list | revoke``.

    Raises:
        UsageError: a scope or an id is missing, or there is no such key.
    """
    path = settings.api_keys_file
    if arguments.action == "create":
        return _create(arguments, settings)
    if arguments.action == "list":
        keys = [shown(key) for key in read_keys(path)]
        if not arguments.json:
            print(describe(keys))
        return keys
    if arguments.id is None:
        raise UsageError("Which key is to be revoked?", "Name its ID: lambent key list.")
    revoked = shown(revoke_key(path, arguments.id))
    if not arguments.json:
        print(f"{arguments.id} is revoked: servers refuse it within a second.")
    return revoked


def _create(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """The key alone goes to stdout, so that it can be piped to where it is kept."""
    if not arguments.scopes:
        raise UsageError("What may the key do?", f"Say --scope {' or '.join(SCOPES)}, several if need be.")
    scopes = [Scope(name) for name in dict.fromkeys(arguments.scopes)]
    secret, key = create_key(settings.api_keys_file, arguments.name, scopes)
    if not arguments.json:
        print(secret)
        words = f"This is key {key.id}. It is shown this once; {settings.api_keys_file} holds only its hash."
        print(words, file=sys.stderr)
    return {**shown(key), "key": secret}


COMMAND = Command(
    help="make, list and revoke the server's API keys",
    description=(
        "Once there is a key, every request to the server has to bring one: Authorization: Bearer KEY. A key may send\n"
        "events (write), read intents (read), read the metrics (admin), or several of these. Running servers see a new\n"
        "key, and a revoked one, within a second."
    ),
    examples=(
        ("lambent key create --scope write --name checkout", "a key that may send events; it is printed once"),
        ("lambent key create --scope read --scope admin", "one that may read intents and metrics"),
        ("lambent key list", "the ids, scopes and names of all"),
        ("lambent key revoke 5f0c1a9be377", "this one is refused from now on"),
    ),
    configure=configure,
    run=run,
)
