"""Checks of the machine: Python and its packages, disk and clock."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import lambent
from lambent.doctor import Finding, Question, ok, problem, warning
from lambent.events import MAX_EVENT_MS

PYTHONS = ((3, 11), (3, 12))
LOCK = Path(lambent.__file__).parents[1] / "requirements.lock"
"""Beside the code in a checkout; a wheel has none."""

SCARCE_BYTES, LITTLE_BYTES = 1 << 30, 5 << 30
"""Free space below which the next job fails, and below which a large one may."""

TIME_ERROR = 5  # adjtimex: the kernel's clock is not synchronised
RELEASE_MS = 1_735_689_600_000  # 2025-01-01: no clock that is right is before it

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[.*?\])?(?:==(?P<pin>[^;\s]+))?")
_PROCESSOR = re.compile(r"platform_machine == '(\w+)'")
_LOCKED = re.compile(r"^([\w.-]+)==([^;\s]+)", re.MULTILINE)


def check_python(question: Question) -> Iterator[Finding]:
    """Horovod and TensorFlow tie Lambent to two releases of Python."""
    found = platform.python_version()
    if sys.version_info[:2] in PYTHONS:
        yield ok("python", f"{found} at {sys.executable}")
    else:
        yield problem("python", f"{found} is neither 3.11 nor 3.12", "Make the environment with one of them.")


def check_packages(question: Question) -> Iterator[Finding]:
    """Versions of what Lambent imports itself, against its exact pins and ``requirements.lock``."""
    pins, locked = required(), read_lock(LOCK)
    found = {name: _installed(name) for name in pins}
    wrong = [f"{n} {v} (not {pins[n]})" for n, v in found.items() if v and pins[n] and v != pins[n]]
    other = [
        f"{n} {v} (locked {' or '.join(sorted(locked[n]))})"
        for n, v in found.items()
        if v and not pins[n] and n in locked and v not in locked[n]
    ]
    missing = [name for name, version in found.items() if version is None]
    if wrong:
        yield problem("packages", f"known not to work: {', '.join(wrong)}", "Install what is locked: make setup.")
    if other:
        yield warning("packages", f"untested: {', '.join(other)}", "Install what is locked: make setup.")
    if missing:
        yield warning("packages", f"not installed: {', '.join(missing)}", "Install the extras that you use.")
    if not wrong + other + missing:
        yield ok("packages", f"{len(found)} as {'locked' if locked else 'pinned'}")


def required() -> dict[str, str | None]:
    """What Lambent's own metadata ask for on this processor, those for development aside: name and exact pin."""
    pins: dict[str, str | None] = {}
    for text in importlib.metadata.requires("lambent") or ():
        processors = _PROCESSOR.findall(text)
        match = _REQUIREMENT.match(text)
        if match and "extra == 'dev'" not in text and (not processors or platform.machine() in processors):
            pins[match["name"]] = match["pin"]
    return pins


def read_lock(path: Path) -> dict[str, set[str]]:
    """The versions that a lock file allows, by package; empty where there is no such file."""
    locked: dict[str, set[str]] = {}
    for name, version in _LOCKED.findall(path.read_text()) if path.exists() else ():
        locked.setdefault(name, set()).add(version)
    return locked


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_disk(question: Question) -> Iterator[Finding]:
    """Space, and the right to write, under ROOT; the folder itself need not be there yet."""
    root = question.settings.root
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    free_bytes = shutil.disk_usage(there).free
    detail = f"{free_bytes / 1e9:.1f} GB free under {root}"
    if not there.is_dir() or not os.access(there, os.W_OK):
        yield problem("disk", f"{there} is no folder that this user may write to", "Set LAMBENT_ROOT to one.")
    elif free_bytes < SCARCE_BYTES:
        yield problem("disk", detail, "Free some, or set LAMBENT_ROOT to a larger disk.")
    elif free_bytes < LITTLE_BYTES:
        yield warning("disk", detail, "Enough for a demo; a real history needs more.")
    else:
        yield ok("disk", detail)


def check_clock(question: Question) -> Iterator[Finding]:
    """A clock far off puts every event beyond what ``admit`` takes, or into another time; a drifting one makes them late."""
    now_ms = time.time_ns() // 1_000_000
    shown = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now_ms / 1000)) + " UTC"
    if not RELEASE_MS <= now_ms < MAX_EVENT_MS:
        yield problem("clock", f"it is not {shown}", "Set this machine's clock.")
    elif is_drifting():
        yield warning("clock", f"{shown}; nothing keeps it in step", "Run an NTP client (chrony, systemd-timesyncd).")
    else:
        yield ok("clock", shown)


def is_drifting() -> bool:
    """Whether the kernel says that no NTP client keeps its clock; False where it does not say."""
    try:
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # zeros: read only
    except (OSError, AttributeError):
        return False
    return state == TIME_ERROR


CHECKS = (check_python, check_packages, check_disk, check_clock)
