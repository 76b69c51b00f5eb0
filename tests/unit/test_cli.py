from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from lambent import cli
from lambent.errors import DataError, UsageError
from lambent.settings import Settings


def command(error: Exception | None) -> cli.Command:
    def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, int]:
        if error:
            raise error
        return {"rows": 3}

    return cli.Command("help", "description", (("lambent work", "works"),), lambda parser: None, run)


def call(monkeypatch: pytest.MonkeyPatch, error: Exception | None, *arguments: str) -> int:
    monkeypatch.setattr(cli, "load_commands", lambda: {"work": command(error)})
    return cli.main(["work", *arguments])


def test_a_failed_job_exits_with_1_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, DataError("The file is empty.", "Give another.")) == 1
    assert capsys.readouterr().err == "lambent: The file is empty. Give another.\n"


def test_a_wrong_call_exits_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(monkeypatch, UsageError("No.", "Yes.")) == 2


def test_an_error_that_nobody_foresaw_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, KeyError("x")) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_package_that_is_not_installed_is_named_with_the_extras(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, ModuleNotFoundError("No module named 'x'", name="x")) == 2
    assert capsys.readouterr().err.startswith("lambent: x is not installed. Install")


def test_debug_shows_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError):
        call(monkeypatch, DataError("x"), "--debug")


def test_json_prints_what_the_command_returns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, None, "--json") == 0
    assert capsys.readouterr().out == '{\n  "rows": 3\n}\n'


def test_every_command_teaches_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for name, one in cli.load_commands().items():
        assert one.examples, name
        assert any(line.startswith(f"lambent {name}") for line, _ in one.examples), name
        with pytest.raises(SystemExit) as stopped:
            cli.main([name, "--help"])
        assert stopped.value.code == 0
        assert "examples:" in capsys.readouterr().out


def test_the_command_line_starts_without_any_engine() -> None:
    code = "import sys, lambent.cli; lambent.cli.load_commands(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"pyspark", "tensorflow", "airflow", "mlflow", "deltalake", "litestar", "matplotlib"}
