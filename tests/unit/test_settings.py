from __future__ import annotations

import stat
from pathlib import Path

import pytest

from lambent.errors import SettingsError
from lambent.settings import load_settings


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("ROOT", "PARTITIONS", "STORE_URL", "USER_KEY"):
        monkeypatch.delenv(f"LAMBENT_{name}", raising=False)
    return tmp_path


def test_a_variable_wins_over_dotenv_and_dotenv_over_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lambent.toml").write_text("partitions = 1\ntile_ms = 2000\nhttp_port = 1\n")
    (tmp_path / ".env").write_text("LAMBENT_PARTITIONS=2\nLAMBENT_HTTP_PORT=2\n")
    monkeypatch.setenv("LAMBENT_PARTITIONS", "3")
    settings = load_settings()
    assert (settings.partitions, settings.http_port, settings.tile_ms) == (3, 2, 2000)


@pytest.mark.parametrize("where", ["variable", "toml", ".env"])
def test_an_unknown_setting_is_refused_wherever_it_stands(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "variable":
        monkeypatch.setenv("LAMBENT_PARTITION", "3")
    elif where == "toml":
        (tmp_path / "lambent.toml").write_text("partition = 3\n")
    else:
        (tmp_path / ".env").write_text("LAMBENT_PARTITION=3\n")
    with pytest.raises(SettingsError, match=r"(?i)partition"):
        load_settings()


def test_a_bad_value_is_refused_by_name_and_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBENT_PARTITIONS", "0")
    with pytest.raises(SettingsError, match="partitions"):
        load_settings()
    monkeypatch.setenv("LAMBENT_PARTITIONS", "8")
    monkeypatch.setenv("LAMBENT_STORE_URL", "redis://:hunter2@127.0.0.1/0")
    assert "hunter2" not in repr(load_settings())


def test_the_key_of_the_pseudonyms_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    key = load_settings().user_key_bytes()
    assert len(key) == 32
    assert load_settings().user_key_bytes() == key
    assert stat.S_IMODE((tmp_path / "var" / "user.key").stat().st_mode) == 0o600


def test_a_key_that_is_no_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBENT_USER_KEY", "secret")
    with pytest.raises(SettingsError, match="32 bytes") as caught:
        load_settings().user_key_bytes()
    assert "secret" not in str(caught.value)
