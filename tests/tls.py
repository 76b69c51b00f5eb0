"""TLS in front of a server that has none: the wheel's Valkey."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.valkey import Valkey


def a_certificate(path: Path) -> Path:
    """A certificate of 127.0.0.1 that signs itself, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on this machine")
    asked = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=store -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(["openssl", "req", *asked.split(), *files], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@contextmanager
def tls_before(valkey: Valkey, certificate: Path) -> Iterator[str]:
    """The URL of the server behind TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    opened: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        store, to_store = await asyncio.open_connection("127.0.0.1", urlsplit(valkey.url).port)
        await asyncio.gather(carry(source, to_store), carry(store, sink), return_exceptions=True)

    async def serve() -> None:
        door, closed = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context), asyncio.Event()
        opened.set_result((door.sockets[0].getsockname()[1], asyncio.get_running_loop(), closed))
        await closed.wait()

    serving = threading.Thread(target=lambda: asyncio.run(serve()))
    serving.start()
    port, loop, closed = opened.result()
    yield f"rediss://127.0.0.1:{port}/0"
    loop.call_soon_threadsafe(closed.set)
    serving.join()


async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Pass bytes on until there are no more."""
    while data := await source.read(65_536):
        sink.write(data)
    sink.close()
