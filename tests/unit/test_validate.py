"""``lambent validate``: the verdict, what it rests on, and what it never prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lambent import cli
from lambent.mapping.command import COMMAND, share
from lambent.mapping.validation import DistinctUsers, without_values

MAPPING = """[file]
format = "csv"
[fields]
user = "u"
type = "t"
event_ms = "ts"
price = "p"
[types]
view = "view"
buy = "purchase"
scroll = false
"""
HEADER = "u,t,ts,p\n"
GOOD = "anna,view,2019-10-01 00:00:00,1\nbert,buy,2019-10-02 00:00:00,2\nanna,scroll,2019-10-01 00:00:00,1\n"
BAD = "carla77,view,carla77,1\ncarla77,carla77,2019-10-01 00:00:00,1\ncarla77,hover,2019-10-01 00:00:00,1\n"


@pytest.fixture(autouse=True)
def only_validate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli, "load_commands", lambda: {"validate": COMMAND})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.toml").write_text(MAPPING)


def validate(text: str, *arguments: str) -> int:
    Path("log.csv").write_text(HEADER + text)
    return cli.main(["validate", "log.csv", "--mapping", "shop.toml", *arguments])


def test_a_good_log_passes_with_its_counts_times_and_users(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(GOOD, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["passed"], report["rows"], report["events"], report["skipped"]) == (True, 3, 2, 1)
    assert report["types"] == {"view": 1, "purchase": 1}
    assert (report["first_ms"], report["last_ms"], report["users"]) == (1_569_888_000_000, 1_569_974_400_000, 2)


def test_too_many_rejected_rows_fail_and_are_named_by_line_and_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(GOOD + BAD) == 1
    out = capsys.readouterr().out
    assert out.startswith("FAIL  log.csv read by shop: 50.00% of the rows are rejected, 1.00% may be.")
    assert "log.csv:5: time: 'aaaaa99' is not an ISO 8601 time" in out
    assert "log.csv:7: type: type 'hover' is not in [types]" in out


def test_a_failure_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(GOOD + BAD, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["passed"], report["share_rejected"], report["rejected"]) == (False, 0.5, {"type": 2, "time": 1})
    assert [example["line"] for example in report["examples"]["type"]] == [6, 7]


def test_a_raw_user_id_is_never_printed_even_where_columns_have_moved(capsys: pytest.CaptureFixture[str]) -> None:
    validate(GOOD + BAD)
    validate(GOOD + BAD, "--json")
    assert "carla77" not in "".join(capsys.readouterr())


def test_as_many_rejected_rows_as_allowed_pass() -> None:
    assert validate(GOOD + BAD, "--max-rejected", "50%") == 0


def test_a_log_without_an_event_fails_whatever_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert validate("anna,scroll,2019-10-01 00:00:00,1\n", "--max-rejected", "100") == 1
    assert "no row is an event" in capsys.readouterr().out


def test_nothing_is_written(tmp_path: Path) -> None:
    validate(GOOD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.csv", "shop.toml"]


def test_a_file_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", "none.csv", "--mapping", "shop.toml"]) == 1
    assert capsys.readouterr().err == "lambent: none.csv does not exist. Check the path.\n"


def test_only_the_first_lines_of_a_reason_are_kept(capsys: pytest.CaptureFixture[str]) -> None:
    validate(BAD * 100, "--json")
    assert [len(lines) for lines in json.loads(capsys.readouterr().out)["examples"].values()] == [3, 3]


@pytest.mark.parametrize(("text", "value"), [("1", 0.01), ("1%", 0.01), ("0.5 %", 0.005), ("100", 1.0)])
def test_a_share_is_written_in_percent(text: str, value: float) -> None:
    assert share(text) == value


@pytest.mark.parametrize("text", ["-1", "101", "nan", "some"])
def test_what_is_no_share_is_a_wrong_call(text: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        validate(GOOD, f"--max-rejected={text}")
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("reason", "detail", "shown"),
    [
        ("time", "'31.12.2019' does not fit the pattern '%d/%m'", "'99.99.9999' does not fit the pattern '%d/%m'"),
        ("time", "event_ms 541312140 is outside the years 2000 to 2099", "event_ms 999999999 is outside the years 2000 to 2099"),
        ("price", "'it\\'s' is not a number", "'aa\\'a' is not a number"),
        ("too_large", "the line has 2000000 bytes", "the line has 2000000 bytes"),
        ("type", "type 'page_view' is not in [types]", "type 'page_view' is not in [types]"),
        ("type", "type 'u7' is not in [types]", "type 'a9' is not in [types]"),
    ],
)  # fmt: skip
def test_a_detail_shows_the_shape_of_a_value(reason: str, detail: str, shown: str) -> None:
    assert without_values(reason, detail) == shown


def test_users_are_counted_exactly_while_they_are_few_and_closely_when_they_are_many() -> None:
    users = DistinctUsers()
    for number in range(200_000):
        users.add(f"user-{number % 100_000}")
    assert abs(users.count() - 100_000) < 100
