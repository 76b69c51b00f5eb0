"""What the README tells a newcomer to type is typed here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.environment import free_port
from tests.readme import PROJECT, command_blocks

BLOCKS = command_blocks(PROJECT / "README.md")
BY_HAND = next(block for block in BLOCKS if "lambent store" in block)


def test_every_make_command_of_the_readme_is_a_target() -> None:
    commands = [
        line.split("#")[0].split() for block in BLOCKS for line in block.splitlines() if line.startswith("make")
    ]
    assert ["make", "demo"] in commands
    assert ["make", "test"] in commands
    for command in commands:
        subprocess.run([*command, "--dry-run"], cwd=PROJECT, check=True, capture_output=True)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (PROJECT / "README.md").read_text())
    assert links
    assert [link for link in links if not link.startswith("http") and not (PROJECT / link).exists()] == []


@pytest.mark.slow
def test_the_parts_run_by_hand_as_the_readme_says(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("LAMBENT_")} | {
        "LAMBENT_STORE_URL": f"redis://127.0.0.1:{free_port()}/0",
        "LAMBENT_HTTP_PORT": str(free_port()),
        "LAMBENT_TILE_MS": "1000",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    said = tmp_path / "said.txt"
    with said.open("w") as output:
        shell = subprocess.Popen(
            ["bash", "-e", "-c", BY_HAND],
            cwd=tmp_path,
            env=variables,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        assert shell.wait(200) == 0, said.read_text()
        assert "every live profile is the fold of all events" in said.read_text()
    finally:
        os.killpg(shell.pid, signal.SIGTERM)  # the parts that the page leaves in the background
