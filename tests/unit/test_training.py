from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lambent import oracle
from lambent.catalogue import KINDS, ROW_DTYPE, SHOWN, Catalogue
from lambent.encoding import encode_events, text_hash
from lambent.events import Event
from lambent.features import shop_features
from lambent.fold import FoldState, fold
from lambent.sessions import GAP_MS
from lambent.training import session_rows, session_spans
from tests.histories import START_MS, USERS, logs

FEATURES = shop_features()


def slow_sessions(log: list[tuple[Event, int]]) -> list[tuple[str, list[str], list[str]]]:
    """Each user's sessions: (user, event ids, labels), by the definition and nothing else."""
    sessions: list[tuple[str, list[Event]]] = []
    for user in USERS:
        clock_ms = None
        for event, ingest_ms in log:
            if event.user != user:
                continue
            t_ms = min(event.event_ms, ingest_ms)
            late = clock_ms is not None and t_ms < clock_ms - 1_800_000
            if clock_ms is None or t_ms > clock_ms + 1_800_000:
                sessions.append((user, []))
            if not late:
                sessions[-1][1].append(event)
            clock_ms = max(clock_ms or 0, t_ms)
    return [
        (user, [e.id for e in events], [_label(events[n + 1 :]) for n in range(len(events))])
        for user, events in sessions
    ]


def _label(following: list[Event]) -> str:
    return next((e.type for e in following if e.type in ("purchase", "consult", "review")), "browse")


@given(logs())
def test_sessions_and_labels_are_those_of_the_definition(log: list[tuple[Event, int]]) -> None:
    log = oracle.distinct(log)
    events = encode_events([e for e, _ in log], [at for _, at in log], FEATURES.taxonomy)
    rows = session_rows(FEATURES, np.array([USERS.index(e.user) for e, _ in log], np.int64), events)
    found = [
        (
            USERS[rows.user[s]],
            [log[i][0].id for i in rows.event[rows.first[s] : rows.first[s] + rows.length[s]]],
            [FEATURES.taxonomy.intents[c] for c in rows.labels[rows.first[s] : rows.first[s] + rows.length[s]]],
        )
        for s in range(len(rows.first))
    ]
    assert found == slow_sessions(log)


catalogues = st.dictionaries(
    st.tuples(st.sampled_from(KINDS), st.sampled_from(["a", "b", "größe"])),
    st.tuples(*[st.floats(0, 9, width=32)] * len(SHOWN), st.floats(0, 9, width=32) | st.just(math.nan)),
)


@given(logs())
def test_the_spans_of_sessions_are_those_of_their_rows(log: list[tuple[Event, int]]) -> None:
    log = sorted(oracle.distinct(log), key=lambda one: one[0].user)
    events = encode_events([e for e, _ in log], [at for _, at in log], FEATURES.taxonomy)
    user = np.array([USERS.index(e.user) for e, _ in log], np.int64)
    rows = session_rows(FEATURES, user, events.copy())
    for found, expected in zip(
        session_spans(user, events), (rows.user, rows.start_ms, rows.end_ms, rows.length), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@given(logs(), catalogues)
def test_what_a_step_sees_is_what_the_oracle_says(
    log: list[tuple[Event, int]], known: dict[tuple[str, str | None], tuple[float, ...]]
) -> None:
    log = oracle.distinct(log)
    events = encode_events([e for e, _ in log], [at for _, at in log], FEATURES.taxonomy)
    rows = [(KINDS.index(kind), text_hash(name), tuple(values)) for (kind, name), values in known.items()]
    events["known"] = Catalogue(np.array(rows, ROW_DTYPE)).known(events["product"], events["category"])
    steps = fold(
        FEATURES,
        FoldState.identity(FEATURES, len(USERS)),
        np.array([USERS.index(e.user) for e, _ in log], np.int64),
        events,
    )
    assert steps.ids.tolist() == [oracle.ids(FEATURES, log[i][0]) for i in steps.event]
    found = {
        log[i][0].id: (starts, row) for i, starts, row in zip(steps.event, steps.starts, steps.floats, strict=True)
    }
    for user in USERS:
        for event_id, starts, numbers in oracle.steps(FEATURES, [one for one in log if one[0].user == user], known):
            expected = [numbers.get(name, 0.0) for name in FEATURES.step_floats]
            assert found[event_id][0] == starts
            np.testing.assert_allclose(found.pop(event_id)[1], expected, rtol=1e-5, atol=1e-6)
    assert not found


_acts = st.tuples(
    st.sampled_from(["view", "view", "view", "cart", "uncart", "purchase"]),
    st.integers(0, 11),
    st.sampled_from([0, 0, 0, 400_000]),
    st.sampled_from([40_000, 40_000, 40_000, GAP_MS + 1]),
)


@given(st.lists(_acts, min_size=25, max_size=60))
def test_what_a_step_sees_does_not_depend_on_tiles_however_much_the_maps_forget(
    acts: list[tuple[str, int, int, int]],
) -> None:
    times_ms = START_MS + np.cumsum([wait_ms for *_, wait_ms in acts])
    log = [
        (
            Event(
                user=USERS[0], type=kind, event_ms=at_ms - delay_ms, id=str(at_ms), product=str(product), category="c"
            ),
            at_ms,
        )
        for at_ms, (kind, product, delay_ms, _) in zip(times_ms.tolist(), acts, strict=True)
    ]
    events = encode_events([e for e, _ in log], [at for _, at in log], FEATURES.taxonomy)
    user = np.zeros(len(log), np.int64)
    at_once = fold(FEATURES, FoldState.identity(FEATURES, 1), user, events.copy())
    in_tiles = fold(FEATURES, FoldState.identity(FEATURES, 1), user, events.copy(), 20 * 60_000)
    np.testing.assert_allclose(in_tiles.floats, at_once.floats, rtol=1e-5, atol=1e-6)
    for _, _, numbers in oracle.steps(FEATURES, log)[-1:]:
        expected = [numbers.get(name, 0.0) for name in FEATURES.step_floats]
        np.testing.assert_allclose(at_once.floats[-1], expected, rtol=1e-5, atol=1e-6)


def test_a_session_comes_back_once_to_what_was_seen_last_before_it() -> None:
    views = [("a", 0), ("b", 90_000), ("a", GAP_MS + 90_001), ("b", 60_000), ("b", 60_000), ("c", 60_000)]
    views += [("c", GAP_MS + 1), ("c", GAP_MS + 1), ("b", 60_000), ("x", GAP_MS + 1)]
    times_ms = np.cumsum([START_MS, *(wait_ms for _, wait_ms in views[1:])]).tolist()
    log = [
        (Event(user=USERS[0], type="view", event_ms=ms, id=str(n), product=product), ms)
        for n, ((product, _), ms) in enumerate(zip(views, times_ms, strict=True))
    ]
    rows = session_rows(
        FEATURES, np.zeros(len(log), np.int64), encode_events(*zip(*log, strict=True), FEATURES.taxonomy)
    )
    returned = rows.floats[:, FEATURES.step_floats.index("product_returned_to")]
    assert returned.tolist() == [0, 0, 0, 1, 0, 0, 1, 1, 0, 0]
    returns = rows.profile[:, FEATURES.profile.feature_names.index("returned_sessions")]
    np.testing.assert_allclose(np.expm1(returns), [0, 0, 1, 2, 3], rtol=1e-6)
    streak = [FEATURES.profile.feature_names.index(f"returned_streak_{length}") for length in (1, 2, 3)]
    assert (rows.profile[:, streak] @ [1, 2, 3]).tolist() == [0, 0, 1, 2, 3]
