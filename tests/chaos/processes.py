"""Lambent's commands as real processes, to be killed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from lambent.settings import PREFIX, Settings

Process = subprocess.Popen[bytes]


def spawn(settings: Settings, *arguments: str, environment: Mapping[str, str] | None = None) -> Process:
    """Start ``lambent ARGUMENTS`` on the store and folder of these settings; its log goes to a file there."""
    variables = {
        PREFIX + name.upper(): str(value.get_secret_value() if isinstance(value, SecretStr) else value)
        for name, value in settings
        if name in settings.model_fields_set
    }
    python_path = str(Path(__file__).parents[2])
    with (settings.root / f"{arguments[0]}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lambent", *arguments],
            env=os.environ | variables | {"PYTHONPATH": python_path} | dict(environment or {}),
            cwd=settings.root,
            stdout=log,
            stderr=log,
        )


@contextmanager
def running(settings: Settings, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """A process that is stopped as a service manager would, at the end."""
    process = spawn(settings, *arguments, environment=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
