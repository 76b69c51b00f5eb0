"""The page of the store's keys."""

from __future__ import annotations

from infra.reference.markdown import code, markdown, table
from lambent import keys
from lambent.rights import ROLES, rules


def keys_page() -> str:
    """Every key of the store."""
    rows = (
        (
            code(key.pattern),
            key.kind,
            markdown(key.meaning),
            key.written_by,
            key.read_by,
            key.lives,
            "yes" if key.public else "",
        )
        for key in keys.KEYS
    )
    return f"""# Keys of the store

`{{p}}` is a partition's number, in braces in the key too, so that all keys of a partition lie in one slot of a Cluster and
can change in one transaction. `USER` is a pseudonym. [How a shop's id becomes a key](redis.md#from-a-shops-id-to-its-key),
and what those may count on who read the store by a client of their own, is a page of its own: their keys are marked here.

{table(("key", "type", "what it holds", "written by", "read by", "how long it stays", "for all readers"), rows)}
## Users

[How to use them](../how-to/secure-the-store.md). A pattern that begins with `%R~` may be read, one with `~` written too. `-@all` takes everything
away that is not named.

{table(("user", "for", "its rules"), ((code(name), role.meaning, code(rules(name))) for name, role in ROLES.items()))}"""
