"""A port for each server: the usual one, or another where that is taken."""

from __future__ import annotations

import socket
from collections.abc import Callable

from demo.environment import free_port

LOOPBACK = "127.0.0.1"


def pick_port(what: str, usual: int, say: Callable[[str], None], host: str = LOOPBACK) -> int:
    """The usual port if nobody listens there, else a free one, and a word about it. 0 means any."""
    if usual and not is_taken(usual, host):
        return usual
    port = free_port()
    if usual:
        say(f"Port {usual} is taken: {what} takes {port}.")
    return port


def is_taken(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could not listen on a port."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        return True
    return False


def http_url(host: str, port: int) -> str:
    """The address of a server."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
