"""Turns what a file holds into what an event holds: texts, numbers, paths into nested values."""

from __future__ import annotations

import datetime
import decimal
import math
import re
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from lambent.events import MAX_DWELL_MS

MAX_TEXT = 512
_SHOWN = 40  # characters of a value that a message shows
_SAFE_FLOAT = 2**53


class Unfit(Exception):
    """A value that does not fit: ``reason`` is a short code, ``detail`` says it to a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Instant(int):
    """Milliseconds since 1970-01-01 UTC that a file declares to be a time."""


def shown(value: object) -> str:
    """A value as a message shows it: cut, and with what cannot be printed escaped."""
    text = value if isinstance(value, str) else str(value)
    return repr(text[:_SHOWN]) + ("…" if len(text) > _SHOWN else "")


def as_text(value: Any) -> str | None:
    """A single value as text; None stays missing, and so does a NaN, which is how pandas writes it.

    Raises:
        Unfit: the value is a list or an object, or bytes that are not UTF-8.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Instant):
        return instant_text(value)
    if isinstance(value, int | uuid.UUID):
        return str(value)
    if isinstance(value, float | decimal.Decimal):
        return _number_text(value)
    if isinstance(value, bytes):
        return _bytes_text(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise Unfit("value", f"a single value is needed, not a {type(value).__name__}")


def text_of(reason: str) -> Callable[[Any], str | None]:
    """``as_text``; a list or an object is rejected by the field's own reason."""

    def convert(value: Any) -> str | None:
        try:
            return as_text(value)
        except Unfit as unfit:
            raise Unfit(reason if unfit.reason == "value" else unfit.reason, unfit.detail) from unfit

    return convert


def _number_text(value: float | decimal.Decimal) -> str | None:
    """A whole number is written without a fraction: an id that went through a float is still the id."""
    if math.isnan(value):
        return None
    if -_SAFE_FLOAT < value < _SAFE_FLOAT and value == int(value):
        return str(int(value))
    return str(value)


def _bytes_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Unfit("encoding", "the value's bytes are not UTF-8") from None


def instant_text(value: int) -> str:
    """ISO 8601, UTC."""
    try:
        time = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=value)
    except OverflowError:
        raise Unfit("time", f"{int(value)} ms since 1970 is not a time") from None
    return time.isoformat() + "Z"


def as_loose_text(value: Any) -> str | None:
    """Like ``as_text``, but a list or an object becomes its JSON: for attributes, which may hold anything."""
    if isinstance(value, list | dict):
        return msgspec.json.encode(value, order="deterministic", enc_hook=str).decode()
    return as_text(value)


def limited(text: str, limit: int, field: str) -> str:
    """The text itself.

    Raises:
        Unfit: it is longer than ``limit`` characters.
    """
    if len(text) > limit:
        raise Unfit("too_long", f"{field} has {len(text)} characters; at most {limit} are taken")
    return text


def number_reader(field: str, mark: str, thousands: str, scale: float | None) -> Callable[[str], float]:
    """Compile how a number is read.

    Args:
        field: the event's field, which is also the reason of a rejection.
        mark: the decimal mark, a dot or a comma.
        thousands: what groups digits, or empty.
        scale: what the number is multiplied by, such as 0.01 for cents.
    """
    factor, divisor = _factor(scale)
    as_written = mark == "." and not thousands

    def read(text: str) -> float:
        plain = text if as_written else _plain_number(text, mark, thousands)
        try:
            if "_" in plain:  # Python would take 1_000
                raise ValueError
            return float(plain) * factor / divisor
        except ValueError:
            raise Unfit(field, f"{shown(text)} is not a number with the decimal mark '{mark}'") from None

    return read


def _plain_number(text: str, mark: str, thousands: str) -> str:
    """The number as Python writes it; a dot that is no decimal mark becomes what is no part of a number."""
    digits = text.replace(thousands, "") if thousands else text
    return digits if mark == "." else digits.replace(".", "_").replace(mark, ".")


def _factor(scale: float | None) -> tuple[float, float]:
    """A factor of one hundredth divides by 100: 57 * 0.01 is not 0.57, and 57 / 100 is."""
    if scale is None:
        return 1.0, 1.0
    divisor = round(1 / scale)
    return (1.0, float(divisor)) if divisor > 1 and math.isclose(1 / scale, divisor, rel_tol=1e-9) else (scale, 1.0)


def dwell(number: float) -> int:
    """Whole milliseconds.

    Raises:
        Unfit: below 0, or beyond what counts exactly.
    """
    if not 0 <= number < MAX_DWELL_MS:
        raise Unfit("dwell_ms", f"{number} ms is not a duration")
    return round(number)


# --- paths into nested values ------------------------------------------------------------------------------------------

Step = Callable[[Any], Any]
_STEP = re.compile(
    r"(?P<name>(?:[^.\[\]\\]|\\.)+)|\[(?P<index>\d+)\]|\[(?P<key>[^=\]]+)=(?P<value>[^\]]*)\]|(?P<dot>\.)"
)


def parse_path(path: str) -> tuple[Step, ...]:
    r"""Compile a dotted path: ``user.id``, ``items[0].id``, ``params[key=term].value``; ``\.`` is a dot in a name.

    Raises:
        ValueError: the path is not well-formed; the text says how.
    """
    steps: list[Step] = []
    position, after_dot = 0, True
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None or after_dot != (match["name"] is not None):
            raise ValueError(f"{path!r} is not a path: stopped at character {position + 1}")
        after_dot = match["dot"] is not None
        if not after_dot:
            steps.append(_step(match))
        position = match.end()
    if after_dot:
        raise ValueError(f"{path!r} is not a path: a name is missing at its end")
    return tuple(steps)


def first_name(path: str) -> str:
    """The first name of a path: the column of a Parquet file."""
    match = _STEP.match(path)
    return _plain(match["name"]) if match and match["name"] else path


def _plain(name: str) -> str:
    return re.sub(r"\\(.)", r"\1", name)


def _step(match: re.Match[str]) -> Step:
    if match["name"] is not None:
        return _member(_plain(match["name"]))
    return _element(int(match["index"])) if match["index"] is not None else _chosen(match["key"], match["value"])


def _member(name: str) -> Step:
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _element(index: int) -> Step:
    return lambda value: value[index] if isinstance(value, list) and index < len(value) else None


def _chosen(key: str, wanted: str) -> Step:
    def choose(value: Any) -> Any:
        elements = value if isinstance(value, list) else ()
        return next((e for e in elements if isinstance(e, dict) and str(e.get(key)) == wanted), None)

    return choose


def follow(steps: tuple[Step, ...]) -> Step:
    """One function for all steps; None where the path leads nowhere."""
    if len(steps) == 1:
        return steps[0]

    def walk(value: Any) -> Any:
        for step in steps:
            value = step(value)
            if value is None:
                return None
        return value

    return walk
