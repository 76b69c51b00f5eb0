"""TLS in front of a server that has none, the wheel's Valkey; and certificates for those that have it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import ipaddress
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
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

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


@dataclasses.dataclass(frozen=True)
class Authority:
    """Who signs certificates; ``path`` is the file of its own, which a client trusts."""

    path: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def sign(self, path: Path, address: str = "127.0.0.1", days: int = 2) -> tuple[Path, Path]:
        """The files of a certificate of an address and of its key; with a negative number of days it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        made = _certificate("store", key.public_key(), self.certificate.subject, days)
        made = made.add_extension(names, critical=False)
        path.write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        own = path.with_suffix(".key")
        own.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return path, own


def an_authority(path: Path) -> Authority:
    """One that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.stem)])
    made = _certificate(path.stem, key.public_key(), subject, 2)
    certificate = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
        key, hashes.SHA256()
    )
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return Authority(path, certificate, key)


def _certificate(name: str, key: ec.EllipticCurvePublicKey, issuer: x509.Name, days: int) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
    )
