"""Writes the store's ACL file: ``python -m infra.acl [--disk] < passwords > users.acl``.

``passwords`` has a line for each role that is to be on: its name, a blank, its password. The file has their hashes only.
Without any line all users are off: that is the file beside this one, ``users.acl``. ``--disk`` is for
``LAMBENT_ACKNOWLEDGE=disk``: the server's user may also ask what is on the disk, which no Redis before 7.2 knows.
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
    if sys.argv[1:] not in ([], ["--disk"]):
        sys.exit("infra.acl: it takes --disk or nothing, and the passwords on its standard input.")
    try:
        sys.stdout.write(acl_file(read_passwords(sys.stdin), on_disk="--disk" in sys.argv))
    except UsageError as error:
        sys.exit(f"infra.acl: {error}")
