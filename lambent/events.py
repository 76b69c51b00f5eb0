"""The event and the intent: the one schema that stream, HTTP, files and tables share; and the one door, ``admit``.

What is missing is missing (None), never 0. An event on the stream is this struct as JSON, its user a pseudonym.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

import msgspec

from lambent.taxonomy import Taxonomy

MAX_EVENT_BYTES = 64 * 1024
MAX_ATTRIBUTES = 32
MIN_EVENT_MS = 946_684_800_000  # 2000-01-01: no shop's log is older; what claims to be has a wrong unit
MAX_EVENT_MS = 4_102_444_800_000  # 2100-01-01
MAX_PRICE = 1e12
MAX_DWELL_MS = 2**53  # what a double still counts exactly, and 64 bits hold with ease
MAX_USER = 512  # characters of a raw user id
MAX_DETAIL = 300  # characters of a rejection's words: a message may quote what it met
USER_PATTERN = r"^[A-Za-z0-9_-]{22}$"

Text = Annotated[str, msgspec.Meta(max_length=512)]


class Event(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, kw_only=True):
    """One act of one visitor.

    Attributes:
        user: the pseudonym (``lambent.keys.pseudonym``): 22 characters of base64url.
        type: a name of the taxonomy.
        event_ms: when it happened, by the producer's clock: milliseconds since 1970-01-01 UTC.
        id: names the event for good; a second event with the same id is a duplicate. Empty on arrival means: the
            hash of all other fields, which ``admit`` fills in.
        product, category, brand: the shop's own identifiers. A category path is written with dots or slashes.
        price: in the shop's currency, of one piece.
        query: what was searched for.
        dwell_ms: how long the visitor stayed, milliseconds.
        device: what the visitor uses (``phone``, ``tablet``, ``desktop``, …).
        attributes: anything else, by name.
    """

    user: str
    type: Text
    event_ms: int
    id: Annotated[str, msgspec.Meta(max_length=128)] = ""
    product: Text | None = None
    category: Text | None = None
    brand: Text | None = None
    price: float | None = None
    query: Text | None = None
    dwell_ms: Annotated[int, msgspec.Meta(ge=0)] | None = None
    device: Annotated[str, msgspec.Meta(max_length=32)] | None = None
    attributes: Annotated[dict[Text, Text], msgspec.Meta(max_length=MAX_ATTRIBUTES)] | None = None


class Shadow(msgspec.Struct, frozen=True):
    """What a model says in the shadow of another: its version, and probabilities by intent."""

    model: str
    probabilities: dict[str, float]


class Intent(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a visitor is about to do, as of one event.

    Attributes:
        user: the pseudonym.
        event_id, event_ms: the last event that the answer has seen.
        ingest_ms: when the log took that event.
        probabilities: by intent; they sum to 1.
        model: version of the model that spoke; ``base-rate`` where there is none yet.
        cutoff_ms: cut-off of the build that last changed the user's batch profile: it had seen all that the log took before.
            0 if there is no profile, or it is of files alone.
        actions: what the policy makes of it.
        session_events: how many events of the session the answer has seen; 0 for a late event.
        arm: ``EXPERIMENT/champion`` or ``EXPERIMENT/challenger``, whichever the user is in; empty: there is no experiment. A session
            that began before it runs on its model all the same.
        shadow: what a challenger in the shadow says, which nobody acts on; None: there is none.
    """

    user: str
    event_id: str
    event_ms: int
    ingest_ms: int
    probabilities: dict[str, float]
    model: str
    cutoff_ms: int = 0
    actions: tuple[str, ...] = ()
    session_events: int = 0
    arm: str = ""
    shadow: Shadow | None = None


class Rejection(msgspec.Struct, frozen=True):
    """Why something is not an event: ``reason`` is a short code to count by, ``detail`` says it to a person."""

    reason: str
    detail: str


_decoder = msgspec.json.Decoder(Event)
_encoder = msgspec.json.Encoder(order="deterministic")
_is_user = re.compile(USER_PATTERN).fullmatch  # to match(), a line break at the end is no part of the text
_NUL = b"\\u0000"
"""How a NUL is written in JSON: there is no other way."""
_PLACE = re.compile(r"`\$\.(\w+)")

UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding bad bytes raises."""
_REQUIRED = ("user", "type", "event_ms")
_CODES = {name: name for name in ("user", "type", "price", "dwell_ms", "attributes")} | {"event_ms": "time"}


def encode_event(event: Event) -> bytes:
    """The bytes of an event on the stream: JSON, deterministic."""
    return _encoder.encode(event)


def admit(data: bytes, taxonomy: Taxonomy) -> Event | Rejection:
    """The one door: an event, or the reason for the quarantine. Pure, so that every layer decides alike.

    Args:
        data: the JSON bytes of an event, its user a pseudonym.
        taxonomy: which types there are.

    Returns:
        The event with its ``id`` filled in, or a ``Rejection``. Never raises for bad bytes.
    """
    if len(data) > MAX_EVENT_BYTES:
        return Rejection("too_large", f"{len(data)} bytes; at most {MAX_EVENT_BYTES} are taken")
    try:
        event = _decoder.decode(data)
    except UNDECODABLE as error:
        return refusal(data, error)
    return check(event, taxonomy, may_have_nul=_NUL in data)


def check(event: Event, taxonomy: Taxonomy, *, may_have_nul: bool = True) -> Event | Rejection:
    """The rules that a well-formed event still has to meet; fills in a missing id.

    Args:
        event: as it was decoded.
        taxonomy: which types there are.
        may_have_nul: false where it is known that no text can hold one.
    """
    if not _is_user(event.user):
        return _no_user(event.user)
    if event.type not in taxonomy.type_code:
        return _no_type(event.type)
    if not MIN_EVENT_MS <= event.event_ms < MAX_EVENT_MS:
        return Rejection("time", f"event_ms {str(event.event_ms)[:40]} is outside the years 2000 to 2099")
    if event.price is not None and not is_price(event.price):
        return no_price(event.price)
    if event.dwell_ms is not None and not 0 <= event.dwell_ms < MAX_DWELL_MS:
        return Rejection("dwell_ms", f"dwell_ms {event.dwell_ms} is not a duration")
    if may_have_nul and _has_nul(event):
        return Rejection("nul", "a text holds a NUL, which many a reader takes for its end")
    return event if event.id else msgspec.structs.replace(event, id=content_id(event))


def is_price(price: float) -> bool:
    """Whether a number can be a price."""
    return 0 <= price <= MAX_PRICE  # which NaN is not


def no_price(price: float) -> Rejection:
    """Why it cannot."""
    return Rejection("price", f"price {price} is not between 0 and {MAX_PRICE:.0e}")


def _no_user(user: str) -> Rejection:
    if not user:
        return Rejection("missing", "user is missing")
    return Rejection("user", "user is not a pseudonym of 22 base64url characters")


def _no_type(name: str) -> Rejection:
    if not name:
        return Rejection("missing", "type is missing")
    return Rejection("type", f"type {name[:40]!r} is not in the taxonomy")


def _has_nul(event: Event) -> bool:
    for text in (event.id, event.product, event.category, event.brand, event.query, event.device):
        if text and "\0" in text:
            return True
    return event.attributes is not None and any("\0" in part for pair in event.attributes.items() for part in pair)


def refusal(data: bytes, error: Exception) -> Rejection:
    """Why bytes could not be decoded, by the codes that every door counts by.

    Args:
        data: what was decoded.
        error: one of ``UNDECODABLE``.
    """
    if (at := data.find(0)) >= 0:
        return Rejection("nul", f"there is a NUL byte at {at + 1}")
    try:
        data.decode()
    except UnicodeDecodeError as wrong:
        return Rejection("encoding", f"byte {wrong.start + 1} (0x{data[wrong.start]:02x}) is not utf-8")
    text = str(error)[:MAX_DETAIL]
    return Rejection(_code(text) if isinstance(error, msgspec.ValidationError) else "malformed", text)


def _code(message: str) -> str:
    """The code for msgspec's words about JSON that is no event."""
    if "missing required field" in message:
        return "missing"
    place = _PLACE.search(message)
    if place is None or "out of range" in message:
        return "malformed"
    field = place[1]
    if field in _REQUIRED:
        absent = "got `null`" in message or "length >= 1" in message
        return "missing" if absent else _CODES[field]
    return "too_long" if "`str` of length" in message else _CODES.get(field, "value")


def content_id(event: Event) -> str:
    """The id of an event that came without one: a hash of its fields, so that an exact copy is a duplicate."""
    return hashlib.blake2b(_encoder.encode(event), digest_size=12).hexdigest()
