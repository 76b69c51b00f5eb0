"""Users and products from files: each change once, events completed by what was known, refusals with their reason."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lambent import keys
from lambent.errors import UsageError
from lambent.products import Product, products_file, read_products
from lambent.settings import Settings
from lambent.tables import EVENTS, PRODUCTS, USERS
from spark_jobs import ingest
from spark_jobs.commits import need_table
from spark_jobs.quarantine import open_rows
from spark_jobs.report import Report
from tests.integration.test_batch_ingest import START_MS, archive, entry, line, read, write_lines

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.spark]

ITEMS = """
[file]
format = "csv"

[fields]
product = "item"
category = "group"
price = "price"
"""
PEOPLE = """
[file]
format = "jsonl"

[fields]
user = "id"
gender = "gender"
as_of_ms = "changed"

[time]
unit = "ms"
"""
FIRST_MS, SECOND_MS, THIRD_MS = START_MS, START_MS + 10_000, START_MS + 20_000


def run(settings: Settings, *words: str) -> Report:
    parser = argparse.ArgumentParser()
    ingest.configure(parser)
    return ingest.ingest(parser.parse_args(words), settings)


def time(ms: int) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).isoformat()


def rows_of(settings: Settings, table: str) -> list[tuple[Any, ...]]:
    return sorted((tuple(row.values()) for row in read(settings, table)), key=str)


@pytest.mark.long
def test_a_change_closes_a_row_and_opens_one_and_events_get_what_was_known_at_their_time(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "items.toml").write_text(ITEMS)
    file = tmp_path / "items.csv"

    def items(as_of_ms: int, *lines: str) -> Report:
        write_lines(file, ["item,group,price", *lines])
        return run(settings, str(file), "--into", PRODUCTS, "--mapping", str(tmp_path / "items.toml"),
                   "--as-of", time(as_of_ms))  # fmt: skip

    first = items(FIRST_MS, "p1,a,1", "p2,,2", "p3,c,dear")
    assert (first.rows, first.counts["rejected_price"], first.counts["read"]) == (2, 1, 2)
    version = need_table(settings.table(PRODUCTS), "").version()
    assert items(FIRST_MS, "p1,a,1", "p2,,2", "p3,c,dear").counts["inserted"] == 0
    assert need_table(settings.table(PRODUCTS), "").version() == version  # nothing new, nothing written
    assert [(row["origin"], row["line"], row["reason"]) for row in open_rows(settings)] == [
        (f"products:{file}", 4, "price")
    ]

    third = items(THIRD_MS, "p1,a,3", "p2,,2", "p3,c,5")
    assert {name: third.counts[name] for name in ("inserted", "updated", "deleted")} == {
        "inserted": 2, "updated": 2, "deleted": 0,
    }  # fmt: skip
    assert not list(open_rows(settings))  # the file, read again, settles its rows
    second = items(SECOND_MS, "p1,b,1", "p2,b,2")  # a file that comes late: p1's is placed, p2's contradicts
    assert (second.counts["inserted"], second.counts["rejected_as_of"]) == (1, 1)
    assert rows_of(settings, PRODUCTS) == [
        ("p1", "a", None, 1.0, FIRST_MS, SECOND_MS, FIRST_MS),
        ("p1", "a", None, 3.0, THIRD_MS, None, THIRD_MS),
        ("p1", "b", None, 1.0, SECOND_MS, THIRD_MS, SECOND_MS),
        ("p2", None, None, 2.0, FIRST_MS, None, THIRD_MS),
        ("p3", "c", None, 5.0, THIRD_MS, None, THIRD_MS),
    ]
    assert read_products(products_file(settings)).rows == {
        "p1": Product("a", None, 3.0, THIRD_MS),
        "p2": Product(None, None, 2.0, FIRST_MS),
        "p3": Product("c", None, 5.0, THIRD_MS),
    }

    log = write_lines(tmp_path / "log.jsonl", [line(n, product="p1") for n in (0, 9, 10, 20)] + [
        line(11, product="p1", category="own"), line(12, product="p3"), line(13, product=None)])  # fmt: skip
    archive(settings, [entry(1, START_MS + 15_000)], START_MS + 15_000)
    run(settings, str(log), "--mapping", "lambent")
    run(settings, "--log")
    found = {row["event_ms"] - START_MS: (row["category"], row["price"]) for row in read(settings, EVENTS)}
    assert found == {
        0: ("a", 1.0), 9_000: ("a", 1.0), 10_000: ("b", 1.0), 20_000: ("a", 3.0), 11_000: ("own", 1.0),
        12_000: (None, None), 13_000: (None, None), 1: (None, None),
    }  # fmt: skip
    assert run(settings, str(log), "--mapping", "lambent").rows == 0  # the same events, whatever is known by now


def test_users_are_pseudonyms_and_a_file_may_hold_a_users_whole_past(
    spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "people.toml").write_text(PEOPLE)
    said = [("u1", "f", THIRD_MS), ("u1", None, FIRST_MS), ("u2", "male", FIRST_MS), ("u2", "male", SECOND_MS)]
    lines = [json.dumps({"id": user, "gender": gender, "changed": ms}) for user, gender, ms in said]
    file = write_lines(tmp_path / "people.jsonl", [*lines, '{"id": "u3"}'])
    report = run(settings, str(file), "--into", USERS, "--mapping", str(tmp_path / "people.toml"))
    assert (report.rows, report.counts["rejected_missing"]) == (3, 1)
    assert {name: number for name, number in report.counts.items() if "other" in name} == {"other_gender": 1}
    u1, u2 = (keys.pseudonym(user, settings.user_key_bytes()) for user in ("u1", "u2"))
    assert rows_of(settings, USERS) == sorted(
        [
            (u1, None, None, None, FIRST_MS, THIRD_MS, FIRST_MS),
            (u1, None, "f", None, THIRD_MS, None, THIRD_MS),
            (u2, None, "male", None, FIRST_MS, None, SECOND_MS),
        ],
        key=str,
    )
    assert not products_file(settings).exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--into", PRODUCTS, "--before", "2024-01-01"), "--before is for events"),
        (("--as-of", "2024-01-01"), "--as-of is for users and products"),
        (("--into", PRODUCTS), "Nothing says as of when"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    settings: Settings, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "items.toml").write_text(ITEMS)
    file = write_lines(tmp_path / "items.csv", ["item,group,price", "a,b,1"])
    with pytest.raises(UsageError, match=said):
        run(settings, str(file), "--mapping", str(tmp_path / "items.toml"), *words)
