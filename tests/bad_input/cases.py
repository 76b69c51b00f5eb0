"""The tables of bad input, ``events.toml`` and ``files.toml``, as cases. What a case can say stands at the head of each."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lambent.events import Rejection
from lambent.keys import pseudonym

FOLDER = Path(__file__).parent
RAW_USER = "visitor-7"
START_MS = 1_700_000_000_000
SKIPPED = "skipped"
"""What a door says of a line that it passes over."""

Reasons = dict[str, str]
"""What a door says, by the case's name: the code of a rejection, ``""`` for an event, or ``SKIPPED``."""


@dataclasses.dataclass(frozen=True)
class EventCase:
    """One line, and what every door says of it.

    Attributes:
        name: a sentence.
        number: names the case's event.
        table: what ``events.toml`` says.
    """

    name: str
    number: int
    table: dict[str, Any]

    @property
    def id(self) -> str:
        """The event's id, where the case leaves it one."""
        return f"case-{self.number}"

    def data(self, user: str) -> bytes:
        """The line, with the visitor as the door knows it: a pseudonym or the shop's own id."""
        if "bytes" in self.table:
            return joined(self.table["bytes"]).replace(b"USER", user.encode())
        good = {"user": user, "type": "view", "event_ms": START_MS, "id": self.id}
        members = {k: v for k, v in good.items() if k not in self.table.get("without", ())}
        text = msgspec.json.encode(members | {k: _value(v) for k, v in self.table.get("with", {}).items()})
        return text[:-1] + b"," + joined(self.table["raw"]) + b"}" if "raw" in self.table else text

    def reason(self, door: str = "reason") -> str:
        """What a door says: ``http``, ``pseudonymous`` or ``file``; all others say the same."""
        return self.table.get(door, self.table["reason"])


@dataclasses.dataclass(frozen=True)
class FileCase:
    """One file that is read by the mapping of ``files.toml``, and what becomes of it.

    Attributes:
        name: a sentence.
        content: the file's bytes.
        error: the class of the error that refuses it; empty if it can be read.
        words: part of the error's text.
        events: how many of its rows are events.
        rejected: how many are not, by reason.
    """

    name: str
    content: bytes
    error: str = ""
    words: str = ""
    events: int = 0
    rejected: Counter[str] = dataclasses.field(default_factory=Counter)

    def write(self, folder: Path) -> Path:
        """Write the file under its name."""
        path = folder / f"{self.name.replace(' ', '-')}.csv"
        path.write_bytes(self.content)
        return path


@functools.cache
def event_cases() -> tuple[EventCase, ...]:
    """The table of lines."""
    return tuple(EventCase(t["name"], n, t) for n, t in enumerate(_load("events.toml")["case"]))


@functools.cache
def file_cases() -> tuple[FileCase, ...]:
    """The table of files."""
    return tuple(
        FileCase(**{k: v for k, v in t.items() if k not in ("content", "rejected")},
                 content=joined(t["content"]), rejected=Counter(t.get("rejected", {})))
        for t in _load("files.toml")["case"]
    )  # fmt: skip


def readable_files() -> list[FileCase]:
    """Those whose rows are read."""
    return [case for case in file_cases() if not case.error]


def refused_files() -> list[FileCase]:
    """Those that are refused whole."""
    return [case for case in file_cases() if case.error]


def write_mapping(folder: Path) -> Path:
    """The mapping that all files are read by."""
    path = folder / "shop.toml"
    path.write_text(_load("files.toml")["mapping"])
    return path


def expected(door: str = "reason") -> Reasons:
    """What the table says of a door."""
    return {case.name: case.reason(door) for case in event_cases()}


def lines(user: str) -> list[bytes]:
    """All cases, in the table's order, each after a healthy event, and one more at the end."""
    found = [line for case in event_cases() for line in (_healthy(user, case.number), case.data(user))]
    return [*found, _healthy(user, len(event_cases()))]


def told(outcomes: Mapping[bytes, object], of: Sequence[bytes]) -> Reasons:
    """What a door said of each case.

    Args:
        outcomes: by line an event, a ``Rejection`` or its code; what is not there was passed over.
        of: the lines that it was given, of which the healthy ones have to be events.
    """
    reasons = [_reason(outcomes[line]) if line in outcomes else SKIPPED for line in of]
    assert set(reasons[0::2]) == {""}, "healthy events between bad ones were refused"
    return {case.name: reason for case, reason in zip(event_cases(), reasons[1::2], strict=True)}


def _reason(outcome: object) -> str:
    if isinstance(outcome, str):
        return outcome
    return outcome.reason if isinstance(outcome, Rejection) else ""


def _healthy(user: str, number: int) -> bytes:
    event = {"user": user, "type": "cart", "event_ms": START_MS + number, "id": f"healthy-{number}"}
    return msgspec.json.encode(event)


def sealed(key: bytes) -> str:
    """The visitor's pseudonym."""
    return pseudonym(RAW_USER, key)


def joined(parts: Any) -> bytes:
    """Bytes from a text, ``{hex}``, ``{repeat, times}``, ``{gzip, cut, flip}``, or a list of such parts."""
    if isinstance(parts, str):
        return parts.encode()
    if isinstance(parts, list):
        return b"".join(joined(part) for part in parts)
    if "hex" in parts:
        return bytes.fromhex(parts["hex"])
    if "encoding" in parts:
        return parts["text"].encode(parts["encoding"])
    if "gzip" in parts:
        packed = bytearray(gzip.compress(joined(parts["gzip"]), mtime=0))
        for at in parts.get("flip", ()):
            packed[at] ^= 0xFF
        return bytes(packed[: len(packed) - parts.get("cut", 0)])
    return joined(parts["repeat"]) * parts["times"]


def _value(value: Any) -> Any:
    """A member's value: as it stands, or a long one in short."""
    if not isinstance(value, dict):
        return value
    if "members" in value:
        return {f"k{n}": _value(value["of"]) for n in range(value["members"])}
    return joined(value).decode() if "repeat" in value else {name: _value(one) for name, one in value.items()}


def _load(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name).read_text())
