from __future__ import annotations

from pathlib import Path

import pytest

from lambent.control import ModelEntry, decode_control, encode_control
from lambent.errors import SettingsError
from lambent.events import Rejection
from lambent.policy import decide, rules_for
from lambent.taxonomy import load_taxonomy, shop

ADS = """
intents = ["ignore", "click"]
base_rates = [0.99, 0.01]
types = [{name = "impression"}, {name = "click", intent = "click"}]
"""


def test_another_domain_is_another_file(tmp_path: Path) -> None:
    (tmp_path / "ads.toml").write_text(ADS)
    ads = load_taxonomy(tmp_path / "ads.toml")
    assert ads.type_code == {"impression": 0, "click": 1}
    assert ads.intent_of_type == (None, 1)
    assert rules_for(ads) == ()


@pytest.mark.parametrize(
    ("mend", "message"),
    [
        (('"click"]', '"buy"]'), "types decide"),
        (("[0.99, 0.01]", "[0.9, 0.01]"), "base_rates"),
        (('{name = "impression"}', '{name = "click"}'), "different names"),
        (("intents =", "intent ="), "unknown field"),
        (("base_rates =", "base_rates"), "ads.toml"),
        (("intents =", 'users.gender = ["f", "f"]\nintents ='), "users.gender must be"),
        (("intents =", 'users.age_band = ["other"]\nintents ='), "users.age_band must be"),
    ],
)
def test_a_taxonomy_that_contradicts_itself_is_refused(mend: tuple[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "ads.toml").write_text(ADS.replace(*mend))
    with pytest.raises(SettingsError, match=message):
        load_taxonomy(tmp_path / "ads.toml")


def test_actions_follow_from_thresholds() -> None:
    said = {"browse": 0.3, "purchase": 0.5, "consult": 0.19, "review": 0.01}
    assert decide(rules_for(shop()), said) == ("recommend", "offer-express-checkout")


def test_a_control_entry_survives_its_bytes_and_rubbish_is_rejected() -> None:
    entry = ModelEntry(version=3, folder="/models/3", sha256="ab")
    assert decode_control(encode_control(entry)) == entry
    assert isinstance(decode_control(b'{"type": "model"}'), Rejection)
    assert isinstance(decode_control(b"\xff"), Rejection)
    assert isinstance(decode_control(b'{"type":' + b"[" * 5_000), Rejection)
