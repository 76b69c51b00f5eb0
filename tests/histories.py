"""Histories of a few users: late, duplicated, out of order, with gaps and missing fields. Strategies for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from lambent.events import Event
from lambent.sessions import GAP_MS, HORIZON_MS
from lambent.taxonomy import shop

START_MS = 1_700_000_000_000
USERS = [f"user-{n:017d}" for n in range(3)]

told = st.fixed_dictionaries(
    {
        "age_band": st.sampled_from([None, "18-24", "65+", "it's \\ 30"]),
        "gender": st.sampled_from([None, "female", "male", "Female"]),
        "member_since_ms": st.sampled_from([None, -1, 0, 1_999, START_MS - 86_400_000, START_MS + 86_400_000, 2**50]),
    }
)
"""What a row of the table ``users`` says."""

_text = st.sampled_from([None, "a", "b", "kitchen.kettles", "größe"])
_product = st.one_of(_text, st.integers(0, 15).map(str))  # more than a last-N map holds
_step_ms = st.one_of(
    st.integers(-40 * 60_000, 10 * 60_000),
    st.sampled_from([0, 1, GAP_MS, GAP_MS + 1, -GAP_MS, -GAP_MS - 1, 86_400_000, HORIZON_MS, HORIZON_MS + 1]),
)
_drafts = st.tuples(
    st.sampled_from(USERS),
    st.sampled_from([event_type.name for event_type in shop().types]),
    st.sampled_from([None, "", "kettle", "best kettle", " größe  b "]),
    _step_ms,
    st.integers(0, 3_000),
    _product,
    _text,
    _text,
    st.one_of(st.none(), st.floats(0, 5_000)),
    st.one_of(st.none(), st.integers(0, 600_000)),
    st.integers(0, 20),
)


@st.composite
def logs(draw: st.DrawFn, max_events: int = 40) -> list[tuple[Event, int]]:
    """A log in its own order: (event, ingest_ms); about one event in seven is a copy of an earlier one."""
    log: list[tuple[Event, int]] = []
    event_ms = ingest_ms = START_MS
    for number, (user, kind, query, step, wait, product, category, brand, price, dwell, copy) in enumerate(
        draw(st.lists(_drafts, max_size=max_events))
    ):
        event_ms += step
        ingest_ms = max(ingest_ms + wait, event_ms - 1_000)
        event = Event(
            user=user, type=kind, event_ms=event_ms, id=f"e{number}", product=product, category=category,
            brand=brand, price=price, query=query, dwell_ms=dwell,
        )  # fmt: skip
        log.append((log[-copy - 1][0] if copy < min(3, len(log)) else event, ingest_ms))
    return log
