"""Runs a command as a process of its own and says how long it took and how much memory it and its children held."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

SAMPLE_S = 0.25


@dataclasses.dataclass(frozen=True)
class Run:
    """``seconds`` from start to end; ``peak_gib`` of proportional set size, shared pages being shared out, 0 if it was not weighed."""

    seconds: float
    peak_gib: float
    output: str


def python(module: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path, weigh: bool = True) -> Run:
    """Run ``python -m module``; ``weigh``: say how much memory it held. To ask that of some large processes takes a good part of
    a core, and holds up what they do meanwhile: not where their speed is wanted.

    Raises:
        SystemExit: it failed; its output is in ``log``.
    """
    print(f"  {module} {' '.join(arguments)}", file=sys.stderr, flush=True)
    started_s, peak = time.monotonic(), 0
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env={**os.environ, **environment}, stdout=subprocess.PIPE,
            stderr=errors, text=True,
        )  # fmt: skip
        while weigh and process.poll() is None:
            peak = max(peak, held_bytes(process.pid))
            time.sleep(SAMPLE_S)
        output = process.communicate()[0]
    if process.returncode:
        raise SystemExit(f"{module} failed; see {log}")
    return Run(time.monotonic() - started_s, peak / 2**30, output)


def held_bytes(pid: int) -> int:
    """Of the process and all below it."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
    except psutil.Error:
        return total
    return total
