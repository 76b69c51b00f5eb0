"""Secrets out of what is printed."""

from __future__ import annotations

import re

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
