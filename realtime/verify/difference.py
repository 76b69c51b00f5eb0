"""What is found, and how the entries of a log fared."""

from __future__ import annotations

from collections import Counter

import msgspec


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is not as the log says.

    Attributes:
        what: where it was found, e.g. ``record`` or ``intent``.
        words: what is there, and what has to be.
        partition: of the log; -1: of none.
        user: whom it concerns; empty: nobody alone.
        entry: id of the log's entry; empty: none alone.
    """

    what: str
    words: str
    partition: int = -1
    user: str = ""
    entry: str = ""

    def __str__(self) -> str:
        place = {"user": self.user, "entry": self.entry, "partition": self.partition if self.partition >= 0 else ""}
        words = ", ".join(f"{name} {value}" for name, value in place.items() if value != "")
        return f"{self.what}: {self.words}{words and f' ({words})'}"


class Tally(msgspec.Struct):
    """How the log's entries fared: events = applied + duplicates + dead + rejected.

    Attributes:
        events: entries that say they are events.
        applied: folded, the late ones among them.
        late: folded into the profile only.
        duplicates: copies of an earlier event of the user.
        dead: given up by a worker.
        rejected: by reason.
        controls: control entries.
        markers: of the archiver.
        answers: intents that there have to be.
        unproven: of them those whose probabilities cannot be judged: they depend on what nobody remembers (the profile had been
            published beyond the event, and tiles were dropped since), on a model that is gone, or on too much (``MOST_STEPS``).
    """

    events: int = 0
    applied: int = 0
    late: int = 0
    duplicates: int = 0
    dead: int = 0
    rejected: Counter[str] = msgspec.field(default_factory=Counter)
    controls: int = 0
    markers: int = 0
    answers: int = 0
    unproven: int = 0
