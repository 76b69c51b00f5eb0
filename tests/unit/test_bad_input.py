"""The tables of bad input at every door that needs no service; ``tests/integration`` takes them through the others."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from lambent import cli, errors
from lambent.events import MAX_DETAIL, Rejection, admit
from lambent.mapping import load_mapping, read_events
from lambent.mapping.command import COMMAND
from lambent.taxonomy import shop
from realtime.collector import Door, split_body
from tests.bad_input import cases
from tests.bad_input.cases import RAW_USER, EventCase, FileCase

KEY = b"k" * 32
USER = cases.sealed(KEY)
EVENTS = pytest.mark.parametrize("case", cases.event_cases(), ids=lambda case: case.name)
REFUSED = pytest.mark.parametrize("case", cases.refused_files(), ids=lambda case: case.name)
READABLE = pytest.mark.parametrize("case", cases.readable_files(), ids=lambda case: case.name)


@EVENTS
def test_the_one_door_says_what_the_table_says_of(case: EventCase) -> None:
    outcome = admit(case.data(USER), shop())
    assert (outcome.reason if isinstance(outcome, Rejection) else "") == case.reason()
    if isinstance(outcome, Rejection):
        assert 0 < len(outcome.detail) <= MAX_DETAIL


@pytest.mark.parametrize(("pseudonymous", "name"), [(True, "pseudonymous"), (False, "http")])
def test_the_http_door_says_the_same_of_lines_between_good_ones(pseudonymous: bool, name: str) -> None:
    user = USER if pseudonymous else RAW_USER
    lines = cases.lines(user)
    texts = split_body(b"\n".join(lines))
    outcomes = Door(shop(), KEY, partitions=4).take(texts, pseudonymous=pseudonymous)
    assert cases.told(dict(zip(texts, outcomes, strict=True)), lines) == cases.expected(name)


def test_a_file_of_the_same_lines_says_the_same_of_each(tmp_path: Path) -> None:
    lines = cases.lines(RAW_USER)
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines))
    rows = read_events(tmp_path / "log.jsonl", load_mapping("lambent"), shop(), KEY)
    outcomes = {lines[row.line - 1]: row.rejection or row.event for row in rows}
    assert cases.told(outcomes, lines) == cases.expected("file")


def test_of_a_member_that_comes_twice_every_door_takes_the_last(tmp_path: Path) -> None:
    case = next(one for one in cases.event_cases() if one.name.startswith("a price twice, of which"))
    (tmp_path / "log.jsonl").write_bytes(case.data(RAW_USER))
    (row,) = read_events(tmp_path / "log.jsonl", load_mapping("lambent"), shop(), KEY)
    (taken,) = Door(shop(), KEY, partitions=4).take([case.data(RAW_USER)], pseudonymous=False)
    assert admit(case.data(USER), shop()) == admit(taken.data, shop()) == row.event  # type: ignore[union-attr]
    assert row.event is not None and row.event.price == 2.5


@REFUSED
def test_a_file_that_is_no_log_is_refused_with_what_to_do(case: FileCase, tmp_path: Path) -> None:
    with pytest.raises(getattr(errors, case.error), match=re.escape(case.words)) as caught:
        list(read_events(case.write(tmp_path), load_mapping(cases.write_mapping(tmp_path)), shop(), KEY))
    assert caught.value.remedy


@READABLE
def test_a_row_that_is_no_event_is_counted_with_its_reason_and_the_others_are_read(
    case: FileCase, tmp_path: Path
) -> None:
    rows = list(read_events(case.write(tmp_path), load_mapping(cases.write_mapping(tmp_path)), shop(), KEY))
    assert sum(row.event is not None for row in rows) == case.events
    assert Counter(row.rejection.reason for row in rows if row.rejection) == case.rejected


@pytest.fixture
def only_validate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "load_commands", lambda: {"validate": COMMAND})


@pytest.mark.usefixtures("only_validate")
def test_lambent_validate_says_the_same_of_all_files_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping = str(cases.write_mapping(tmp_path))
    for case in cases.file_cases():
        path = case.write(tmp_path)
        code = cli.main(["validate", str(path), "--mapping", mapping, "--max-rejected", "100", "--json"])
        out, said = capsys.readouterr()
        if case.error:
            assert code == getattr(errors, case.error).exit_code
            assert case.words in said and said.count("\n") == 1
        else:
            report = json.loads(out)
            assert (report["events"], Counter(report["rejected"])) == (case.events, case.rejected), case.name
            assert code == (0 if case.events else 1)
        path.unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["shop.toml"]
