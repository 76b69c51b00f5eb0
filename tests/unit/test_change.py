"""How far each of a user's last events moved what was said of its session: the compiled loop against a dictionary of users."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lambent import compiled

USERS, BASE_RATES = 3, np.array([0.7, 0.2, 0.1])
EVENTS = st.lists(st.tuples(st.integers(0, USERS - 1), st.integers(0, 3), st.integers(0, 8)), max_size=12)
"""Of each event its user, its session's events (0: it is late), and in eighths what was said of the second intent."""


def probabilities(eighths: int) -> np.ndarray:
    return np.array([1 - eighths / 8, eighths / 8, 0.0])


@given(events=EVENTS, before=st.tuples(*[st.none() | st.integers(0, 8)] * USERS))
def test_an_event_moved_the_intent_from_what_was_said_before_it_in_its_session(
    events: list[tuple[int, int, int]], before: tuple[int | None, ...]
) -> None:
    told = {u: probabilities(eighths) for u, eighths in enumerate(before) if eighths is not None}
    said = np.array([told.get(u, np.zeros(3)) for u in range(USERS)], np.float32)
    expected = np.zeros((len(events), 3))
    for row, (user, session_events, eighths) in enumerate(events):
        if session_events:
            now, then = probabilities(eighths), BASE_RATES if session_events == 1 else told.get(user, BASE_RATES)
            expected[row], told[user] = now - then, now

    user, session_events, eighths = np.array(events, np.int64).reshape(-1, 3).T
    now, change = np.array([probabilities(n) for n in eighths]).reshape(-1, 3), np.zeros((len(events), 3))
    compiled.find_change(user, session_events, now, BASE_RATES, said, change)

    np.testing.assert_array_equal(change, expected)
    np.testing.assert_array_equal(said, [told.get(u, np.zeros(3)) for u in range(USERS)])
