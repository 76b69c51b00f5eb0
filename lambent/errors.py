"""Every error that Lambent raises on purpose, in one tree.

    LambentError            exit code 1: a job that failed
    ├── DataError           a table, file or record is not what it has to be
    │   └── UnwritableError a table cannot be written just now: its disk is full, or not ours to write on
    ├── StoreError          Valkey/Redis cannot be reached, or holds what this version cannot read
    │   └── FencedError     another process has moved the position; what this one held is void
    ├── ModelError          an artifact is missing, broken, or made for other features
    └── UsageError          exit code 2: the call itself is wrong
        ├── SettingsError   a setting is unknown or not valid
        └── MappingError    a mapping file is wrong; says the line to mend

An error speaks to the person who meets it: ``cause`` says what happened and where, ``remedy`` what to do.
"""

from __future__ import annotations


class LambentError(Exception):
    """What happened, and what to do about it.

    Args:
        cause: one sentence: what happened, and where (file, line, key, row).
        remedy: one sentence: what to do now.
    """

    exit_code = 1

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}".rstrip()


class DataError(LambentError):
    """A table, file or record is not what it has to be."""


class UnwritableError(DataError):
    """A table cannot be written just now; once there is room, the same call does what this one could not."""


class StoreError(LambentError):
    """The store cannot be reached, or holds what this version cannot read."""


class FencedError(StoreError):
    """Another process has moved the position: what this one computed is void and was not written."""


class ModelError(LambentError):
    """A model artifact is missing, broken, or made for other features."""


class UsageError(LambentError):
    """The call itself is wrong."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is unknown or not valid."""


class MappingError(UsageError):
    """A mapping file is wrong. ``line`` is the 1-based line to mend, 0 where the whole file is meant."""

    def __init__(self, file: str, line: int, cause: str, remedy: str = "") -> None:
        super().__init__(f"{file}:{line}: {cause}" if line else f"{file}: {cause}", remedy)
        self.file = file
        self.line = line
