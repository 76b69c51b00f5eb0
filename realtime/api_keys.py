"""API keys: a file of hashes, and whether what a request brings is one of them.

A key is 256 random bits, so nobody can try the keys that a hash may have: a plain SHA-256 keeps it as safe as a slow hash
would, and a request does not pay for one (NIST SP 800-63B, 5.1.2, asks for slow hashes of secrets that people choose).
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from lambent.errors import DataError, UsageError
from realtime.logs import fields, get_logger

LOOK_S = 1.0
"""How long what the file said is taken for true."""

_FORM = re.compile(r"lambent_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")

log = get_logger("keys")


class Scope(enum.StrEnum):
    """What a key may do. None includes another."""

    WRITE = "write"
    READ = "read"
    ADMIN = "admin"


MEANINGS = {Scope.WRITE: "send events", Scope.READ: "read and follow intents", Scope.ADMIN: "read the server's metrics"}


class ApiKey(msgspec.Struct, frozen=True):
    """A key, without its secret.

    Attributes:
        id: names the key; it is part of it.
        name: who has it, for people.
        scopes: what it may do.
        sha256: of the whole key, in hex.
        created_ms: when it was made.
    """

    id: str
    name: str
    scopes: tuple[Scope, ...]
    sha256: str
    created_ms: int


class _File(msgspec.Struct, frozen=True):
    keys: tuple[ApiKey, ...] = ()


_NOBODY = ApiKey("", "", (), "0" * 64, 0)


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file, the oldest first; none where there is no file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).keys
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(f"The file of API keys {path} cannot be read ({error}).", "Put it back as it was.") from error


def create_key(path: Path, name: str, scopes: Sequence[Scope]) -> tuple[str, ApiKey]:
    """Add a key to the file, which only its owner may read; the key, which is kept nowhere else, and what is kept."""
    key_id = secrets.token_hex(6)
    secret = f"lambent_{key_id}_{secrets.token_urlsafe(32)}"
    kept = ApiKey(key_id, name, tuple(scopes), _hash(secret), time.time_ns() // 1_000_000)
    with _alone(path):
        _write(path, (*read_keys(path), kept))
    return secret, kept


def revoke_key(path: Path, key_id: str) -> ApiKey:
    """Take a key out of the file; what was kept of it.

    Raises:
        UsageError: there is none of this id.
    """
    with _alone(path):
        known = read_keys(path)
        found = next((one for one in known if one.id == key_id), None)
        if found is None:
            raise UsageError(f"There is no API key {key_id!r} in {path}.", "See them: lambent key list.")
        _write(path, tuple(one for one in known if one.id != key_id))
    return found


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Of two that change the file at once the second waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, keys: tuple[ApiKey, ...]) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(_File(keys)), indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


class Keyring:
    """The file's keys as they are now, for a server: what is revoked is refused within ``LOOK_S``.

    Where there has never been a file, no key is asked for. Once there has been one, it cannot be taken away: a file that
    is gone, or cannot be read, leaves the keys as they were.

    Args:
        path: the file.
        clock_s: a monotonic clock.

    Raises:
        DataError: the file cannot be read now, at the start.
    """

    def __init__(self, path: Path, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock_s = path, clock_s
        self._keys: dict[str, ApiKey] = {}
        self._asked = False
        self._stamp = self._now_stamp()
        self._take(read_keys(path))
        self._due_s = clock_s() + LOOK_S

    @property
    def asked(self) -> bool:
        """Whether a request has to bring a key."""
        self._look()
        return self._asked

    def __len__(self) -> int:
        self._look()
        return len(self._keys)

    def __contains__(self, key: ApiKey) -> bool:
        self._look()
        return self._keys.get(key.id) == key

    def find(self, secret: str) -> ApiKey | None:
        """The key that a text is; None if it is none. It takes as long for a text that is nearly one."""
        self._look()
        form = _FORM.fullmatch(secret)
        if form is None:
            return None
        known = self._keys.get(form[1], _NOBODY)
        return known if hmac.compare_digest(known.sha256, _hash(secret)) else None

    def _look(self) -> None:
        now_s = self._clock_s()
        if now_s < self._due_s:
            return
        self._due_s = now_s + LOOK_S
        stamp = self._now_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        if stamp is None:
            log.error(fields("keys-gone", path=self._path, remedy="The server goes on with those that it knows."))
            return
        try:
            self._take(read_keys(self._path))
        except DataError as error:
            log.error(fields("keys-not-readable", reason=error))

    def _take(self, keys: Sequence[ApiKey]) -> None:
        self._keys = {key.id: key for key in keys}
        self._asked = self._asked or self._stamp is not None
        if self._asked:
            log.info(fields("keys-read", keys=len(self._keys)))

    def _now_stamp(self) -> tuple[int, int, int] | None:
        """What changes when the file is replaced; None where there is none."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError:
            return 0, 0, 0  # it is there, and nobody may look
        return stat.st_ino, stat.st_mtime_ns, stat.st_size
