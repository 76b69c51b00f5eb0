"""The rules that flag bots and test traffic: by their definition, on the simulated shop, and told when they are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.errors import SettingsError
from lambent.traffic import BOT, SHOPPER, TEST, WINDOWS_MS, BotRule, Rules, load_rules
from tests.model_tables import simulated_events

MINUTE_MS = WINDOWS_MS["minute"]
_limit = st.none() | st.integers(1, 4)
_event = st.tuples(
    st.integers(0, 2),
    st.sampled_from([n + k * window for window in (0, *WINDOWS_MS.values()) for n in (-1, 0, 1) for k in (1, 3)]),
    st.sampled_from([False] * 9 + [True]),
)


@given(st.builds(BotRule, minute=_limit, hour=_limit, day=_limit), st.lists(_event, max_size=30))
def test_a_user_with_more_events_in_any_window_than_a_limit_is_a_bot_and_one_with_a_test_event_a_test(
    rule: BotRule, events: list[tuple[int, int, bool]]
) -> None:
    table = np.array(events, "q,q,?")
    found = Rules(rule).flag(table["f0"], table["f1"], table["f2"])
    for user, kind in enumerate(found.tolist()):
        own = [(t_ms, is_test) for u, t_ms, is_test in events if u == user]
        limits = [(most, window) for name, window in WINDOWS_MS.items() if (most := getattr(rule, name))]
        is_bot = any(
            sum(0 <= t_ms - start_ms < window for t_ms, _ in own) > most
            for most, window in limits for start_ms, _ in own
        )  # fmt: skip
        assert kind == (TEST if any(is_test for _, is_test in own) else BOT if is_bot else SHOPPER)


def test_the_shipped_rules_flag_the_bots_of_the_simulated_shop_and_no_person() -> None:
    """A bot is known there as one whose events come less than 80 to 400 ms apart, hundreds in a row."""
    seen: dict[str, list[int]] = {}
    for event in simulated_events(1_500, 3, 3):
        seen.setdefault(event.user, []).append(event.event_ms)
    user = np.repeat(np.arange(len(seen)), [len(times) for times in seen.values()])
    kinds = load_rules().flag(user, np.concatenate(list(seen.values())), np.zeros(len(user), bool))
    most = np.array([busiest(np.sort(times)) for times in seen.values()])
    assert 0 < (kinds == BOT).sum() < 20
    assert most[kinds == BOT].min() > 100
    assert most[kinds == SHOPPER].max() < 40


def busiest(t_ms: np.ndarray) -> int:
    """The most events in a minute."""
    return int((np.searchsorted(t_ms, t_ms + MINUTE_MS) - np.arange(len(t_ms))).max())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[bot]\nminute = 0", "at least 1"),
        ("[bot]\nweek = 7", "unknown field `week`"),
        ("[test]\nattributes = { test = 'true' }", "Expected `array`"),
        ('[test]\ndevices = ["a\\u0000"]', "NUL"),
        ("[bot", "rules.toml"),
    ],
)
def test_rules_that_are_wrong_are_told_by_their_file(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_rules(path)
    assert told in str(caught.value)
    assert str(path) in caught.value.cause


def test_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read.*LAMBENT_TRAFFIC"):
        load_rules(tmp_path / "none.toml")
