"""``lambent config explain``: values, their sources, and no secrets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lambent import cli
from lambent.config import COMMAND, SOURCES
from lambent.masking import mask_secret, mask_url
from lambent.settings import Settings


@pytest.fixture(autouse=True)
def only_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli, "load_commands", lambda: {"config": COMMAND})
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"LAMBENT_{name.upper()}", raising=False)


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, object]]:
    assert cli.main(["config", "explain", *arguments, "--json"]) == 0
    return {one["name"]: one for one in json.loads(capsys.readouterr().out)}


def test_every_setting_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(capsys)
    assert list(found) == list(Settings.model_fields)
    assert all(one["description"] and one["source"] == "default" for one in found.values())


def test_a_value_says_which_source_it_came_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lambent.toml").write_text("partitions = 1\ntile_ms = 2000\nhttp_port = 1\n")
    (tmp_path / ".env").write_text("LAMBENT_PARTITIONS=2\nLAMBENT_HTTP_PORT=2\n")
    monkeypatch.setenv("LAMBENT_PARTITIONS", "3")
    found = explained(capsys)
    came = {name: (found[name]["value"], found[name]["source"]) for name in ("partitions", "http_port", "tile_ms")}
    assert came == {"partitions": (3, "environment"), "http_port": (2, ".env"), "tile_ms": (2000, "lambent.toml")}
    assert found["metrics_port"]["source"] == "default"


def test_the_sources_are_asked_in_the_order_of_the_settings() -> None:
    order = Settings.settings_customise_sources(
        Settings, init_settings=None, env_settings="environment", dotenv_settings=".env"  # type: ignore[arg-type]
    )  # fmt: skip
    assert [*order[1:3], type(order[3])] == ["environment", ".env", SOURCES["lambent.toml"]]


def test_one_setting_is_found_by_either_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "explain", "http_port"]) == 0
    by_name = capsys.readouterr().out
    assert cli.main(["config", "explain", "LAMBENT_HTTP_PORT"]) == 0
    assert capsys.readouterr().out == by_name
    assert by_name == (
        "http_port = 8642  (default)\n    Port that the server listens on.\n"
        "    LAMBENT_HTTP_PORT: whole number, at least 0, at most 65,535.\n"
    )


def test_a_misspelt_name_is_a_wrong_call_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "explain", "http_prot"]) == 2
    assert "'http_port'" in capsys.readouterr().err


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LAMBENT_STORE_URL", "rediss://shop:hunter2@store:6380/0")
    monkeypatch.setenv("LAMBENT_USER_KEY", "ab" * 32)
    monkeypatch.setenv("LAMBENT_MLFLOW_URI", "postgresql://shop:hunter2@db/mlflow")
    cli.main(["config", "explain"])
    out = capsys.readouterr().out
    assert "rediss://****@store:6380/0" in out
    assert "postgresql://****@db/mlflow" in out
    assert "hunter2" not in out
    assert "abab" not in out


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://127.0.0.1:6390/0", "redis://127.0.0.1:6390/0"),
        ("redis://user:pa/ss@w@host/0", "redis://****@host/0"),
        ("redis://host?password=hunter2&db=1", "redis://host?password=****&db=1"),
        ("s3://bucket/tables", "s3://bucket/tables"),
        ("/var/lib/lambent", "/var/lib/lambent"),
    ],
)
def test_urls_lose_their_secrets_and_nothing_else(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_a_secret_that_is_no_url_is_not_shown_at_all() -> None:
    assert mask_secret("hunter2") == "****"
