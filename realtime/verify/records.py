"""Live records against the reference: the session, the model's state, what is remembered of ids, the tiles, how long it lives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lambent import law
from lambent.encoding import text_hash
from lambent.features import FeatureSet
from lambent.oracle import Seen
from lambent.profile import Profiles
from lambent.records import LAST_EVENTS, LiveRecords, decode_live
from realtime.commit import EXPIRY_MS
from realtime.store import Meta
from realtime.verify.reference import Replayed

STATE_WITHIN = 1e-5
"""Of a model's state and of what it says."""
CHANGE_WITHIN = 1e-3
"""Of what an event did to the intent, which is kept in two bytes."""
CLOCK_MS = 3_600_000
"""How far a store's clock may jump: a record's expiry is by the clock, an entry's id is not."""


class Records:
    """Compares records.

    Args:
        features: the feature set.
        meta: tile width and floor.
        now_ms: the store's clock.
        rebuilt_ms: what a rebuild looks back before the floor: older records need not be there.
    """

    def __init__(self, features: FeatureSet, meta: Meta, now_ms: int, rebuilt_ms: int) -> None:
        self._features, self._meta, self._now_ms, self._rebuilt_ms = features, meta, now_ms, rebuilt_ms

    def compare(
        self, value: bytes | None, left_ms: int, expected: Replayed, *, proven: bool, whole: bool
    ) -> Iterator[tuple[str, str]]:
        """What is not as it has to be: which part, and words.

        Args:
            value: the record; None: there is none.
            left_ms: how long it has to live.
            expected: what the user's events leave.
            proven: the model's state is known.
            whole: all that models said is.
        """
        last_ms = expected.tiles[-1][0] + self._meta.tile_ms
        if value is None:
            if self._now_ms < last_ms - self._meta.tile_ms + EXPIRY_MS - CLOCK_MS and last_ms > self._rebuilt_ms:
                yield "record", "there is none, though its time is not over"
            return
        due_ms = last_ms - self._meta.tile_ms + EXPIRY_MS - CLOCK_MS - self._now_ms
        most_ms = EXPIRY_MS + CLOCK_MS
        if not due_ms <= left_ms <= most_ms:
            yield "record", f"it lives for {left_ms} ms, which have to be between {due_ms} and {most_ms}"
        found = decode_live(self._features, [value])
        yield from self._session(found.fixed[0], expected)
        yield from self._model(found.fixed[0], expected, proven=proven)
        yield from self._recent(found, expected)
        yield from self._last(found.answered(0), expected, whole=whole)
        yield from self._tiles(found.tiles.of(0), expected.tiles)

    def _session(self, fixed: Any, expected: Replayed) -> Iterator[tuple[str, str]]:
        session = _session(self._features, expected.session) | {"clock_ms": expected.clock_ms}
        for name, value in session.items():
            there = fixed["session"][name].tolist()
            if there != value:
                yield "session", f"{name} is {there}, and has to be {value}"
        if int(fixed["reset_ms"]) != expected.reset_ms:
            yield "session", f"reset_ms is {int(fixed['reset_ms'])}, and has to be {expected.reset_ms}"

    def _model(self, fixed: Any, expected: Replayed, *, proven: bool) -> Iterator[tuple[str, str]]:
        if int(fixed["model"]) != expected.version:
            yield "model", f"the session runs on version {int(fixed['model'])}, and has to run on {expected.version}"
        elif proven and not np.allclose(fixed["state"], expected.state, rtol=0, atol=STATE_WITHIN):
            most = float(np.abs(fixed["state"] - expected.state).max())
            yield "model", f"the state is {most:.2g} from what it has to be"
        elif proven and expected.answers:
            most = float(np.abs(fixed["said"] - expected.answers[-1].probabilities).max())
            if most > STATE_WITHIN:
                yield "model", f"the last answer is {most:.2g} from what it has to be"

    def _recent(self, found: LiveRecords, expected: Replayed) -> Iterator[tuple[str, str]]:
        there = found.recent.of(0).tolist()
        if there != expected.recent:
            missing, more = set(expected.recent) - set(there), set(there) - set(expected.recent)
            words = f"of {len(expected.recent)} remembered ids {len(missing)} are missing and {len(more)} are others"
            yield "recent ids", words if missing or more else "the remembered ids are in another order"

    def _last(self, there: NDArray[np.void], expected: Replayed, *, whole: bool) -> Iterator[tuple[str, str]]:
        """The last events; a rebuild forgets those that are older than what it replays. Late ones are the tiles' matter."""
        late = sum(expected.lates[-LAST_EVENTS:])
        answered = list(zip(expected.answers, expected.changes, strict=True))
        needed = answered[max(len(answered) - LAST_EVENTS + late, 0) :]
        forgotten = sum(answer.live.ingest_ms < self._rebuilt_ms for answer, _ in needed)
        if not len(needed) - forgotten <= len(there) <= len(needed):
            yield "last events", f"there are {len(there)}, and have to be {len(needed)}"
            return
        for one, (answer, change) in zip(there, needed[len(needed) - len(there) :], strict=True):
            event = answer.live.event
            t_ms = min(event.event_ms, answer.live.ingest_ms)
            facts = (t_ms, self._features.taxonomy.type_code[event.type], text_hash(event.product))
            if (int(one["t_ms"]), int(one["type"]), int(one["product"])) != facts:
                yield "last events", f"instead of the event {event.id!r} there is another one"
            elif one["category"] != text_hash(event.category):
                yield "last events", f"the event {event.id!r} has another category"
            elif whole and not np.allclose(one["change"], change, rtol=0, atol=CHANGE_WITHIN):
                yield "last events", f"what the event {event.id!r} did to the intent is not what it has to be"

    def _tiles(
        self, found: Sequence[tuple[int, Profiles]], expected: Sequence[tuple[int, Profiles]]
    ) -> Iterator[tuple[str, str]]:
        """Tiles before the floor may be gone."""
        there, needed = dict(found), dict(expected)
        if len(there) != len(found):
            yield "tiles", "two tiles start at the same time"
        for start_ms in sorted(there.keys() | needed.keys()):
            if start_ms not in needed:
                yield "tiles", f"there is one that starts at {start_ms}, when the log took nothing that counts"
            elif start_ms not in there:
                if start_ms >= self._meta.floor_ms:
                    yield "tiles", f"the one that starts at {start_ms} is missing"
            else:
                differs = law.differs(self._features.profile, there[start_ms], needed[start_ms], stored=False)
                wrong = [name for name, rows in differs.items() if rows.any()]
                if wrong:
                    yield "tiles", f"the one that starts at {start_ms} differs in {', '.join(wrong[:3])}"


def _session(features: FeatureSet, session: Sequence[Seen]) -> dict[str, Any]:
    """The running session's fields, said slowly."""
    products = [one.event.product for one in session if one.event.product is not None]
    others = [product for product in products if product != products[-1]]
    types = [sum(one.event.type == kind.name for one in session) for kind in features.taxonomy.types]
    return {
        "start_ms": session[0].t_ms if session else 0,
        "last_ms": max((one.t_ms for one in session), default=0),
        "events": len(session),
        "types": [min(count, 65_535) for count in types],
        "products": _bits([one.event.product for one in session]),
        "categories": _bits([one.event.category for one in session]),
        "product": text_hash(products[-1]) if products else 0,
        "product_before": text_hash(others[-1]) if others else 0,
    }


def _bits(texts: Sequence[str | None]) -> int:
    return sum(2**bit for bit in {text_hash(text) % 64 for text in texts if text is not None})
