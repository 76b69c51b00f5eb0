from __future__ import annotations

import pytest

from lambent.aggregates import Aggregate
from lambent.features import shop_features

FEATURES = shop_features()


@pytest.mark.parametrize("aggregate", FEATURES.profile.aggregates, ids=lambda a: a.name)
def test_every_aggregate_names_each_of_its_features_once(aggregate: Aggregate) -> None:
    names = [name for name in FEATURES.profile.feature_names if name.split("[")[0] == aggregate.name]
    assert len(names) == len(set(names)) == aggregate.width
