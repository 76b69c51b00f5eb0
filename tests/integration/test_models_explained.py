"""The model explained as a whole: what is planted has the worth, the rule and the parts that were planted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lambent.groups import GROUPS
from models.agreement import agreement, explained, lime, told, worths
from models.dataset import Sessions
from models.explained import explain
from models.importance import STEP_GROUPS, Inputs, dealt, importance, input_groups, resamples_of, sample
from models.page_explained import section
from models.surrogate import surrogate
from tests.integration.test_models_baselines import planted
from tests.model_tables import FEATURES

pytestmark = pytest.mark.integration

PROFILE, FLOATS = FEATURES.profile.feature_names, FEATURES.step_floats
CART = FEATURES.taxonomy.type_code["cart"]
BOUGHT = PROFILE.index("purchase_sessions")
OWNER = np.array([f"u{n % 50}" for n in range(300)], object)


@dataclasses.dataclass
class Planted:
    """Two things alone raise the odds of a purchase: sessions that led to one, in the profile, and a cart event."""

    def start(self, profile):  # type: ignore[no-untyped-def]
        state = np.zeros((len(profile), 64), np.float32)
        state[:, 0] = -2 + np.maximum(profile[:, BOUGHT], 0)
        return state

    def step(self, state, ids, floats):  # type: ignore[no-untyped-def]
        state = state.copy()
        state[:, 0] += 3 * (ids[:, 0] == CART)
        purchase = 1 / (1 + np.exp(-state[:, 0]))
        zeros = np.zeros(len(state))
        return state, np.stack([1 - purchase, purchase, zeros, zeros], axis=1)

    def sessions(self, sessions: Sessions) -> np.ndarray:
        said = np.zeros((len(sessions.labels), 4))
        for first, length, profile in zip(sessions.first, sessions.length, sessions.profile, strict=True):
            state = self.start(profile[None])
            for at in range(first, first + length):
                state, (said[at],) = self.step(state, sessions.ids[[at]], sessions.floats[[at]])
        return said


def shop(seed: int) -> Sessions:
    """Sessions whose labels come by the planted model's own odds."""
    sessions = planted(300, seed)
    sessions.profile[:, np.arange(len(PROFILE)) != BOUGHT] = 0
    said = Planted().sessions(sessions)
    hit = np.random.default_rng(seed).random(len(said)) < said[:, 1]
    return dataclasses.replace(sessions, labels=hit.astype(np.int64))


def test_every_input_of_the_model_is_in_one_group() -> None:
    groups = input_groups(FEATURES)
    unseen = {GROUPS["prices"], GROUPS["tastes"]}  # what fades is kept for others than the model
    assert list(groups) == [name for name in (*GROUPS.values(), *STEP_GROUPS.values()) if name not in unseen]
    for name, names in (("profile", PROFILE), ("ids", FEATURES.step_ids), ("floats", FLOATS)):
        assert sorted(column for own in groups.values() for column in getattr(own, name)) == list(range(len(names)))
    of = {FLOATS[column]: name for name, own in groups.items() for column in own.floats}
    examples = {"gap_log_s": "time", "price_relative": "price", "bought_categories_in": "memory", "cart_in": "memory",
                "product_unknown": "catalogue", "product_repeated": "session", "cart_log": "session"}  # fmt: skip
    assert {name: of[name] for name in examples} == {name: STEP_GROUPS[group] for name, group in examples.items()}
    assert PROFILE.index("purchase_sessions") in groups[GROUPS["outcomes"]].profile


def test_what_is_dealt_out_keeps_its_rows_and_leaves_all_else() -> None:
    sessions = planted(300, 1)
    after = dealt(sessions, Inputs(profile=[3, 5], ids=[0], floats=[2]), np.random.default_rng(1))
    assert not np.array_equal(after.profile[:, 3], sessions.profile[:, 3])
    assert {tuple(row) for row in after.profile[:, [3, 5]]} == {tuple(row) for row in sessions.profile[:, [3, 5]]}
    for name, columns in (("profile", [3, 5]), ("ids", [0]), ("floats", [2])):
        kept = np.setdiff1d(np.arange(getattr(sessions, name).shape[1]), columns)
        np.testing.assert_array_equal(getattr(after, name)[:, kept], getattr(sessions, name)[:, kept])
        np.testing.assert_array_equal(
            np.sort(getattr(after, name)[:, columns[0]]), np.sort(getattr(sessions, name)[:, columns[0]])
        )


def test_only_the_planted_inputs_are_worth_anything_and_surely_so() -> None:
    sessions = shop(2)
    found = importance(Planted().sessions, sessions, FEATURES, resamples_of(sessions, OWNER, 200))
    assert {found[0]["group"], found[1]["group"]} == {STEP_GROUPS["event"], GROUPS["outcomes"]}
    assert all(one["rise"]["low"] > 0.01 for one in found[:2])
    assert all(one["rise"] == {"value": 0, "low": 0, "high": 0} for one in found[2:])


def test_the_planted_rule_is_found_and_its_fidelity_is_of_events_not_seen() -> None:
    fitted, tried = alone(shop(3)), alone(shop(4))
    found = surrogate(fitted, tried, FEATURES, resamples_of(tried[0], OWNER, 200))
    said = {condition for rule in found["rules"] for condition in rule["if"]}
    assert "is a cart" in said and "no cart" in said
    assert any(condition.startswith("profile: purchase_sessions") for condition in said)
    assert sum(rule["share"] for rule in found["rules"]) == pytest.approx(1)
    assert 0.8 < found["fidelity"]["purchase"]["low"] < found["fidelity"]["purchase"]["value"] < 1
    assert found["fidelity"]["consult"]["value"] is None  # never said, so that there is nothing to explain


def alone(sessions: Sessions) -> tuple[Sessions, np.ndarray]:
    """Sessions, and what the planted model says of each event as if it were the first."""
    profile = np.repeat(sessions.profile, sessions.length, axis=0)
    model = Planted()
    return sessions, model.step(model.start(profile), sessions.ids, sessions.floats)[1]


def test_of_one_prediction_all_three_find_the_planted_event_and_two_sum_to_what_was_said() -> None:
    sessions, model = shop(5), Planted()
    rows = [row for row in np.flatnonzero(sessions.length > 1) if (events(sessions, row) == CART).sum() == 1][:10]
    assert rows
    for row in rows:
        at = 1 + int(np.flatnonzero(events(sessions, row) == CART)[0])
        worth = worths(model, sessions, row, FEATURES)  # type: ignore[arg-type]
        assert told(worth).sum(axis=0) == pytest.approx(worth[-1] - worth[0])
        parts = explained(model, sessions, row, FEATURES)  # type: ignore[arg-type]
        assert parts["shap"].sum() == pytest.approx(worth[-1, 1] - worth[0, 1])
        assert parts["shap"][at] > 0.1 and parts["lime"][at] > 0.1
        if at > 1:
            assert parts["ours"].argmax() == at


def events(sessions: Sessions, row: int) -> np.ndarray:
    first = sessions.first[row]
    return sessions.ids[first : first + min(sessions.length[row], 7), 0]


def test_limes_coefficients_are_those_of_a_sum_where_the_worth_is_one() -> None:
    inside = (np.arange(16)[:, None] >> np.arange(4)) & 1
    added = np.array([0.3, -0.2, 0.0, 0.1])
    found = lime(inside @ np.stack([added, -added], axis=1))[:, 0]
    assert np.abs(found - added).max() < 0.2 and np.corrcoef(found, added)[0, 1] > 0.99


def test_the_agreement_is_told_with_intervals() -> None:
    sessions = shop(6)
    found = agreement(Planted(), sessions, OWNER, FEATURES, 100)  # type: ignore[arg-type]
    assert found["predictions"] == 200
    for other in ("shap", "lime"):
        for figure in found[other].values():
            assert figure["low"] <= figure["value"] <= figure["high"]
    assert found["shap"]["rank"]["value"] > 0.5


def test_a_sample_is_of_whole_sessions_with_their_owners_and_the_page_has_all_parts() -> None:
    class Table:
        """Two chunks of a split."""

        profile_width, ids_width, floats_width = len(PROFILE), len(FEATURES.step_ids), len(FLOATS)

        def chunks(self, split: str, owners: bool = False) -> list[Sessions]:
            parts = [shop(len(split)), shop(len(split) + 1)]
            return [dataclasses.replace(part, user=OWNER) for part in parts]

    few, owner = sample(Table(), "test", 50)  # type: ignore[arg-type]
    assert len(few.length) == len(owner) == 50
    known = {part.profile[row].tobytes(): OWNER[row] for part in Table().chunks("test") for row in range(300)}
    assert [known[profile.tobytes()] for profile in few.profile] == owner.tolist()
    page = section(explain(Planted(), Table(), FEATURES, 50))  # type: ignore[arg-type]
    for words in ("rise of the log loss", GROUPS["outcomes"], "is a cart", "| fidelity |", "| SHAP |", "| LIME |"):
        assert words in page
