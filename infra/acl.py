"""Writes the store's ACL file: ``python -m infra.acl < passwords > users.acl``.

``passwords`` has a line for each role that is to be on: its name, a blank, its password. The file has their hashes only.
Without any line all users are off: that is the file beside this one, ``users.acl``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from lambent.errors import UsageError
from lambent.rights import ROLES, acl_file, hashed


def read_passwords(lines: Iterable[str]) -> dict[str, str]:
    """The hash of each role's password.

    Raises:
        UsageError: a line names no role, or no password; the message repeats neither.
    """
    found = {}
    for number, line in enumerate(lines, 1):
        role, _, password = line.strip().partition(" ")
        if not role:
            continue
        if role not in ROLES or not password:
            raise UsageError(
                f"Line {number} of the passwords is no role with a password.", f"Roles are: {', '.join(ROLES)}."
            )
        found[role] = hashed(password)
    return found


if __name__ == "__main__":
    try:
        sys.stdout.write(acl_file(read_passwords(sys.stdin)))
    except UsageError as error:
        sys.exit(f"infra.acl: {error}")
