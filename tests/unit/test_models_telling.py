"""What a training tells: marked lines of a rank become the bar of the process that started it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from models import telling
from models.telling import RanksOutput, Teller, of_rank


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_ranks_print_goes_to_stderr_line_by_line_and_marked_lines_do_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = RanksOutput()
    for piece in (b"[0]<stdout>:lambent-st", "eps 1 50 100\n[1]<stdo", "ut>:hello\n", b"half"):
        output.write(piece)
    assert capsys.readouterr().err == "[1]<stdout>:hello\n"


def test_marked_lines_become_a_bar_where_there_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    output = RanksOutput()
    output.write("[0]<stdout>:lambent-steps 2 50 100\n")
    output.write("[0]<stdout>:the epoch is over\n")
    bar, rest = terminal.getvalue().split("\n", 1)
    assert "epoch 2" in bar and "50%" in bar
    assert rest == "[0]<stdout>:the epoch is over\n"


def test_an_epoch_is_a_line_that_is_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOROVOD_RANK", "0")
    monkeypatch.setattr(telling, "PERIOD_S", 0.0)
    teller = Teller(tmp_path / "reports" / "train.jsonl", total=100)
    teller.steps(1, 50)
    teller.epoch({"epoch": 1})
    steps, line = capsys.readouterr().out.splitlines()
    assert steps == "lambent-steps 1 50 100"
    assert json.loads(line)["epoch"] == 1
    assert (tmp_path / "reports" / "train.jsonl").read_text() == line + "\n"


def test_of_all_ranks_only_the_first_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telling, "PERIOD_S", 0.0)
    for rank in ("1", "0"):
        monkeypatch.setenv("HOROVOD_RANK", rank)
        told = of_rank(int(rank), tmp_path / f"{rank}.jsonl", 100)
        told.steps(1, 50)
        told.epoch({"epoch": int(rank)})
    steps, line = capsys.readouterr().out.splitlines()
    assert steps == "lambent-steps 1 50 100" and json.loads(line)["epoch"] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["0.jsonl"]
