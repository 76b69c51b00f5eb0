"""The HTTP door's rules: a request's bytes become events with pseudonyms, each or its reason why not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec

from lambent import keys
from lambent.errors import UsageError
from lambent.events import MAX_EVENT_BYTES, MAX_USER, UNDECODABLE, Event, Rejection, check, encode_event, refusal
from lambent.products import Products
from lambent.taxonomy import Taxonomy

_EVENT_FIELDS = {field.name: field for field in msgspec.structs.fields(Event)}
# Event with a raw user and, where the producer's clock is not to be had, without a time.
IncomingEvent = msgspec.defstruct(
    "IncomingEvent",
    [
        (
            "user",
            Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_USER, description="The shop's own user id.")],
        ),
        ("type", _EVENT_FIELDS["type"].type),
        ("event_ms", int | None, None),
        *((name, f.type, f.default) for name, f in _EVENT_FIELDS.items() if name not in ("user", "type", "event_ms")),
    ],
    frozen=True,
    forbid_unknown_fields=True,
    kw_only=True,
)
IncomingEvent.__doc__ = (
    "One act of one visitor. `user` is the shop's own id, which becomes a pseudonym at this door and is kept nowhere; "
    "`event_ms` is filled in where it is missing. Give an `id`, so that a request sent twice counts once."
)

_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode = msgspec.json.Decoder(IncomingEvent).decode


class Taken(msgspec.Struct, frozen=True):
    """An event that may be added to the log."""

    partition: int
    user: str
    event_id: str
    data: bytes


def split_body(body: bytes) -> list[bytes]:
    """The JSON texts of a request: of a list, of one object, or of JSON lines. Each is looked at alone.

    Raises:
        UsageError: the body is empty, a list that is not JSON, or holds too much.
    """
    text = body.strip()
    if not text:
        raise UsageError("The request is empty.", "Send one JSON object, a JSON list, or JSON lines.")
    try:
        parts = [bytes(raw) for raw in _decode_raw(text)] if text[:1] == b"[" else list(_lines(text))
    except UNDECODABLE as error:
        raise UsageError(
            f"The list is not JSON ({error}).", "Send one JSON object, a JSON list, or JSON lines."
        ) from error
    if not parts:
        raise UsageError("The list is empty.", "Send at least one event.")
    return parts


def _lines(text: bytes) -> Iterator[bytes]:
    """One object may be spread over several lines; then the whole is JSON, which lines of objects never are."""
    lines = [line for line in text.split(b"\n") if line.strip()]
    if len(lines) > 1:
        try:
            msgspec.json.decode(text)
        except UNDECODABLE:
            yield from lines
            return
    yield text


class Door:
    """Turns texts into events.

    Args:
        taxonomy: which types there are.
        user_key: the key of the pseudonyms.
        partitions: P.

    Attributes:
        taxonomy: as above.
        products: completes events; replaced as a whole when others are known.
    """

    def __init__(self, taxonomy: Taxonomy, user_key: bytes, partitions: int) -> None:
        self.taxonomy, self._key, self._partitions = taxonomy, user_key, partitions
        self.products = Products()

    def take(self, texts: Sequence[bytes], *, pseudonymous: bool) -> list[Taken | Rejection]:
        """For each text what may be added to the log, or why not.

        Args:
            texts: JSON texts of events.
            pseudonymous: their users are pseudonyms already.
        """
        now_ms = time.time_ns() // 1_000_000
        return [self._one(text, now_ms, pseudonymous) for text in texts]

    def pseudonym(self, raw_user: str) -> str:
        """The pseudonym of a raw id."""
        return keys.pseudonym(raw_user, self._key)

    def _one(self, text: bytes, now_ms: int, pseudonymous: bool) -> Taken | Rejection:
        if len(text) > MAX_EVENT_BYTES:
            return _too_large(len(text))
        try:
            incoming = _decode(text)
        except UNDECODABLE as error:
            return refusal(text, error)
        values = msgspec.structs.asdict(incoming)
        values["user"] = values["user"] if pseudonymous else self.pseudonym(values["user"])
        values["event_ms"] = now_ms if values["event_ms"] is None else values["event_ms"]
        event = check(Event(**values), self.taxonomy)
        if isinstance(event, Rejection):
            return event
        event = self.products.complete(event)  # after the id: a request that is sent again has the same
        data = encode_event(event)
        if len(data) > MAX_EVENT_BYTES:
            return _too_large(len(data))
        return Taken(keys.partition(event.user, self._partitions), event.user, event.id, data)


def _too_large(size: int) -> Rejection:
    return Rejection("too_large", f"{size} bytes; at most {MAX_EVENT_BYTES} are taken")
