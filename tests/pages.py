"""The pages of the documentation, and what their code blocks do when they are run.

A block's language says what becomes of it:

    bash     is run, block after block in one shell; with "terminal" in its title it is left running meanwhile
    python   is run; the blocks of a page share their names
    text     is what the block before it says, `…` standing for anything. Under the title "For instance" every line must
             be said somewhere, whatever the numbers are
    toml     is read as what it is: a mapping, settings, a taxonomy, rules on traffic
    json     is parsed
    java, javascript   is a file of the documentation, which its title names; a test runs it

What is titled with a file's name is that file, also in Python.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from demo.environment import free_port
from infra.reference import made_pages

PROJECT = Path(__file__).resolve().parent.parent
DOCS = PROJECT / "docs"
LANGUAGES = ("bash", "java", "javascript", "json", "python", "text", "toml")
FOR_INSTANCE = "For instance"
ADDRESS = "127.0.0.1:8642"
"""Where the pages say that the server is."""

_FENCE = re.compile(r'^```(\w*)(?: title="([^"\n]*)")?\n(.*?)^```$', flags=re.DOTALL | re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        page: its page, as in ``pages()``.
        line: of the page, 1-based.
        language, title: as its fence says.
        text: what is in it.
    """

    page: str
    line: int
    language: str
    title: str
    text: str

    @property
    def stays(self) -> bool:
        """It is a command that runs on beside the others."""
        return "terminal" in self.title

    @property
    def is_file(self) -> bool:
        """It is a file below ``docs``, included."""
        return bool(self.title) and (DOCS / self.title).is_file()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@functools.cache
def pages() -> dict[str, str]:
    """Every page's text by its path from the project's root; those that are made from the code too."""
    written = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
    made = {f"docs/{path}": text for path, text in made_pages()}
    return {str(path.relative_to(PROJECT)): path.read_text() for path in written} | made


def blocks(page: str) -> list[Block]:
    """A page's code blocks, in order."""
    text = pages()[page]
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[1], found[2] or "", found[3])
        for found in _FENCE.finditer(text)
    ]


def all_blocks(language: str) -> list[Block]:
    """The blocks of one language on all pages."""
    return [block for page in pages() for block in blocks(page) if block.language == language]


def unmatched(expected: Block, said: str) -> str | None:
    """What of an output block was not said; None if all was."""
    if expected.title != FOR_INSTANCE:
        return None if _pattern(expected.text.strip(), re.DOTALL).fullmatch(said.strip()) else expected.text
    lines = [_shape(line) for line in said.splitlines()]
    wanted = [line for line in expected.text.splitlines() if line.strip()]
    return next((w for w in wanted if not any(_pattern(_shape(w)).fullmatch(line) for line in lines)), None)


def _pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace("…", ".*"), flags)


def _shape(line: str) -> str:
    """A line without its figures."""
    return " ".join(re.sub(r"\d[\d.,:-]*", "0", line.replace("█", "")).split())


def walk(names: Sequence[str], folder: Path, last: str = "", seconds: float = 500) -> dict[Block, str]:
    """Type the ``bash`` blocks of pages into one shell, in an empty folder; returns what each of them said.

    Args:
        names: the pages, in order.
        folder: where it runs.
        last: a command that is run at the end, while all that was started is still there.
        seconds: how long all of it may take.

    Raises:
        AssertionError: a command failed, or did not say what the page says.
    """
    outputs = folder / "outputs"
    outputs.mkdir()
    own = [block for page in names for block in blocks(page)]
    typed = [block for block in own if block.language == "bash"]
    port = free_port()
    script = _script(own, outputs, f"127.0.0.1:{port}", last)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("LAMBENT_")} | {
        "LAMBENT_STORE_URL": f"redis://127.0.0.1:{free_port()}/0",
        "LAMBENT_HTTP_PORT": str(port),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    shell = subprocess.Popen(["bash", "-eu", "-c", script], cwd=folder, env=variables, start_new_session=True)
    try:
        code = shell.wait(seconds)
    finally:
        if shell.poll() is None:
            os.killpg(shell.pid, signal.SIGKILL)
    said = {block: _read(outputs / f"{own.index(block)}.txt") for block in typed}
    reached = [block for block in typed if (outputs / f"{own.index(block)}.txt").exists()]
    assert code == 0, f"{reached[-1]}: exit code {code}\n{said[reached[-1]]}{_read(outputs / 'last.txt')}"
    for block, after in itertools.pairwise(own):
        if block.language == "bash" and after.language == "text":
            missing = unmatched(after, said[block])
            assert missing is None, f"{after}: was not said: {missing!r}\n{said[block]}"
    return said


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


_START = """
pids=
trap 'kill $pids 2>/dev/null || true; wait' EXIT
make() { command make -C "$PROJECT" --dry-run "$@" >/dev/null; }
await() { for _ in {1..600}; do grep -qF "$2" "$1" && return; sleep 0.1; done; return 1; }
"""


def _script(own: list[Block], outputs: Path, address: str, last: str) -> str:
    """The pages as one script. Where the set-up is concerned, make only says what it would do."""
    lines = [f"PROJECT={PROJECT}", _START]
    for at, block in enumerate(own):
        file, text = outputs / f"{at}.txt", block.text.replace(ADDRESS, address)
        if block.language != "bash":
            continue
        if block.stays:
            lines.append(f'{{ exec {text.strip()}; }} >{file} 2>&1 & pids+=" $!"')
            after = own[at + 1] if at + 1 < len(own) else block
            if after.language == "text":
                lines.append(f"await {file} '{after.text.splitlines()[-1].partition('…')[0].strip()}'")
        else:
            lines += [f"exec >{file} 2>&1", text]
    return "\n".join([*lines, f"exec >{outputs}/last.txt 2>&1", last])
