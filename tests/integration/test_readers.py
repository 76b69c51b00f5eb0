"""The readers of the documentation: stock clients of three languages read what the worker wrote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from pyspark.errors import PySparkRuntimeError

from infra.jars import resolve
from infra.reference.contract import EXAMPLE_IDS, EXAMPLE_KEY, FOLDER, READERS
from lambent import keys
from lambent.events import Event, Intent
from tests.chaos.rig import Rig, make_rig
from tests.pages import DOCS, PROJECT, all_blocks
from tests.valkey import free_port, start_valkey, stop_valkey

pytestmark = pytest.mark.integration
JEDIS = "redis.clients:jedis:6.2.0"
CACHE = PROJECT / "var" / "readers"
"""Where the other languages' clients are kept between runs."""
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A store in which the worker has answered the visitors of the page's table, each differently."""
    folder = tmp_path_factory.mktemp("readers")
    valkey = start_valkey(folder, free_port())
    rig = make_rig(valkey, folder, partitions=64)
    rig.feed_now([
        Event(user=keys.pseudonym(one, EXAMPLE_KEY), type="view", event_ms=1_700_000_000_000 + n, id=f"e{n}")
        for n, one in enumerate(EXAMPLE_IDS)
    ])  # fmt: skip
    rig.drain()
    yield rig
    stop_valkey(valkey)


def run(command: Sequence[str], rig: Rig, folder: Path = PROJECT) -> None:
    """Each visitor's intent is printed as the store has it, and ``null`` for one whom nobody knows."""
    said = {one.event_id: one for one in rig.said()}
    variables = {**os.environ, "LAMBENT_STORE_URL": rig.url, "LAMBENT_USER_KEY": EXAMPLE_KEY.hex()}
    for n, visitor in enumerate((*EXAMPLE_IDS, "nobody")):
        done = subprocess.run(
            [*command, visitor], cwd=folder, env=variables, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        printed = json.loads(done.stdout)
        if visitor == "nobody":
            assert printed is None
        else:
            assert msgspec.convert(printed, Intent) == said[f"e{n}"]


def needed(*programs: str) -> None:
    """Skip where this machine lacks a program."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on this machine")


def test_the_reader_in_python_reads_what_the_worker_wrote(rig: Rig) -> None:
    run([sys.executable, str(DOCS / FOLDER / "reader.py")], rig)


@pytest.mark.long
def test_the_reader_in_node_reads_what_the_worker_wrote(rig: Rig) -> None:
    needed("node", "npm")
    folder = CACHE / "node"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "reader.mjs"):
        shutil.copy2(DOCS / FOLDER / name, folder / name)
    done = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund", "--prefer-offline"], cwd=folder, capture_output=True, text=True, check=False
    )  # fmt: skip
    if any(word in done.stderr for word in OFFLINE):
        pytest.skip("the npm packages cannot be fetched from here")
    assert done.returncode == 0, done.stderr
    run(["node", "reader.mjs"], rig, folder)


@pytest.mark.long
def test_the_reader_in_java_reads_what_the_worker_wrote(rig: Rig) -> None:
    needed("java", "javac")  # a file of source is compiled as it is started
    run(["java", "-cp", str(jedis() / "*"), str(DOCS / FOLDER / "Reader.java")], rig)


def jedis() -> Path:
    """The folder of Jedis' jars, fetched once."""
    folder = CACHE / JEDIS.replace(":", "-")
    if not folder.exists():
        try:
            jars = resolve(JEDIS)
        except PySparkRuntimeError:
            pytest.skip("Jedis' jars cannot be fetched from here")
        fetched = folder.with_suffix(".new")
        shutil.rmtree(fetched, ignore_errors=True)
        fetched.mkdir(parents=True)
        for jar in jars:
            shutil.copy2(jar, fetched / jar.name)
        fetched.rename(folder)
    return folder


def test_every_file_that_the_documentation_includes_is_one_of_these_readers() -> None:
    included = {
        block.title: block.text
        for block in all_blocks("java") + all_blocks("javascript") + all_blocks("python")
        if block.is_file
    }
    assert set(included) == {f"{FOLDER}/{name}" for _, _, name in READERS}
    assert all(text == (DOCS / title).read_text() for title, text in included.items())
