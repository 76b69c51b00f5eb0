"""Debian's Redis with TLS and the users that Lambent ships: each part does its work as its own user, and no more than that."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from infra.acl import read_passwords
from lambent import keys
from lambent.cli import main
from lambent.errors import StoreError, UsageError
from lambent.rights import ROLES, acl_file, glob, hashed
from lambent.settings import Settings, load_settings
from models.promotion import announce
from realtime.store import open_store
from spark_jobs import store as shop
from tests.chaos.processes import running
from tests.chaos.rig import TILE_MS, wait_until
from tests.guarded import Guarded, password, start_guarded, stop_guarded
from tests.http_server import VIEW, answers, post
from tests.pages import all_blocks
from tests.tls import an_authority
from tests.valkey import free_port

pytestmark = pytest.mark.integration
USER = "u" * 22
ROOT = Path(__file__).parents[2]

READ = {
    "hash": ("HGET", "f"), "string": ("GET",), "stream": ("XLEN",), "set": ("SCARD",), "zset": ("ZCARD",),
}  # fmt: skip
WRITE = {
    "hash": ("HSET", "f", "v"), "string": ("SET", "v"), "stream": ("XADD", "*", "e", "v"), "set": ("SADD", "v"),
    "zset": ("ZADD", "1", "v"),
}  # fmt: skip
"""By a key's type a command that reads it, and one that writes it; behind the command's name comes the key."""


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with tempfile.TemporaryDirectory(prefix="lambent-acl-") as folder:
        one = start_guarded(Path(folder))
        yield one
        stop_guarded(one)


@pytest.fixture
def root(guarded: Guarded, tmp_path: Path) -> Path:
    guarded.client("admin").flushall()
    return tmp_path


def settings_of(guarded: Guarded, role: str, root: Path, **values: object) -> Settings:
    return load_settings(root=root, store_url=guarded.url(role), partitions=4, tile_ms=TILE_MS, **values)


def is_allowed(guarded: Guarded, role: str, command: tuple[str, ...]) -> bool:
    """What the server itself says of a command, without doing it."""
    said = guarded.client("admin").execute_command("ACL", "DRYRUN", role, *command)
    return bool(said == b"OK")


def named(key: keys.Key) -> str:
    return key.pattern.replace("{p}", "{3}").replace("USER", USER)


@pytest.mark.parametrize("role", [name for name in ROLES if name not in ("operator", "admin")])
def test_a_role_reads_and_writes_what_its_keys_say_and_nothing_else(guarded: Guarded, role: str) -> None:
    for key in keys.KEYS:
        right = key.rights.get(role, "")
        for mark, table in (("R", READ), ("W", WRITE)):
            name, *rest = table[key.kind]
            allowed = is_allowed(guarded, role, (name, named(key), *rest))
            assert not allowed or mark in right, (role, name, key.pattern)


@pytest.mark.parametrize(
    ("role", "command", "allowed"),
    [
        ("collector", ("XADD", "events:{3}", "*", "e", "x"), True),
        ("collector", ("GET", f"intent:{{3}}:{USER}"), False),
        ("collector", ("MGET", f"intent:{{3}}:{USER}"), False),
        ("collector", ("XREAD", "STREAMS", "intents:{3}", "0"), False),
        ("collector", ("XTRIM", "events:{3}", "MAXLEN", "0"), False),
        ("collector", ("DEL", "events:{3}"), False),
        ("server", ("MGET", f"intent:{{3}}:{USER}"), True),
        ("server", ("HSET", "lambent:meta", "floor_ms", "0"), False),
        ("server", ("MGET", *(f"{key}:{{3}}:{USER}" for key in ("intent", "live", "profile")), "control:{3}"), True),
        ("server", ("XADD", "control:{3}", "*", "e", "x"), False),
        ("worker", ("XADD", "events:{3}", "*", "e", "x"), False),
        ("worker", ("SET", f"profile:{{3}}:{USER}", "x"), False),
        ("worker", ("HSET", "lambent:meta", "floor_ms", "0"), False),
        ("archiver", ("XTRIM", "events:{3}", "MAXLEN", "0"), True),
        ("archiver", ("GET", f"live:{{3}}:{USER}"), False),
        ("archiver", ("GET", f"intent:{{3}}:{USER}"), False),
        ("publisher", ("MSET", f"profile:{{3}}:{USER}", "x"), True),
        ("publisher", ("SET", f"live:{{3}}:{USER}", "x"), False),
        ("publisher", ("SET", "position:{3}", "0-0"), False),
        ("reader", ("GET", f"intent:{{3}}:{USER}"), True),
        ("reader", ("SET", f"intent:{{3}}:{USER}", "x"), False),
        ("reader", ("XADD", "events:{3}", "*", "e", "x"), False),
        ("reader", ("XDEL", "intents:{3}", "0-1"), False),
        ("reader", ("EVAL", "return 1", "0"), False),
        ("reader", ("GET", f"profile:{{3}}:{USER}"), False),
        *((role, command, False) for role in ("collector", "server", "worker", "archiver", "publisher", "reader", "operator")
          for command in (("FLUSHALL",), ("CONFIG", "SET", "maxmemory", "1"), ("ACL", "LIST"), ("SHUTDOWN",), ("KEYS", "*"))
          if (role, command[0]) not in {("operator", "FLUSHALL"), ("operator", "KEYS")}),
    ],
)  # fmt: skip
def test_what_matters_most_is_told_command_by_command(
    guarded: Guarded, role: str, command: tuple[str, ...], allowed: bool
) -> None:
    assert is_allowed(guarded, role, command) is allowed


def test_every_part_works_as_its_own_user_end_to_end(guarded: Guarded, root: Path) -> None:
    settings = settings_of(guarded, "server", root, http_port=free_port())
    parts = (
        running(settings_of(guarded, "worker", root), "worker"),
        running(settings_of(guarded, "archiver", root), "archiver", "--interval-ms", "100"),
        running(settings, "server"),
    )
    with (
        parts[0],
        parts[1],
        parts[2],
        httpx.Client(base_url=f"http://127.0.0.1:{settings.http_port}", timeout=20) as http,
    ):
        wait_until(lambda: answers(http), 60)
        said = post(http, [{**VIEW, "user": f"u{n}"} for n in range(20)], wait=10_000).json()
        assert (
            all(one["status"] == "ok" for one in said["intents"]) if "status" in said["intents"][0] else said["intents"]
        )
        operator = guarded.client("operator")
        wait_until(lambda: len(operator.hgetall(keys.ARCHIVED)) == 4, 60)
        wait_until(lambda: sum(operator.exists(keys.trimmed(p)) for p in range(4)) > 0, 60)
        assert len(http.get("/v1/users/u3/intent").json()["intent"]["probabilities"]) > 1
        assert http.get("/v1/users/u3/intent", params={"explain": "true"}).json()["explanation"]["parts"]
    for name in ("worker", "archiver", "server"):
        assert "NOPERM" not in (root / f"{name}.log").read_text()


def test_a_collector_takes_events_and_cannot_tell_what_anybody_is_about_to_do(guarded: Guarded, root: Path) -> None:
    open_store(settings_of(guarded, "worker", root))
    settings = settings_of(guarded, "collector", root, http_port=free_port())
    with (
        running(settings, "server"),
        httpx.Client(base_url=f"http://127.0.0.1:{settings.http_port}", timeout=20) as http,
    ):
        wait_until(lambda: answers(http), 60)
        assert post(http, VIEW).status_code == 202
        refused = http.get("/v1/users/anna/intent")
        assert (refused.status_code, refused.json()["title"]) == (503, "The store refuses this server")
    assert sum(guarded.client("operator").xlen(keys.events(p)) for p in range(4)) == 1


def test_batch_writes_profiles_and_a_model_is_announced_as_the_publisher(
    guarded: Guarded, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(guarded, "publisher", root)
    with shop.connected(settings) as store, shop.alone(store) as stay:
        assert shop.meet_store(store, settings) == 4
        shop.begin(store, 1, goes_on=False)
        shop.write_profiles(store, 4, {USER: b"x"})
        stay()
        assert shop.stored_profiles(store, 4, [USER]) == [b"x"]
        assert not shop.is_bare(store)
        shop.delete_keys(store, list(shop.keys_of([USER], 4)))
    monkeypatch.setattr("models.promotion.read_description", lambda folder: None)
    monkeypatch.setattr("models.promotion.digest", lambda folder: "0" * 64)
    assert announce(settings, 1) == 4


def test_people_look_on_as_the_operator(
    guarded: Guarded, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_store(settings_of(guarded, "worker", root))
    values = {"ROOT": str(root), "STORE_URL": guarded.url("operator"), "PARTITIONS": "4", "TILE_MS": str(TILE_MS)}
    for name, value in values.items():
        monkeypatch.setenv(f"LAMBENT_{name}", value)
    main(["status", "--json"])  # nothing runs, which it says
    assert main(["law"]) == 0
    assert main(["rebuild", "--dry-run"]) == 0
    main(["doctor"])
    said = capsys.readouterr()
    assert "NOPERM" not in said.out + said.err
    assert "redis 7.0" in said.out


def test_a_part_with_another_partys_rights_says_so_in_words(
    guarded: Guarded, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_store(settings_of(guarded, "worker", root))
    for name, value in {"STORE_URL": guarded.url("reader"), "PARTITIONS": "4", "TILE_MS": str(TILE_MS)}.items():
        monkeypatch.setenv(f"LAMBENT_{name}", value)
    monkeypatch.chdir(root)
    assert main(["worker"]) == 1
    assert "The store's user may not do this" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["wrong", "nobody"])
def test_a_wrong_password_and_an_unknown_user_are_told_in_words_that_hold_neither(
    guarded: Guarded, root: Path, url: str
) -> None:
    right = guarded.url("worker")
    store_url = right.replace("worker-secret", "wrong") if url == "wrong" else right.replace("//worker:", "//nobody:")
    with pytest.raises(StoreError, match="does not let this user in") as caught:
        open_store(load_settings(root=root, store_url=store_url))
    assert "secret" not in str(caught.value)


def test_a_certificate_of_a_foreign_authority_is_refused_in_words(guarded: Guarded, root: Path) -> None:
    foreign = an_authority(root / "foreign.crt")
    settings = load_settings(root=root, store_url=guarded.url("worker", foreign.path))
    with pytest.raises(StoreError, match="is signed by nobody that this machine trusts") as caught:
        open_store(settings)
    assert "ssl_ca_certs=FILE" in str(caught.value)
    with pytest.raises(StoreError, match="is signed by nobody"), shop.connected(settings):
        pass


@pytest.mark.parametrize(
    ("days", "address", "words"),
    [(-1, "127.0.0.1", "The store's certificate has expired"), (2, "127.0.0.2", "certificate is for another address")],
)
def test_an_expired_certificate_and_one_of_another_address_are_refused_in_words(
    tmp_path: Path, days: int, address: str, words: str
) -> None:
    one = start_guarded(tmp_path, days, address)
    try:
        with pytest.raises(StoreError, match=words):
            open_store(load_settings(root=tmp_path, store_url=one.url("worker")))
    finally:
        stop_guarded(one)


def test_nobody_comes_in_without_a_password(guarded: Guarded) -> None:
    url = guarded.url("worker").replace("worker:worker-secret@", "")
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis.from_url(url).get("lambent:meta")


def test_the_file_that_is_shipped_is_the_one_that_the_keys_make_and_lets_nobody_in() -> None:
    shipped = (ROOT / "infra" / "users.acl").read_text()
    assert shipped == acl_file()
    assert all(line.split()[2] == "off" for line in shipped.splitlines())


def test_passwords_go_in_by_a_file_and_come_out_as_hashes() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "infra.acl"], input="worker s3cret pass\n\nreader other\n", text=True, cwd=ROOT,
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert said == acl_file({"worker": hashed("s3cret pass"), "reader": hashed("other")})
    assert "s3cret" not in said
    with pytest.raises(UsageError, match="Line 2") as caught:
        read_passwords(io.StringIO("worker a\nwroker hidden\n"))
    assert "hidden" not in str(caught.value)


def test_the_page_makes_a_file_that_the_server_takes_and_that_lets_in_whom_it_names(tmp_path: Path) -> None:
    (block,) = (block for block in all_blocks("bash") if block.page.endswith("secure-the-store.md"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euo", "pipefail", "-c", block.text], cwd=tmp_path, env=environment, check=True)
    passwords = dict(line.split() for line in (tmp_path / "passwords").read_text().splitlines())
    users = (tmp_path / "users.acl").read_text()
    assert not any(secret in users for secret in passwords.values())
    one = start_guarded(tmp_path, users=users)
    try:
        for role, secret in passwords.items():
            url = one.url(role).replace(password(role), secret)
            with contextlib.closing(redis.Redis.from_url(url)) as client:
                assert client.ping()
    finally:
        stop_guarded(one)


def test_every_family_of_keys_has_a_pattern_that_matches_it_alone() -> None:
    assert len({glob(key) for key in keys.KEYS}) == len(keys.KEYS)
