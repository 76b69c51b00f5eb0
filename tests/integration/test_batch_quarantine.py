"""What was refused goes in once it is mended: exactly once, by the right door, and no raw user id is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from pydantic import SecretStr

import lambent.taxonomy
from lambent import cli, keys
from lambent.errors import DataError, UsageError
from lambent.events import Event, encode_event
from lambent.mapping import load_mapping
from lambent.settings import Settings
from lambent.tables import EVENTS, LOG, QUARANTINE
from spark_jobs import ingest, mended, quarantine_command, retry, stream
from spark_jobs.quarantine import Chosen, Outcome, Place, open_rows, settle, summary
from tests.integration.test_batch_ingest import PARTITIONS, START_MS, archive, entry, read, write_lines
from tests.spark import USER_KEY
from tests.valkey import Valkey, server, valkey  # noqa: F401

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.spark]

SHOP = """[file]
format = "csv"
[fields]
user = "u"
type = "t"
event_ms = "ts"
price = "p"
[time]
unit = "s"
[types]
view = "view"
"""
HEADER = "u,t,ts,p"
ALL = Chosen()
START_S = START_MS // 1000
HISTORY_MS = START_MS + 6_000


def csv_row(n: int, kind: str = "view", price: str = "1") -> str:
    return f"customer{n},{kind},{START_S + n},{price}"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.toml"
    path.write_text(SHOP)
    return path


@pytest.fixture(scope="module")
def made(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Tables, made once, after a file was ingested for what happened within six seconds.

    Refused were its lines 3 (type), 4 (price), 5 (columns), 7 (type) and 8 (type, and it happened later).
    """
    root = tmp_path_factory.mktemp("made")
    (root / "shop.toml").write_text(SHOP)
    rows = [
        csv_row(0),
        csv_row(1, "hover"),
        csv_row(2, price="1;5"),
        "customer3,view",
        csv_row(4),
        csv_row(5, "scroll"),
    ]
    write_lines(root / "clicks.csv", [HEADER, *rows, csv_row(9, "hover")])
    settings = Settings(root=root, tile_ms=1_000, partitions=PARTITIONS, user_key=USER_KEY)
    ingest.ingest_files(settings, [root / "clicks.csv"], str(root / "shop.toml"), HISTORY_MS)
    return settings


@pytest.fixture
def clicks(made: Settings, settings: Settings) -> Path:
    """The file, with tables of one's own."""
    shutil.copytree(made.tables_root, settings.tables_root)
    return made.root / "clicks.csv"


def refused(settings: Settings) -> list[tuple[int, str]]:
    return sorted((row["line"], row["reason"]) for row in open_rows(settings))


def content(settings: Settings) -> tuple[list[str], list[str]]:
    """Both tables, whatever the order of their rows."""
    return sorted(map(str, read(settings, EVENTS))), sorted(map(str, read(settings, QUARANTINE)))


# --- looking -----------------------------------------------------------------------------------------------------------


def test_the_summary_counts_by_reason_and_origin_and_shows_no_raw_user(settings: Settings, clicks: Path) -> None:
    groups = summary(open_rows(settings), 2)
    assert {(g.reason, g.origin, g.rows, g.first, g.last) for g in groups} == {
        ("type", str(clicks), 3, 3, 8), ("price", str(clicks), 1, 4, 4), ("columns", str(clicks), 1, 5, 5),
    }  # fmt: skip
    assert len(list(open_rows(settings, Chosen("type", "clicks.csv")))) == 3
    assert not list(open_rows(settings, Chosen("type", "log/*")))
    assert "customer" not in quarantine_command.describe(groups)


# --- files: the mapping is mended --------------------------------------------------------------------------------------


def mend(shop: Path) -> None:
    shop.write_text(SHOP + 'hover = "view"\nscroll = false\n')


def test_a_mended_mapping_takes_the_rows_that_it_reads_now_and_the_rest_stays(
    settings: Settings, clicks: Path, shop: Path
) -> None:
    mend(shop)
    counts = retry.retry(settings, Chosen("type"), str(shop)).counts
    assert counts == {"offered": 3, "entered": 1, "dropped": 1, "rejected_later": 1}
    assert refused(settings) == [(4, "price"), (5, "columns"), (8, "later")]  # beyond the history: for the live log
    counts = retry.retry(settings, ALL, str(shop), before_ms=START_MS + 60_000).counts
    assert counts == {"offered": 3, "entered": 1, "rejected_price": 1, "rejected_columns": 1}
    assert {row["event_ms"] - START_MS: row["source"] for row in read(settings, EVENTS)} == {
        0: 0,
        1_000: 0,
        4_000: 0,
        9_000: 0,
    }


def test_a_row_that_fails_in_another_way_stays_with_its_new_reason(
    settings: Settings, clicks: Path, shop: Path
) -> None:
    shop.write_text(SHOP.replace('unit = "s"', 'unit = "ms"') + 'hover = "view"\n')
    retry.retry(settings, Chosen("type"), str(shop))
    assert refused(settings) == [(3, "time"), (4, "price"), (5, "columns"), (7, "type"), (8, "time")]


def test_a_retry_killed_between_any_two_commits_and_run_again_gives_the_same_tables(
    settings: Settings, clicks: Path, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend(shop)
    once = settings.model_copy(update={"tables": shutil.copytree(settings.tables_root, f"{settings.tables_root}-once")})
    retry.retry(once, ALL, str(shop))

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    for step in ("write_events", "_outcomes"):  # nothing is committed; the events are, and the marks are not
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(retry, step, die)
            retry.retry(settings, ALL, str(shop))
        assert len(refused(settings)) == 5
    again = retry.retry(settings, ALL, str(shop)).counts
    assert (again.get("entered", 0), again["duplicates"], again["dropped"]) == (0, 1, 1)
    assert content(settings) == content(once)

    assert retry.retry(settings, Chosen("type"), str(shop)).counts == {}
    shop.write_text(SHOP)
    report = ingest.ingest_files(settings, [clicks], str(shop), HISTORY_MS)  # by the old mapping, which refuses them
    assert (report.rows, len(refused(settings))) == (0, 4)


def test_rows_of_a_missing_file_stay_and_the_file_is_named(settings: Settings, clicks: Path, shop: Path) -> None:
    with pytest.raises(UsageError, match="5 of the rows are from files"):
        retry.retry(settings, ALL)
    hidden = clicks.rename(clicks.with_suffix(".hidden"))
    report = retry.retry(settings, ALL, str(shop))
    hidden.rename(clicks)
    assert (report.facts, report.counts) == ({"missing": [str(clicks)]}, {})
    assert len(refused(settings)) == 5


# --- files: the rows are mended ----------------------------------------------------------------------------------------


def written(settings: Settings, path: Path, shop: Path | None, chosen: Chosen = ALL) -> list[dict[str, Any]]:
    door = shop and mended.Door(load_mapping(str(shop)), settings.load_taxonomy(), settings.user_key_bytes())
    mended.write_out(open_rows(settings, chosen), path, door or None)
    return [json.loads(one) for one in path.read_text().splitlines()]


def rewrite(path: Path, rows: list[dict[str, Any]]) -> Path:
    return write_lines(path, [json.dumps(row) for row in rows])


def test_rows_written_out_and_mended_by_hand_go_in(
    settings: Settings, clicks: Path, shop: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    rows = {row["line"]: row for row in written(settings, path, shop)}
    assert path.stat().st_mode & 0o077 == 0
    assert {n: row["raw"] for n, row in rows.items()} == {
        3: csv_row(1, "hover"), 4: csv_row(2, price="1;5"), 5: "customer3,view", 7: csv_row(5, "scroll"),
        8: csv_row(9, "hover"),
    }  # fmt: skip
    with pytest.raises(DataError, match="there already"):
        written(settings, path, shop)
    rows[3]["raw"] = csv_row(1)
    rows[4]["raw"] = '"' + csv_row(2)  # a quote that is not closed costs its own row only
    rows[5]["raw"] = csv_row(0)  # what the table has
    elsewhere = {**rows[3], "line": 6}
    rewrite(path, [rows[4], rows[3], rows[5], elsewhere])
    report = retry.retry(settings, ALL, str(shop), path)
    assert report.counts == {
        "offered": 3, "entered": 1, "duplicates": 1, "rejected_csv": 1, "not_offered": 1
    }  # fmt: skip
    assert refused(settings) == [(4, "csv"), (7, "type"), (8, "type")]
    assert retry.retry(settings, ALL, str(shop), path).counts == {"offered": 1, "rejected_csv": 1, "not_offered": 3}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "rows.jsonl:1"),
        ('{"origin":' + "[" * 5_000, "rows.jsonl:1"),
        ('{"origin":"a","line":1}', "neither raw nor"),
        ('{"origin":"a","line":1,"raw":"x"}\n' * 2, "twice"),
    ],
)
def test_a_file_that_is_not_of_mended_rows_is_refused_by_its_line(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=told):
        mended.read_mended(path)


# --- the live log ------------------------------------------------------------------------------------------------------

USER = keys.pseudonym("anna", b"k")


@pytest.fixture(scope="module")
def archived(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Tables, made once, from a log of an event and two entries that were refused: an unknown type, and no JSON."""
    settings = Settings(root=tmp_path_factory.mktemp("archived"), tile_ms=1_000, partitions=PARTITIONS)
    hover = Event(user=USER, type="hover", event_ms=START_MS, id="h")
    at = {"partition": keys.partition(USER, PARTITIONS)}
    entries = [entry(1, START_MS), entry(2, START_MS + 1, "e", encode_event(hover)) | at,
               entry(3, START_MS + 2, "e", b'{"user":"anna') | at]  # fmt: skip
    archive(settings, entries, START_MS + 9_999)
    ingest.ingest_log(settings)
    return settings


@pytest.fixture
def shop_live(archived: Settings, settings: Settings, valkey: Valkey) -> tuple[Settings, Valkey]:  # noqa: F811
    """The settings, with tables of one's own, and the store."""
    shutil.copytree(archived.tables_root, settings.tables_root)
    return settings.model_copy(update={"store_url": SecretStr(valkey.url)}), valkey


@pytest.fixture
def wider(shop_live: tuple[Settings, Valkey], tmp_path: Path) -> Settings:
    """The shop, with a taxonomy that knows the type which it did not."""
    shipped = Path(lambent.taxonomy.__file__).with_suffix(".toml").read_text()
    path = tmp_path / "taxonomy.toml"
    path.write_text(shipped + '\n[[types]]\nname = "hover"\n')
    return shop_live[0].model_copy(update={"taxonomy": path})


def sent(store: Valkey) -> list[bytes]:
    return [fields[b"e"] for p in range(PARTITIONS) for _, fields in store.client.xrange(keys.events(p))]


def test_an_entry_of_the_log_goes_in_as_a_new_one_once_the_taxonomy_knows_its_type(
    shop_live: tuple[Settings, Valkey], wider: Settings
) -> None:
    settings, store = wider, shop_live[1]
    report = retry.retry(settings, ALL)
    assert report.counts == {"offered": 2, "sent": 1, "rejected_malformed": 1}
    assert [json.loads(data)["id"] for data in sent(store)] == ["h"]
    assert [row["reason"] for row in open_rows(settings)] == ["malformed"]
    assert len(read(settings, EVENTS)) == 1  # it comes in by the archive, at its new place


def test_a_log_that_is_read_anew_keeps_out_what_the_worker_has_refused(
    wider: Settings,
) -> None:
    archive(wider, [entry(4, START_MS + 10_000)], START_MS + 10_999)
    DeltaTable(wider.table(LOG)).optimize.compact()  # so that all of it is in a new file
    assert ingest.ingest_log(wider).counts == {"read": 2, "rejected_malformed": 1, "duplicates": 1}
    assert {row["event_id"] for row in read(wider, EVENTS)} == {"e1", "e4"}
    assert [row["reason"] for row in open_rows(wider)] == ["type", "malformed"]


def test_a_mended_entry_is_sent_once_though_the_retry_was_killed_before_its_mark(
    shop_live: tuple[Settings, Valkey], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, store = shop_live
    path = tmp_path / "rows.jsonl"
    rows = written(settings, path, None, Chosen("malformed"))
    assert [row["raw"] for row in rows] == ['{"user":"anna']
    mended_event = {"user": USER, "type": "view", "event_ms": START_MS}
    rewrite(path, [rows[0] | {"raw": json.dumps(mended_event)}])

    def die(_: Settings, outcomes: Iterator[Outcome]) -> None:
        list(outcomes)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(retry, "settle", die)
        retry.retry(settings, ALL, None, path)
    assert len(sent(store)) == 1
    assert retry.retry(settings, ALL, None, path).counts == {"offered": 1, "duplicates": 1}
    assert len(sent(store)) == 1
    assert [row["reason"] for row in open_rows(settings)] == ["type"]
    assert retry.retry(settings, ALL, None, path).counts == {"not_offered": 1}


def test_a_full_log_takes_nothing_and_says_so(shop_live: tuple[Settings, Valkey]) -> None:
    _, store = shop_live
    event = Event(user=USER, type="view", event_ms=START_MS, id="v")
    assert stream.send_once(store.client, PARTITIONS, [(Place("log/0", 1, 0), event)], most=1) == 1
    with pytest.raises(Exception, match="The log is full"):
        stream.send_once(store.client, PARTITIONS, [(Place("log/0", 2, 0), event)], most=1)


# --- the command -------------------------------------------------------------------------------------------------------


def test_nothing_is_in_quarantine_where_there_is_no_table(settings: Settings) -> None:
    assert not list(open_rows(settings))
    settle(settings, [])
    assert quarantine_command.describe([]) == "Nothing is in quarantine."


def test_the_command_shows_and_refuses_arguments_of_the_other_action(
    settings: Settings,
    clicks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli, "load_commands", lambda: {"quarantine": quarantine_command.COMMAND})
    monkeypatch.setattr(cli, "load_settings", lambda: settings)
    assert cli.main(["quarantine", "show", "--json", "--reason", "type"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 3
    assert cli.main(["quarantine", "show", "--out", str(tmp_path / "rows.jsonl")]) == 0
    assert "left out: --mapping fetches them: 5" in capsys.readouterr().out
    assert cli.main(["quarantine", "show", "--before", "2024-01-01"]) == 2
    assert cli.main(["quarantine", "retry", "--limit", "1"]) == 2
