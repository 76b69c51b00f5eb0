"""Secrets, and the ids of people, out of what is printed."""

from __future__ import annotations

import re

from lambent.events import Event

MASK = "****"

_USERINFO = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://).*@", re.DOTALL
)  # to the last @: a password may hold one
_SECRET_PARAMETER = re.compile(
    r"([?&][^=&#]*(?:pass|pwd|secret|token|key|sig|credential)[^=&#]*=)[^&#]*", re.IGNORECASE
)


def mask_url(text: str) -> str:
    """A text with the user and password of a URL in it masked, and the parameters whose names speak of a secret.

    It masks too much rather than too little: all from ``://`` to the last ``@``.
    """
    return _SECRET_PARAMETER.sub(rf"\1{MASK}", _USERINFO.sub(rf"\g<scheme>{MASK}@", text))


def mask_secret(text: str) -> str:
    """A secret: of a URL its address is shown, of anything else nothing."""
    return mask_url(text) if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) else MASK


_FIELD = re.compile(rf'"(?:{"|".join(Event.__struct_fields__)})"(?=\s*:)')
ROW_CHARACTERS = 160


def shape(text: str) -> str:
    """Letters as ``a`` and digits as ``9``: ``'31.12.2019'`` is shown as ``'99.99.9999'``."""
    return "".join("a" if c.isalpha() else "9" if c.isdigit() else c for c in text)


def mask_row(raw: bytes, most: int = ROW_CHARACTERS) -> str:
    """A rejected row for a terminal: the shape of its first characters, since any of its values can be a raw user id.

    The names of an event's fields stay, so that one sees which value is meant; what is not printable is a ``·``.
    """
    text = raw[: 4 * most].decode(errors="backslashreplace")
    shown, end = [], 0
    for name in _FIELD.finditer(text):
        shown += [shape(text[end : name.start()]), name[0]]
        end = name.end()
    line = "".join([*shown, shape(text[end:])])
    cut = len(line) > most or len(raw) > 4 * most
    return "".join(c if c.isprintable() else "·" for c in line[:most]) + ("…" if cut else "")
