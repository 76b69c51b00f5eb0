"""Intents as JSON: from columns the same bytes as msgspec writes of the structs."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lambent.events import Event, Intent, Shadow
from lambent.policy import SHOP_RULES, decide
from lambent.taxonomy import shop
from realtime.batch import Admitted
from realtime.wording import DIGITS, Wording, arms

SHOP = shop()
ENCODE = msgspec.json.Encoder(order="deterministic").encode
TIMES = st.integers(946_684_800_000, 4_102_444_799_999)
ANSWERS = st.tuples(
    st.text(min_size=1, max_size=12), TIMES, TIMES,
    st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.2, 0.5, 1e-6, 1e-7])), min_size=4, max_size=4),
    st.integers(0, 3), st.integers(1, 2**32 - 1), st.one_of(st.just(0), TIMES), st.text(max_size=5),
    st.integers(0, 3),
)  # fmt: skip


@given(st.lists(ANSWERS, max_size=5))
def test_intents_are_worded_as_msgspec_encodes_them(
    answers: list[tuple[str, int, int, list[float], int, int, int, str, int]],
) -> None:
    events, expected = [], []
    for event_id, event_ms, ingest_ms, said, version, seen, cutoff_ms, arm, shadow in answers:
        event = Event(user="A" * 22, type="view", event_ms=event_ms, id=event_id)
        events.append(Admitted(event, 0, b"1-0", ingest_ms, b""))
        probabilities = dict(zip(SHOP.intents, np.round(said, DIGITS).tolist(), strict=True))
        intent = Intent(
            user=event.user, event_id=event_id, event_ms=event_ms, ingest_ms=ingest_ms, probabilities=probabilities,
            model=str(version) if version else "base-rate", cutoff_ms=cutoff_ms,
            actions=decide(SHOP_RULES, probabilities), session_events=seen, arm=arm,
            shadow=Shadow(str(shadow), dict(zip(SHOP.intents, np.round(said, DIGITS)[::-1].tolist(), strict=True))) if shadow else None,
        )  # fmt: skip
        expected.append(ENCODE(intent))
    columns = list(zip(*answers, strict=True)) or [()] * 9
    said = np.array(columns[3]).reshape(-1, len(SHOP.intents))
    wording = Wording(SHOP, SHOP_RULES)
    beside = [a + b for a, b in zip(arms(columns[7]), wording.shadows(said[:, ::-1], columns[8]), strict=True)]
    found = wording.write(events, said, columns[4], columns[5], columns[6], beside)
    assert list(found) == expected
