"""Debian's Redis behind TLS with the users that Lambent ships, for tests: each role has a password of its own."""

from __future__ import annotations

import dataclasses
import subprocess
import time
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lambent.rights import ROLES, acl_file, hashed
from tests.stores import find_redis
from tests.tls import Authority, an_authority
from tests.valkey import START_S, free_port


def password(role: str) -> str:
    return f"{role}-secret"


@dataclasses.dataclass
class Guarded:
    """A running server.

    Attributes:
        port: its only one, for TLS.
        authority: who signed its certificate.
        process: its own.
    """

    port: int
    authority: Authority
    process: subprocess.Popen[bytes]
    clients: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def url(self, role: str, trusted: Path | None = None) -> str:
        """For a role's user."""
        return f"rediss://{role}:{password(role)}@127.0.0.1:{self.port}/0?ssl_ca_certs={trusted or self.authority.path}"

    def client(self, role: str) -> Any:
        """redis-py's own client."""
        if role not in self.clients:
            self.clients[role] = redis.Redis.from_url(self.url(role))
        return self.clients[role]


def start_guarded(folder: Path, days: int = 2, address: str = "127.0.0.1", users: str = "") -> Guarded:
    """Start a server with a certificate of an address, which is valid for so many days more; ``users``: another ACL file."""
    authority = an_authority(folder / "authority.crt")
    certificate, key = authority.sign(folder / "store.crt", address, days)
    file = folder / "users.acl"
    file.write_text(users or acl_file({role: hashed(password(role)) for role in ROLES}))
    options = {
        "port": 0, "dir": folder, "save": "", "appendonly": "no", "aclfile": file, "tls-port": (port := free_port()),
        "tls-cert-file": certificate, "tls-key-file": key, "tls-ca-cert-file": authority.path, "tls-auth-clients": "no",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(
        ["redis-server", *words, "--bind", "127.0.0.1"], executable=find_redis(), stdout=subprocess.DEVNULL
    )
    one = Guarded(port, authority, process)
    end_s = time.monotonic() + START_S
    while True:
        try:
            with redis.Redis(
                port=port, ssl=True, ssl_cert_reqs="none", ssl_check_hostname=False, retry=Retry(NoBackoff(), 0)
            ) as client:
                client.ping()
        except redis.exceptions.AuthenticationError:
            return one
        except redis.exceptions.ConnectionError:
            if time.monotonic() > end_s or process.poll() is not None:
                process.kill()
                raise
            time.sleep(0.01)


def stop_guarded(one: Guarded) -> None:
    """Stop a server."""
    one.process.terminate()
    one.process.wait(10)
