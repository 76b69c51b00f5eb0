from __future__ import annotations

import pytest

from lambent.aggregates import Aggregate, Count, Where
from lambent.errors import SettingsError
from lambent.features import FeatureSet, shop_features
from lambent.taxonomy import shop
from tests.showing_oracle import all_shown

FEATURES = shop_features()


@pytest.mark.parametrize("aggregate", FEATURES.profile.aggregates, ids=lambda a: a.name)
def test_every_aggregate_names_each_of_its_features_once(aggregate: Aggregate) -> None:
    names = FEATURES.profile.feature_names
    assert [names.count(name) for name in aggregate.feature_names] == [1] * len(aggregate.feature_names)
    assert all(name.startswith(aggregate.name) for name in aggregate.feature_names)


def test_a_count_of_what_the_profile_cannot_remember_is_refused_in_words() -> None:
    with pytest.raises(SettingsError, match="does not remember") as caught:
        FeatureSet(shop(), (Count("bought", Where(intent="purchase")),))
    assert "Latest" in caught.value.remedy


def test_what_is_shown_changes_the_hash_and_not_what_is_kept() -> None:
    other = all_shown(FEATURES)
    assert other.hash != FEATURES.hash
    assert other.profile.dtype == FEATURES.profile.dtype
    assert set(FEATURES.profile.feature_names) < set(other.profile.feature_names)
    assert {"view_7d", "category_1h[3]"} <= set(other.profile.feature_names) - set(FEATURES.profile.feature_names)
