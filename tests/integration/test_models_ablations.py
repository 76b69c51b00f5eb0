"""A network that is trained without a part of its inputs has not seen them, and is asked without them, too."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lambent.settings import load_settings
from models.ablations import Hidden, ablated, hidden_inputs
from models.baselines import cheap
from models.baselines.inputs import whole
from models.dataset import TrainingTable
from models.importance import Inputs
from models.metrics import log_loss
from tests.model_tables import FEATURES, simulated_events, training_table, write_training_table

pytestmark = pytest.mark.integration

PARTS = tuple(part.name for part in dataclasses.fields(Inputs))


def small_table(root: Path) -> TrainingTable:
    settings = load_settings(root=root)
    write_training_table(settings, training_table(simulated_events(users=150, days=4, seed=3)))
    return TrainingTable.open(settings, FEATURES)


@pytest.mark.parametrize("name", hidden_inputs(FEATURES))
def test_what_is_hidden_is_nothing_in_every_split_and_all_else_is_as_it_was(name: str, tmp_path: Path) -> None:
    table, hidden = small_table(tmp_path), hidden_inputs(FEATURES)[name]
    own = Hidden(**{one.name: getattr(table, one.name) for one in dataclasses.fields(table)}, hidden=hidden)
    for split in ("train", "validation", "test"):
        for before, after in zip(table.chunks(split), own.chunks(split), strict=True):
            for part in PARTS:
                expected = getattr(before, part).copy()
                expected[:, getattr(hidden, part)] = 0
                np.testing.assert_array_equal(getattr(after, part), expected)
            np.testing.assert_array_equal(before.labels, after.labels)
            np.testing.assert_array_equal(before.decides, after.decides)  # what training aims at depends on it


def test_each_name_hides_what_it_says() -> None:
    hidden = hidden_inputs(FEATURES)
    profile, floats = FEATURES.profile.feature_names, FEATURES.step_floats
    clock = {at for at, name in enumerate(profile) if name in FEATURES.profile.now_names}
    assert {*hidden["no profile"].profile} == {*range(len(profile))} - clock
    assert {*hidden["no session"].profile} == clock
    assert {floats[at] for at in hidden["no profile"].floats} >= {"cart_in", "cart_recency", "bought_categories_in"}
    assert sorted(hidden["no session"].floats) == list(range(len(floats)))
    assert sorted(hidden["no session"].ids) == list(range(len(FEATURES.step_ids)))
    fading = {profile[at] for at in hidden["no decay"].profile}
    assert fading >= {"purchase_latest_s", "cart_newest", "cart_age_8h"}
    assert not fading & {"view_count", "cart_held", "hours[1]"}
    assert {floats[at] for at in hidden["no decay"].floats} >= {"cart_recency", "price_relative"}
    told = {floats[at] for at in hidden["no attributes"].floats}
    assert told >= {"price_log", "dwell_log_s", "category_repeated", "bought_categories_in"}
    assert not told & {"product_repeated", "cart_in", "view_log"}


@pytest.mark.long
def test_what_was_hidden_in_training_moves_nothing_and_what_is_left_still_tells(tmp_path: Path) -> None:
    table, rng = small_table(tmp_path), np.random.default_rng(1)
    test = whole(table, "test", 10**6)
    base = log_loss(cheap(table, FEATURES)["base rate"](test), test.labels)
    found = ablated(table, FEATURES, {"epochs": 1, "batch": 32})
    for name, hidden in hidden_inputs(FEATURES).items():
        floats = test.floats.copy()
        floats[:, hidden.floats] = rng.normal(size=floats[:, hidden.floats].shape)
        said = found[name](test)
        np.testing.assert_array_equal(found[name](dataclasses.replace(test, floats=floats)), said)
        assert said.shape == (len(test.labels), len(FEATURES.taxonomy.intents))
        assert log_loss(said, test.labels) < 1.5 * base
