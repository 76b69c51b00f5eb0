"""Statements of a dimension's file, and what the collector's door adds to an event from them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lambent import keys
from lambent.dimensions import DIMENSIONS
from lambent.errors import DataError, MappingError, UsageError
from lambent.events import Event, admit
from lambent.mapping.statements import Statement, Told, load_dimension_mapping, read_statements
from lambent.products import Product, Products, read_products, write_products
from lambent.tables import PRODUCTS, USERS
from lambent.taxonomy import shop
from realtime.collector import Door, Taken
from realtime.known import Watch

KEY = b"k" * 32
DAY_MS = 86_400_000
NOW_MS = 1_740_000_000_000

ITEMS = """
[file]
format = "csv"
delimiter = ";"

[fields]
product = "item"
category = "group"
brand = "maker"
price = { column = "cents", scale = 0.01 }
"""
PEOPLE = """
[file]
format = "jsonl"

[fields]
user = "id"
age_band = "age"
member_since_ms = "joined"
as_of_ms = "changed"
"""


def read(folder: Path, name: str, mapping: str, text: str, as_of_ms: int | None = None) -> list[Told]:
    (folder / "m.toml").write_text(mapping)
    (folder / "file").write_text(text)
    loaded = load_dimension_mapping(folder / "m.toml", DIMENSIONS[name])
    return list(read_statements(folder / "file", loaded, DIMENSIONS[name], KEY, as_of_ms))


# --- files -------------------------------------------------------------------------------------------------------------


def test_a_row_says_all_attributes_of_a_product_and_what_is_missing_is_missing(tmp_path: Path) -> None:
    text = "item;group;maker;cents\nkettle;kitchen.kettles;Acme;3990\nlamp;;;\n"
    assert [row.statement for row in read(tmp_path, PRODUCTS, ITEMS, text, NOW_MS)] == [
        Statement("kettle", ("kitchen.kettles", "Acme", 39.9), NOW_MS),
        Statement("lamp", (None, None, None), NOW_MS),
    ]


def test_users_become_pseudonyms_and_each_row_can_say_as_of_when_it_is(tmp_path: Path) -> None:
    text = '{"id": 7, "age": "30-39", "joined": "2020-01-01", "changed": "2024-05-01T00:00:00Z"}\n'
    (row,) = read(tmp_path, USERS, PEOPLE, text)
    assert row.statement is not None
    assert row.statement.key == keys.pseudonym("7", KEY)
    assert row.statement.values == ("30-39", None, 1_577_836_800_000)
    assert row.statement.as_of_ms == 1_714_521_600_000


@pytest.mark.parametrize(
    ("line", "reason"),
    [(";k;m;1", "missing"), ("a;k;m;dear", "price"), ("a;k;m;-1", "price"), ("a;k", "columns"),
     (f"a;{'k' * 513};m;1", "too_long")],
)  # fmt: skip
def test_a_row_that_says_nothing_usable_is_rejected_with_its_reason(tmp_path: Path, line: str, reason: str) -> None:
    (row,) = read(tmp_path, PRODUCTS, ITEMS, f"item;group;maker;cents\n{line}\n", NOW_MS)
    assert row.rejection is not None
    assert (row.line, row.rejection.reason) == (2, reason)


def test_a_time_out_of_range_is_rejected(tmp_path: Path) -> None:
    (row,) = read(tmp_path, USERS, PEOPLE, '{"id": 7, "changed": "1970-01-02"}\n')
    assert row.rejection is not None
    assert row.rejection.reason == "time"


@pytest.mark.parametrize(("as_of_ms", "extra"), [(None, ""), (NOW_MS, 'as_of_ms = "maker"\n')])
def test_as_of_when_a_file_is_has_to_be_said_once(tmp_path: Path, as_of_ms: int | None, extra: str) -> None:
    with pytest.raises(UsageError, match=r"of when .* is\. Give --as-of TIME"):
        read(tmp_path, PRODUCTS, ITEMS + extra, "item;group;maker;cents\na;b;c;1\n", as_of_ms)


@pytest.mark.parametrize(
    ("mapping", "line", "words"),
    [
        (ITEMS.replace('product = "item"', ""), 6, r"\[fields\] lacks 'product'. Write product = "),
        (ITEMS.replace("brand", "brnd"), 9, "no key 'brnd'. Write 'brand'"),
        (ITEMS + "[types]\nview = 'view'\n", 11, r"\[types\] is for events"),
        (ITEMS.replace('"group"', '"grp"'), 8, "names column 'grp', which the file does not have"),
    ],
)
def test_a_mapping_that_does_not_fit_a_dimension_names_the_line(
    tmp_path: Path, mapping: str, line: int, words: str
) -> None:
    with pytest.raises(MappingError, match=words) as caught:
        read(tmp_path, PRODUCTS, mapping, "item;group;maker;cents\na;b;c;1\n", NOW_MS)
    assert caught.value.line == line


# --- the door ----------------------------------------------------------------------------------------------------------

KETTLE = Product("kitchen.kettles", "Acme", 39.9, NOW_MS)


def sent(door: Door, **fields: Any) -> Event:
    body = {"user": "anna", "type": "view", "event_ms": NOW_MS, "product": "kettle"} | fields
    (taken,) = door.take([msgspec.json.encode(body)], pseudonymous=False)
    assert isinstance(taken, Taken)
    event = admit(taken.data, shop())
    assert isinstance(event, Event)
    assert event.id == taken.event_id
    return event


def test_the_door_adds_what_an_event_lacks_and_leaves_what_it_says() -> None:
    door = Door(shop(), KEY, 4)
    without = sent(door)
    assert (without.category, without.brand, without.price) == (None, None, None)
    door.products = Products(3, {"kettle": KETTLE, "lamp": Product(None, None, 5.0, NOW_MS)})
    completed = sent(door)
    assert (completed.category, completed.brand, completed.price) == ("kitchen.kettles", "Acme", 39.9)
    assert completed.id == without.id  # a request that is sent again counts once, whatever is known by then
    assert (sent(door, price=0).price, sent(door, brand="Own").brand) == (0, "Own")
    assert (sent(door, product="lamp").category, sent(door, product="lamp").price) == (None, 5.0)
    assert sent(door, product="toaster").price is None
    assert sent(door, product=None).price is None


def test_an_event_from_before_what_is_known_goes_without() -> None:
    door = Door(shop(), KEY, 4)
    door.products = Products(3, {"kettle": KETTLE})
    assert sent(door, event_ms=NOW_MS - 1).category is None


def test_products_are_written_and_read_and_what_is_none_is_refused(tmp_path: Path) -> None:
    path, products = tmp_path / "models" / "products.msgpack", Products(7, {"kettle": KETTLE})
    assert read_products(path) == Products()
    write_products(path, products)
    assert read_products(path) == products
    assert list(path.parent.iterdir()) == [path]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="cannot be read"):
        read_products(path)


def test_the_door_learns_of_a_new_file_and_keeps_what_it_knows_where_that_is_broken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, door = tmp_path / "products.msgpack", Door(shop(), KEY, 4)
    watch = Watch(door, path)
    watch.look()
    assert door.products == Products()
    write_products(path, Products(1, {"kettle": KETTLE}))
    watch.look()
    assert door.products.version == 1
    (tmp_path / "broken").write_bytes(b"\xff")
    (tmp_path / "broken").rename(path)
    with caplog.at_level(logging.ERROR):
        watch.look()
        watch.look()
    assert door.products.version == 1
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) <= 1
    write_products(path, Products(2, {}))
    watch.look()
    assert door.products.version == 2
