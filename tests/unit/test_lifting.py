from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.aggregates import Aggregate
from lambent.encoding import encode_events
from lambent.events import Event
from lambent.features import shop_features
from tests.histories import logs

FEATURES = shop_features()


@given(logs(), st.data())
def test_all_aggregates_lifted_at_once_are_what_each_says_alone(
    log: list[tuple[Event, int]], data: st.DataObject
) -> None:
    events = encode_events([e for e, _ in log], [at for _, at in log], FEATURES.taxonomy)
    for mark in ("opens", "late"):
        events[mark] = data.draw(st.lists(st.booleans(), min_size=len(log), max_size=len(log)))
    lifted = FEATURES.profile.lift(events)
    for aggregate in FEATURES.profile.aggregates:
        alone = aggregate.lift(events, FEATURES.taxonomy)
        np.testing.assert_array_equal(FEATURES.profile.block(lifted, aggregate), alone, err_msg=aggregate.name)


@pytest.mark.parametrize("aggregate", FEATURES.profile.aggregates, ids=lambda a: a.name)
def test_every_aggregate_names_each_of_its_features_once(aggregate: Aggregate) -> None:
    names = [name for name in FEATURES.profile.feature_names if name.split("[")[0] == aggregate.name]
    assert len(names) == len(set(names)) == aggregate.width
