"""What producers say that they sent, against the log: nothing accepted is lost, nothing is doubled, nothing is invented.

A producer's own log has a line for each time that it sent an event:

    {"outcome": "accepted", "event": {...}, "entry": "1700000000000-0"}

``accepted``: it was told that the event is in the log, and perhaps as which entry. ``refused``: it was told that it is not.
``maybe``: it was told nothing; the event may be there, once for each such line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from lambent.errors import DataError
from lambent.events import UNDECODABLE, Event, Rejection, admit
from lambent.taxonomy import Taxonomy
from realtime.batch import EVENT
from realtime.store import Entry
from realtime.verify.difference import Difference

Outcome = Literal["accepted", "refused", "maybe"]


class Sent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One time that an event was sent.

    Attributes:
        outcome: what the producer was told.
        event: as it was sent, its user a pseudonym.
        entry: id of the entry, where the producer was told.
    """

    outcome: Outcome
    event: Event
    entry: str = ""


class Sending(msgspec.Struct):
    """What the log has of what was sent: ``maybe`` of which ``arrived``."""

    accepted: int = 0
    refused: int = 0
    maybe: int = 0
    arrived: int = 0


def read_sent(path: Path) -> list[Sent]:
    """A producer's own log.

    Raises:
        DataError: it cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error
    return [_line(path, number, line) for number, line in enumerate(lines, start=1)]


def _line(path: Path, number: int, line: bytes) -> Sent:
    try:
        return msgspec.json.decode(line, type=Sent)
    except UNDECODABLE as error:
        cause = f"{path}:{number}: this is not a line of what was sent ({error})."
        raise DataError(
            cause, 'Each line has an "outcome" and an "event": see the how-to on lambent verify.'
        ) from error


def check_sent(
    sent: Iterable[Sent], logs: Mapping[int, Iterable[Entry]], taxonomy: Taxonomy
) -> tuple[Sending, list[Difference]]:
    """Compare by the events' ids, and where a producer knows it by the entry.

    Args:
        sent: what was sent, by all producers.
        logs: entries by partition.
        taxonomy: which types there are.
    """
    took = _took(logs, taxonomy)
    by_id: dict[str, list[Sent]] = {}
    for one in sent:
        by_id.setdefault(one.event.id, []).append(one)
    sending = Sending()
    found = [one for event_id, own in by_id.items() for one in _compare(own, took.get(event_id, []), sending)]
    for event_id in took.keys() - by_id.keys():
        event, p, entry = took[event_id][0]
        found.append(Difference("sent", f"nobody has sent the event {event_id!r}", p, event.user, entry))
    return sending, found


Took = tuple[Event, int, str]
"""An event of the log, with its partition and its entry's id."""


def _took(logs: Mapping[int, Iterable[Entry]], taxonomy: Taxonomy) -> dict[str, list[Took]]:
    took: dict[str, list[Took]] = {}
    for p, log in logs.items():
        for entry_id, kind, data in log:
            event = admit(data, taxonomy) if kind == EVENT else None
            if event is not None and not isinstance(event, Rejection):
                took.setdefault(event.id, []).append((event, p, entry_id.decode()))
    return took


def _compare(own: list[Sent], took: list[Took], sending: Sending) -> Iterator[Difference]:
    outcomes = Counter(one.outcome for one in own)
    least, most = outcomes["accepted"], outcomes["accepted"] + outcomes["maybe"]
    sending.accepted += least
    sending.refused += outcomes["refused"]
    sending.maybe += outcomes["maybe"]
    sending.arrived += max(min(len(took), most) - least, 0)
    event = own[0].event
    p, user = took[0][1] if took else -1, event.user
    if len(took) < least:
        words = f"the event {event.id!r} was accepted {least} times, and is in the log {len(took)} times: it is lost"
        yield Difference("sent", words, p, user)
    if len(took) > most:
        words = (
            f"the event {event.id!r} was sent {most} times that may have arrived, and is in the log {len(took)} times"
        )
        yield Difference("sent", words, p, user)
    places = {entry: one for one, _, entry in took}
    for one in own:
        if one.entry and places.get(one.entry) != one.event:
            words = f"the event {event.id!r} was accepted as this entry, which is not it"
            yield Difference("sent", words, p, user, one.entry)
