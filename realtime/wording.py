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
        session_events: Sequence[int], cutoffs_ms: Sequence[int], beside: Sequence[str] = (),
    ) -> list[bytes]:  # fmt: skip
        """[n] intents, each as of its event.

        Args:
            events: n that were answered.
            probabilities: [n, intents].
            versions: n of the models that spoke; 0: base rates.
            session_events: n numbers of events that the session had.
            cutoffs_ms: n of the users' profiles.
            beside: n texts that follow, which ``arms`` and ``shadows`` have made; none: there is nothing beside.
        """
        rounded = np.round(probabilities, DIGITS)
        columns = zip(
            events, self._said(rounded), versions, session_events, cutoffs_ms, self._said_actions(rounded),
            beside or [""] * len(events), strict=True,
        )  # fmt: skip
        return [_intent(*row) for row in columns]

    def shadows(self, probabilities: NDArray[np.float64], versions: Sequence[int]) -> list[str]:
        """[n] what the shadows said: [n, intents] probabilities by n versions; empty where the version is 0."""
        said = self._said(np.round(probabilities, DIGITS))
        return [
            f',"shadow":{{"model":"{version}","probabilities":{{{one}}}}}' if version else ""
            for version, one in zip(versions, said, strict=True)
        ]

    def _said(self, rounded: NDArray[np.float64]) -> list[str]:
        """[n] the members of an object of probabilities."""
        each = len(self._order)
        numbers = _text(rounded[:, self._order].ravel().tolist())[1:-1].split(",")
        return [self._probabilities % tuple(numbers[at : at + each]) for at in range(0, each * len(rounded), each)]

    def _said_actions(self, rounded: NDArray[np.float64]) -> list[str]:
        holds = rounded[:, self._ruled] >= self._thresholds
        masks = (holds << np.arange(len(self._rules))).sum(axis=1).tolist()
        for mask in set(masks) - self._actions.keys():
            actions = [rule.action for bit, rule in enumerate(self._rules) if mask >> bit & 1]
            self._actions[mask] = f'"actions":{_text(actions)},' if actions else ""
        return [self._actions[mask] for mask in masks]


def arms(names: Sequence[str]) -> list[str]:
    """[n] arms as intents have them; empty where the name is."""
    return [f',"arm":{_text(name)}' if name else "" for name in names]


def _intent(one: Admitted, said: str, version: int, seen: int, cutoff_ms: int, actions: str, beside: str) -> bytes:
    event, cutoff = one.event, f'"cutoff_ms":{cutoff_ms},' if cutoff_ms else ""
    return (
        f'{{"user":"{event.user}","event_id":{_text(event.id)},"event_ms":{event.event_ms},"ingest_ms":{one.ingest_ms},'
        f'"probabilities":{{{said}}},"model":"{version or BASE_RATE}",{cutoff}{actions}"session_events":{seen}{beside}}}'
    ).encode()


def _text(value: object) -> str:
    return _json(value).decode()
