"""Compiles how a time is read: to whole milliseconds since 1970-01-01 UTC, rounded down."""

from __future__ import annotations

import datetime
import decimal
import functools
import re
import zoneinfo
from collections.abc import Callable
from typing import Any

from lambent.mapping.values import Instant, Unfit, as_text, shown

ISO = "iso8601"
UNITS_PER_MS = {"s": decimal.Decimal("0.001"), "ms": decimal.Decimal(1), "us": decimal.Decimal(1000)}
UNITS_PER_MS["ns"] = decimal.Decimal(1_000_000)
CACHED_TIMES = 65_536  # a log in order repeats its seconds

_SAMPLE = datetime.datetime(2019, 10, 27, 21, 43, 5, 123456)
_EPOCH = datetime.datetime(1970, 1, 1)
_EPOCH_UTC = _EPOCH.replace(tzinfo=datetime.UTC)
_MS = datetime.timedelta(milliseconds=1)
_OFFSET = re.compile(r"([+-])(\d\d):(\d\d)")
_MAX_DIGITS = 30  # of a number of units: keeps 1e999999999 from filling the memory

TimeReader = Callable[[Any], int]


def load_zone(name: str) -> datetime.tzinfo:
    """A time zone by its IANA name or as an offset such as ``+02:00``.

    Raises:
        ValueError: there is no such zone.
    """
    if name == "UTC":
        return datetime.UTC
    try:
        match = _OFFSET.fullmatch(name)
        return zoneinfo.ZoneInfo(name) if match is None else _fixed_zone(*match.groups())
    except (LookupError, OSError, ValueError):
        raise ValueError(f"{name!r} is not a time zone") from None


def _fixed_zone(sign: str, hours: str, minutes: str) -> datetime.tzinfo:
    offset = datetime.timedelta(hours=int(hours), minutes=int(minutes))
    return datetime.timezone(-offset if sign == "-" else offset)


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with a strptime pattern, or None: it is tried on a time of our own."""
    try:
        read = datetime.datetime.strptime(_SAMPLE.strftime(pattern), pattern)
    except (ValueError, re.error, OverflowError) as error:
        return f"{pattern!r} is not a strptime pattern ({error})"
    if (read.year, read.month, read.day) != (_SAMPLE.year, _SAMPLE.month, _SAMPLE.day):
        return f"{pattern!r} does not say year, month and day"
    return None


def time_reader(format: str | None, unit: str | None, zone: datetime.tzinfo) -> TimeReader:
    """Compile how ``event_ms`` is read from a text, a number, or a time that the file itself declares.

    Args:
        format: ``iso8601`` or a strptime pattern.
        unit: what a number counts since 1970-01-01 UTC; it excludes ``format``.
        zone: where a time without an offset holds. One that an autumn's clock shows twice is taken as the first.

    Returns:
        A function that raises ``Unfit`` for what is no time.
    """
    parse = _unit_parser(unit) if unit else _text_parser(format or ISO, zone)

    def read(value: Any) -> int:
        if type(value) is str:
            return parse(value)
        if isinstance(value, Instant):
            return int(value)
        if isinstance(value, datetime.datetime):
            return to_ms(value, zone)
        if isinstance(value, datetime.date):
            return to_ms(datetime.datetime.combine(value, datetime.time()), zone)
        return parse(as_text(value) or "")

    return read


def to_ms(time: datetime.datetime, zone: datetime.tzinfo) -> int:
    """Milliseconds since 1970-01-01 UTC, rounded down."""
    if time.tzinfo is not None:
        return (time - _EPOCH_UTC) // _MS
    if zone is datetime.UTC:
        return (time - _EPOCH) // _MS
    return (time.replace(tzinfo=zone) - _EPOCH_UTC) // _MS


def _unit_parser(unit: str) -> Callable[[str], int]:
    per_ms = UNITS_PER_MS[unit]
    whole = int(per_ms) or 1
    factor = 1000 if unit == "s" else 1

    def parse(text: str) -> int:
        if text.isdecimal() and len(text) < _MAX_DIGITS:
            return int(text) * factor // whole
        try:
            number = decimal.Decimal(text)
        except decimal.InvalidOperation:
            number = decimal.Decimal("NaN")
        if "_" in text or not number.is_finite() or number.adjusted() > _MAX_DIGITS:
            raise Unfit("time", f"{shown(text)} is not a number of {unit}")
        return int((number / per_ms).to_integral_value(decimal.ROUND_FLOOR))

    return parse


def _text_parser(format: str, zone: datetime.tzinfo) -> Callable[[str], int]:
    parse = functools.partial(_parse_iso, zone) if format == ISO else functools.partial(_parse_pattern, format, zone)
    return functools.lru_cache(CACHED_TIMES)(parse)


def _parse_iso(zone: datetime.tzinfo, text: str) -> int:
    plain = text[:-4] + "Z" if text.endswith((" UTC", " GMT")) else text
    try:
        return to_ms(datetime.datetime.fromisoformat(plain), zone)
    except (ValueError, OverflowError):
        hint = ": set [time] unit" if text.isdecimal() else ""
        raise Unfit("time", f"{shown(text)} is not an ISO 8601 time{hint}") from None


def _parse_pattern(pattern: str, zone: datetime.tzinfo, text: str) -> int:
    try:
        return to_ms(datetime.datetime.strptime(text, pattern), zone)
    except (ValueError, OverflowError):
        raise Unfit("time", f"{shown(text)} does not fit the pattern {pattern!r}") from None
