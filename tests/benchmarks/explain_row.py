"""How long it takes to be told why an intent is what it is, over HTTP."""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from tests.benchmarks.histograms import Latencies
from tests.benchmarks.report import Row

RATE = 20
"""Requests a second: people ask for explanations, not programs."""
WARM = 10
"""Requests that are not counted: at the first ones the server loads the model and the compiled fold."""


class _Explanation(msgspec.Struct):
    parts: list[dict[str, object]]
    undivided: str = ""


class _Answer(msgspec.Struct):
    explanation: _Explanation


def explained(url: str, users: Sequence[str], seconds: float) -> tuple[Row, Latencies]:
    """``GET …/intent?explain=true`` at a steady rate, by one client.

    Args:
        url: of the server.
        users: pseudonyms, each with a published profile and an intent.
        seconds: how long to ask.
    """
    parts, took_us, groups = urlsplit(url), list[float](), list[int]()
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    for n in range(WARM):
        _ask(connection, users[n % len(users)])
    start_ns = time.monotonic_ns()
    for n in range(int(RATE * seconds)):
        due_ns = start_ns + int(n * 1e9 / RATE)
        time.sleep(max(due_ns - time.monotonic_ns(), 0) / 1e9)
        groups.append(_ask(connection, users[n % len(users)]))
        took_us.append((time.monotonic_ns() - due_ns) / 1e3)
    connection.close()
    latencies = Latencies.of(f"GET …/intent?explain=true, {RATE}/s", took_us)
    note = f"p50 {latencies.ms(50):.1f} ms; {len(took_us)} answered, of {sum(groups) / len(groups):.1f} groups of the profile each"
    return Row(f"GET …/intent?explain=true, {RATE}/s: p99", latencies.ms(99), "ms", "<= 30", "", note), latencies


def _ask(connection: http.client.HTTPConnection, user: str) -> int:
    """How many groups of the profile the answer tells apart."""
    connection.request("GET", f"/v1/users/{user}/intent?explain=true&pseudonymous=true")
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200 or (said := msgspec.json.decode(body, type=_Answer).explanation).undivided:
        raise SystemExit(f"No explanation: {answer.status}, {body[:300]!r}")
    return sum(part["kind"] == "profile" for part in said.parts)
