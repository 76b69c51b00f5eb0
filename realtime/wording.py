"""Intents as JSON, many at once: what msgspec writes of ``lambent.events.Intent``, put together from columns."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from lambent.policy import Rule
from lambent.taxonomy import Taxonomy
from realtime.batch import Admitted
from realtime.predict import BASE_RATE

DIGITS = 6
"""Decimals of a probability that is written."""

_json = msgspec.json.Encoder(order="deterministic").encode


class Wording:
    """Writes intents.

    Args:
        taxonomy: names the intents.
        rules: say which actions follow.
    """

    def __init__(self, taxonomy: Taxonomy, rules: Sequence[Rule]) -> None:
        self._order = np.argsort(np.array(taxonomy.intents))  # names in an object are written in alphabetical order
        names = [_text(taxonomy.intents[column]).replace("%", "%%") for column in self._order]
        self._probabilities = ",".join(f"{name}:%s" for name in names)
        self._rules = tuple(rules)
        self._ruled = np.array([taxonomy.intents.index(rule.intent) for rule in rules], np.int64)
        self._thresholds = np.array([rule.threshold for rule in rules])
        self._actions: dict[int, str] = {}

    def write(
        self, events: Sequence[Admitted], probabilities: NDArray[np.float64], versions: Sequence[int],
        session_events: Sequence[int], cutoffs_ms: Sequence[int], arms: Sequence[str] | None = None,
    ) -> list[bytes]:  # fmt: skip
        """[n] intents, each as of its event.

        Args:
            events: n that were answered.
            probabilities: [n, intents].
            versions: n of the models that spoke; 0: base rates.
            session_events: n numbers of events that the session had.
            cutoffs_ms: n of the users' profiles.
            arms: n that the users are in, empty for none; None: there is no experiment at all.
        """
        rounded = np.round(probabilities, DIGITS)
        each = len(self._order)
        numbers = _text(rounded[:, self._order].ravel().tolist())[1:-1].split(",")
        said = [self._probabilities % tuple(numbers[at : at + each]) for at in range(0, each * len(events), each)]
        arms = [""] * len(events) if arms is None else [f',"arm":{_text(arm)}' if arm else "" for arm in arms]
        columns = zip(
            events, said, versions, session_events, cutoffs_ms, self._said_actions(rounded), arms, strict=True
        )
        return [_intent(*row) for row in columns]

    def _said_actions(self, rounded: NDArray[np.float64]) -> list[str]:
        holds = rounded[:, self._ruled] >= self._thresholds
        masks = (holds << np.arange(len(self._rules))).sum(axis=1).tolist()
        for mask in set(masks) - self._actions.keys():
            actions = [rule.action for bit, rule in enumerate(self._rules) if mask >> bit & 1]
            self._actions[mask] = f'"actions":{_text(actions)},' if actions else ""
        return [self._actions[mask] for mask in masks]


def _intent(one: Admitted, said: str, version: int, seen: int, cutoff_ms: int, actions: str, arm: str) -> bytes:
    event, cutoff = one.event, f'"cutoff_ms":{cutoff_ms},' if cutoff_ms else ""
    return (
        f'{{"user":"{event.user}","event_id":{_text(event.id)},"event_ms":{event.event_ms},"ingest_ms":{one.ingest_ms},'
        f'"probabilities":{{{said}}},"model":"{version or BASE_RATE}",{cutoff}{actions}"session_events":{seen}{arm}}}'
    ).encode()


def _text(value: object) -> str:
    return _json(value).decode()
