"""Why an intent is what it is: signed parts that sum, with the base rates, to the probabilities that were said.

What each event moved is in the live record: the probabilities after it less those before it. The first event of a session
moved them from the base rates, and with it the profile, whose part is taken out of it (``explain``). Whatever is not kept is
what is left of the sum, so that the sum holds to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from lambent import keys
from lambent.events import Intent
from lambent.settings import Settings
from lambent.taxonomy import Taxonomy

if TYPE_CHECKING:
    from realtime.explain import Explainer

Moved = NDArray[np.float64]
"""[K] how far each probability was moved."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one thing did to the probabilities.

    Attributes:
        kind: ``profile``, a group of what was known when the session began; ``event``, one of the session's events;
            ``earlier``, its events before the last 20, together.
        moved: by intent, how far it moved the probability; over the intents it sums to 0, but for rounding.
        name: of the profile's group, or the event's type.
        at_ms: when the event happened.
        product, category: CRC-32 of the shop's own identifiers; 0: the event has none.
        events: how many events are told together.
    """

    kind: Literal["profile", "event", "earlier"]
    moved: dict[str, float]
    name: str = ""
    at_ms: int = 0
    product: int = 0
    category: int = 0
    events: int = 1


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Attributes:
    base_rates: by intent, what is said of somebody of whom nothing is known.
    parts: the profile's groups, then the session's events, the oldest first. With the base rates they sum to the
        intent's probabilities.
    undivided: why the profile's part is not told apart, so that it is in that of the session's first events; empty where it
        is, or where nothing was known.
    """

    base_rates: dict[str, float]
    parts: tuple[Part, ...]
    undivided: str = ""


def evidence_keys(p: int, user: str) -> tuple[str, ...]:
    """The keys that tell why a user's intent is what it is: intent, live record, profile, control. They lie in one slot."""
    return keys.intent(p, user), keys.live(p, user), keys.profile(p, user), keys.control(p)


def make_explainer(settings: Settings, tile_ms: int) -> Explainer:
    """What explains intents. It is imported only here, since it brings the compiled fold, which takes seconds."""
    from lambent.features import FeatureSet
    from realtime.explain import Explainer

    return Explainer(FeatureSet(settings.load_taxonomy()), tile_ms)


def put_together(
    taxonomy: Taxonomy, intent: Intent, last: NDArray[np.void], profile: Mapping[str, Moved], undivided: str = ""
) -> Explanation:
    """The explanation of an intent.

    Args:
        taxonomy: names intents and types.
        intent: what was said.
        last: of ``records.last_dtype``, the user's last events that were answered, the newest last, which is the intent's.
        profile: by group, what it moved when the session began.
        undivided: why there is none.
    """
    names, base = taxonomy.intents, np.array(taxonomy.base_rates)
    kept = last[max(len(last) - intent.session_events, 0) :]
    is_whole = len(kept) == intent.session_events > 0
    later = kept[1:] if is_whole else kept
    groups = [Part(kind="profile", name=name, moved=_by_name(names, moved)) for name, moved in profile.items()]
    events = [_event(taxonomy, row, row["change"].astype(np.float64)) for row in later]
    said = np.array([intent.probabilities[name] for name in names])
    told = sum((np.array(list(part.moved.values())) for part in [*groups, *events]), np.zeros(len(names)))
    rest = said - base - told
    if is_whole:
        first = _event(taxonomy, kept[0], rest)
    else:
        first = Part(kind="earlier", moved=_by_name(names, rest), events=intent.session_events - len(kept))
    return Explanation(_by_name(names, base), (*groups, first, *events), undivided)


def _event(taxonomy: Taxonomy, row: np.void, moved: Moved) -> Part:
    return Part(
        kind="event",
        moved=_by_name(taxonomy.intents, moved),
        name=taxonomy.types[row["type"]].name,
        at_ms=int(row["t_ms"]),
        product=int(row["product"]),
        category=int(row["category"]),
    )


def _by_name(names: tuple[str, ...], values: Moved) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))
