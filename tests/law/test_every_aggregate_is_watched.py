"""A change to any one aggregate, in the fold or in the oracle, is seen by the law: no aggregate passes unwatched."""

from __future__ import annotations

import numpy as np
import pytest

from lambent import oracle
from lambent.aggregates import Aggregate
from lambent.encoding import encode_events
from lambent.events import Event
from lambent.features import shop_features
from lambent.fold import FoldState, fold, merge
from lambent.law import differs
from lambent.profile import Profiles
from tests.histories import USERS

FEATURES = shop_features()
MINUTE_MS = 60_000
TOLD = {"age_band": "25-34", "gender": "male", "member_since_ms": 1_600_000_000_000}


def rich_history() -> list[tuple[Event, int]]:
    """A history of one user in which every aggregate sees something: all types, all fields, sessions, returns, a late event."""
    log, event_ms = [], 1_700_000_000_000
    for n in range(200):
        gap = 97 if n >= 100 else 24 * 60 + 97
        event_ms += (gap if n % 10 == 0 else 1) * MINUTE_MS
        late_ms = 45 * MINUTE_MS if n % 50 == 49 else 0
        kind = FEATURES.taxonomy.types[n % len(FEATURES.taxonomy.types)].name
        product = (n - 1) // 8 * 8 if n % 10 == 0 else n  # a session begins where the one before looked last
        event = Event(
            user=USERS[0], type=kind, event_ms=event_ms - late_ms, id=str(n), product=f"p{product}", category=f"c{n}",
            brand=f"b{n}", price=None if n % 3 == 0 else 1.0 + n, dwell_ms=1_000 + n,
        )  # fmt: skip
        log.append((event, event_ms))
    return log


def folded(log: list[tuple[Event, int]]) -> Profiles:
    state = FoldState.identity(FEATURES, 1)
    state.base["fact"] = [fact.code(TOLD[fact.column]) for fact in FEATURES.facts]
    events = encode_events([e for e, _ in log], [at for _, at in log], FEATURES.taxonomy)
    fold(FEATURES, state, np.zeros(len(log), np.int64), events)
    return merge(FEATURES, state.base, state.tile)


@pytest.mark.parametrize("aggregate", FEATURES.profile.aggregates, ids=lambda a: a.name)
def test_a_change_of_one_event_in_one_aggregate_turns_the_law_red(aggregate: Aggregate) -> None:
    log = rich_history()
    expected = oracle.profile(FEATURES, oracle.mark(FEATURES, log), TOLD)
    live = folded(log)
    assert not any(rows.any() for rows in differs(FEATURES.profile, live, expected, stored=True).values())
    block = FEATURES.profile.block(live, aggregate)
    assert (block != aggregate.identity).all(), "the history shows nothing to this aggregate"
    block[0, -1] = block[0, -1] * (1 + 1e-4) if block.dtype.kind == "f" else block[0, -1] + 1
    found = differs(FEATURES.profile, live, expected, stored=True)
    assert [name for name, rows in found.items() if rows.any()] == [aggregate.name]
