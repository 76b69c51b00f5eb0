"""Which of an experiment's arms a user is in: by a stable hash, so that everybody who asks says the same, and for good.

The experiment's name is part of what is hashed: who is in the challenger's arm of one experiment is so by chance in another.
"""

from __future__ import annotations

import hashlib

CHAMPION, CHALLENGER = "champion", "challenger"


def is_challenged(experiment: str, user: str, share: float) -> bool:
    """Whether a user is of the ``share`` (0 to 1) of users who get the challenger; whoever is, is so of a larger share too."""
    digest = hashlib.blake2b(f"{experiment}\0{user}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def arm(experiment: str, user: str, share: float) -> str:
    """The arm, as intents name it: ``EXPERIMENT/champion`` or ``EXPERIMENT/challenger``."""
    return f"{experiment}/{CHALLENGER if is_challenged(experiment, user, share) else CHAMPION}"
