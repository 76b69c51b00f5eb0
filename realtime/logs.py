"""One line a happening on stderr: ``time level process event key=value …``. No user data ever goes into it."""

from __future__ import annotations

import logging
import sys
import time


def get_logger(name: str) -> logging.Logger:
    """The logger of one part of the realtime layer."""
    return logging.getLogger(f"lambent.{name}")


def start_logging(level: int = logging.INFO) -> None:
    """Write the lines of all parts to stderr; a second call changes nothing."""
    root = logging.getLogger("lambent")
    root.setLevel(level)
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ level=%(levelname)s part=%(name)s %(message)s")
    formatter.datefmt = "%Y-%m-%dT%H:%M:%S"
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    root.addHandler(handler)
    root.propagate = False


def fields(event: str, **values: object) -> str:
    """``event=... key=value ...``; a value with blanks is quoted."""
    return " ".join([f"event={event}", *(f"{key}={_quoted(value)}" for key, value in values.items())])


def _quoted(value: object) -> str:
    text = str(value)
    return '"' + text.replace('"', "'").replace("\n", " ") + '"' if any(c.isspace() for c in text) else text
