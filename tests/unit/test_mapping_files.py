"""What is refused in a mapping file, always with the line to mend; the reference page; Parquet."""

from __future__ import annotations

import datetime
import decimal
import re
from pathlib import Path
from typing import Any

import pytest

from lambent.errors import DataError, MappingError
from lambent.mapping import Row, load_mapping, read_events, shipped
from lambent.mapping.locate import key_lines
from lambent.taxonomy import shop

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "mapping.md"
KEY = b"k" * 32
GOOD = """[file]
format = "csv"
# 3
# 4
[fields]
user = "u"
type = "t"
event_ms = "ts"
# 9
# 10
"""


def at(line: int, text: str, base: str = GOOD) -> str:
    """The good mapping with one of its lines replaced."""
    lines = base.split("\n")
    lines[line - 1] = text
    return "\n".join(lines)


# the mapping, the line to mend, a word of the message
WRONG = {
    "nothing": ("", 1, "[file]"),
    "no [fields]": ('[file]\nformat = "csv"\n', 1, "[fields]"),
    "no user": (at(6, ""), 5, 'user = "'),
    "no format": (at(2, ""), 1, "format = "),
    "an unknown format": (at(2, 'format = "cvs"'), 2, '"parquet"'),
    "an unknown key": (at(3, 'delimeter = ";"'), 3, "Write 'delimiter'"),
    "an unknown field": (at(9, 'prize = "p"'), 9, "Write 'price'"),
    "an unknown table": (at(9, '[tipes]\na = "view"'), 9, "Write 'types'"),
    "an unknown key of a source": (at(9, 'price = { column = "p", scal = 2 }'), 9, "Write 'scale'"),
    "the same as a table": (at(9, '[fields.price]\ncolumn = "p"\nscal = 2'), 11, "Write 'scale'"),
    "the same with dots": (at(9, 'price.column = "p"\nprice.scal = 2'), 10, "Write 'scale'"),
    "a text for a list": (at(3, 'missing = "NULL"'), 3, 'missing = ["", "NULL"]'),
    "a number for a column": (at(9, "price = 1.5"), 9, '"price"'),
    "a number in a list of columns": (at(9, 'category = [\n  "a",\n  1.5,\n]'), 11, "columns"),
    "a column that is not listed": (at(3, 'header = false\ncolumns = ["u", "t"]'), 9, "Columns are: u, t"),
    "a column named twice": (at(3, 'columns = [\n"u",\n"t",\n"t"]'), 5, "twice"),
    "a position that is not there": (at(9, "price = 4", at(3, 'columns = ["u", "t", "ts"]')), 9, "4"),
    "no columns listed": (at(3, "columns = []"), 3, "Name each column"),
    "no columns and no header": (at(3, "header = false"), 3, "columns = ["),
    "no column in a list": (at(9, "price = []"), 9, "at least one"),
    "column and value": (at(9, 'price = { column = "p", value = 1 }'), 9, "exactly one"),
    "a join of one column": (at(9, 'query = { column = "p", join = " " }'), 9, "columns = ["),
    "a scale for a text": (at(9, 'query = { column = "p", scale = 2 }'), 9, "scale is for"),
    "a scale of 0": (at(9, 'price = { column = "p", scale = 0 }'), 9, "positive"),
    "a constant user": (at(6, 'user = { value = "u" }'), 6, "cannot be the same"),
    "a constant price that is a text": (at(9, 'price = { value = "x" }'), 9, "number"),
    "a constant that is too long": (at(9, f'device = {{ value = "{"x" * 33}" }}'), 9, "32"),
    "a bad directive": (at(9, '[time]\nformat = "%Y-%Q"'), 10, "bad directive"),
    "a directive twice": (at(9, '[time]\nformat = "%Y %Y"'), 10, "pattern"),
    "a pattern without a day": (at(9, '[time]\nformat = "%H:%M"'), 10, "year, month and day"),
    "ISO misspelt": (at(9, '[time]\nformat = "ISO"'), 10, "iso8601"),
    "an unknown unit": (at(9, '[time]\nunit = "sec"'), 10, 'unit = "s"'),
    "format and unit": (at(9, '[time]\nformat = "iso8601"\nunit = "s"'), 11, "exclude"),
    "unit and zone": (at(9, '[time]\nzone = "UTC"\nunit = "s"'), 10, "Remove zone"),
    "an unknown zone": (at(9, '[time]\nzone = "Europe/Berlim"'), 10, "Europe/Berlin"),
    "a zone that is a folder": (at(9, '[time]\nzone = "Europe"'), 10, "Europe/Berlin"),
    "an impossible offset": (at(9, '[time]\nzone = "+99:00"'), 10, "not a time zone"),
    "a type that is a number": (at(9, '[types]\na = "view"\nb = 3'), 11, "false to drop"),
    "a type that is true": (at(9, '[types]\na = "view"\nb = true'), 11, "false to drop"),
    "a constant type and a translation": (at(9, '[types]\na = "view"', at(7, 'type = { value = "view" }')), 9, "Remove"),
    "an attribute that is a number": (at(9, '[attributes]\na = "b"\nc = 1.5'), 11, "column"),
    "33 attributes": (at(9, "[attributes]\n" + "\n".join(f'a{n} = "b"' for n in range(33))), 42, "32"),
    "all members in CSV": (at(9, '[attributes]\n"*" = "x"'), 10, "each attribute"),
    "a delimiter in JSON": (at(3, 'delimiter = ";"', at(2, 'format = "jsonl"')), 3, "Remove"),
    "a compressed Parquet": (at(3, 'compression = "gzip"', at(2, 'format = "parquet"')), 3, "Remove"),
    "a path with two dots": (at(9, 'price = "a..b"', at(2, 'format = "jsonl"')), 9, "items[0].id"),
    "a position in JSON": (at(9, "price = 3", at(2, 'format = "jsonl"')), 9, "name"),
    "a tab in single quotes": (at(3, r"delimiter = '\t'"), 3, "double quotes"),
    "a long delimiter with quotes": (at(3, 'delimiter = "::"'), 3, 'quote = ""'),
    "an empty delimiter": (at(3, 'delimiter = ""'), 3, "delimiter = "),
    "a quote of two characters": (at(3, 'quote = "<>"'), 3, "one character"),
    "quote and delimiter the same": (at(3, "quote = ','"), 3, "differ"),
    "lines below 0": (at(3, "skip_lines = -1"), 3, "below 0"),
    "thousands like the decimal mark": (at(3, 'thousands = "."'), 3, 'decimal = ","'),
    "UTF-16": (at(3, 'encoding = "utf-16"'), 3, "iconv"),
    "an unknown encoding": (at(3, 'encoding = "klingon"'), 3, "latin-1"),
    "no value": (at(3, "header ="), 3, "TOML"),
    "an array that is not closed": (at(3, 'columns = ["u",\n"t"'), 3, "TOML"),
    "a text that is not closed": (at(3, 'delimiter = ";'), 3, "TOML"),
    "a long text that is not closed": (at(9, 'query = """'), 9, "TOML"),
    "a key twice": (at(9, 'user = "x"'), 9, "TOML"),
    "a table twice": (at(9, "[file]"), 9, "TOML"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_mapping_names_the_line_to_mend_and_what_to_write(case: str, tmp_path: Path) -> None:
    text, line, word = WRONG[case]
    path = tmp_path / "shop.toml"
    path.write_text(text)
    with pytest.raises(MappingError) as caught:
        load_mapping(path)
    error = caught.value
    assert (error.file, error.line) == (str(path), line), str(error)
    assert word in str(error)
    assert error.remedy and error.exit_code == 2


def test_the_good_mapping_of_these_cases_is_good(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_mapping(str(tmp_path / "shop.toml")).name == "shop"


def test_a_mapping_that_is_no_utf8_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_bytes(at(4, "# k").encode() + b"\n# \xff")
    with pytest.raises(MappingError, match=r"shop\.toml:12"):
        load_mapping(tmp_path / "shop.toml")


@pytest.mark.parametrize("name", ["rees64", "", ".", "/", "no/such.toml", "a\0b"])
def test_a_mapping_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(MappingError, match="rees46"):
        load_mapping(name)


def test_what_is_shipped_can_be_loaded_by_name() -> None:
    assert shipped() == ["lambent", "rees46", "taobao"]
    assert [load_mapping(name).name for name in shipped()] == shipped()


def test_keys_inside_a_long_text_are_no_keys() -> None:
    assert key_lines('a = """\nb = 1\n[c]\n"""\n"d e".f = 1\n[g."h"]\n') == {
        ("a",): 1, ("d e",): 5, ("d e", "f"): 5, ("g",): 6, ("g", "h"): 6,
    }  # fmt: skip


# --- the reference page ------------------------------------------------------------------------------------------------

BLOCKS = re.findall(r"^```toml\n(.*?)^```", REFERENCE.read_text(), re.S | re.M)
EXAMPLES = [block for block in BLOCKS if "event_ms" in block]
LOGS = [
    b"timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n",
    "Kunde;Aktion;Datum;Uhrzeit;Artikel;Warengruppe;Untergruppe;Cent;Sekunden\n"
    "7; Ansicht;01.10.2019;02:00;4711;Käse;NULL;1.999;2,5\n".encode("cp1252"),
    b'{"user_id":null,"user_pseudo_id":"1.2","event_name":"view_item","event_timestamp":"1569888000000123",'
    b'"items":[{"item_id":"4711","price":19.99}],"geo":{"country":"AT"},"event_params":[{"key":"page"}]}\n',
    b"1,2014-04-07T10:51:09.277Z,214536502,0\n",
]


@pytest.mark.parametrize(("text", "log"), list(zip(EXAMPLES, LOGS, strict=True)))
def test_each_example_of_the_reference_reads_its_log(text: str, log: bytes, tmp_path: Path) -> None:
    (tmp_path / "example.toml").write_text(text)
    (tmp_path / "log").write_bytes(log)
    rows = list(read_events(tmp_path / "log", load_mapping(tmp_path / "example.toml"), shop(), KEY))
    assert [(row.rejection, row.event is None) for row in rows] == [(None, False)]


def test_the_reference_explains_every_key() -> None:
    from lambent.mapping import spec

    page = REFERENCE.read_text()
    for table in (spec.FileSpec, spec.FieldsSpec, spec.SourceSpec, spec.TimeSpec, spec.Spec):
        missing = [key for key in table.__struct_fields__ if f"`{key}`" not in page and f"`[{key}]`" not in page]
        assert missing == []


# --- Parquet -----------------------------------------------------------------------------------------------------------

PARQUET = """[file]
format = "parquet"
[fields]
user = "u"
type = "t"
event_ms = "ts"
product = "p"
price = "x.price"
[time]
{time}
[attributes]
day = "d"
"*" = "m"
"""
UTC = datetime.UTC
NOON = datetime.datetime(2019, 10, 1, 12, 0, 0, 123456)
NOON_MS = 1_569_931_200_123


def read_parquet(folder: Path, time: str = "", **columns: Any) -> list[Row]:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    table = {
        "u": pa.array([2**60]),
        "t": ["view"],
        "ts": pa.array([NOON.replace(tzinfo=UTC)], pa.timestamp("us", "UTC")),
        "p": pa.array([7.0]),
        "x": [{"price": decimal.Decimal("1.25")}],
        "d": [datetime.date(2020, 1, 1)],
        "m": pa.array([[("a", "b")]], pa.map_(pa.string(), pa.string())),
    }
    table = {name: column for name, column in (table | columns).items() if column is not None}
    pyarrow.parquet.write_table(pa.table(table), folder / "log.parquet")
    (folder / "shop.toml").write_text(PARQUET.format(time=time))
    return list(read_events(folder / "log.parquet", load_mapping(folder / "shop.toml"), shop(), KEY))


def test_parquet_gives_ids_decimals_maps_and_nested_values(tmp_path: Path) -> None:
    (row,) = read_parquet(tmp_path)
    event = row.event
    assert event is not None
    assert (row.line, event.event_ms, event.product, event.price) == (1, NOON_MS, "7", 1.25)
    assert event.attributes == {"a": "b", "day": "2020-01-01"}


# the column's type, its value, [time], the event's time
PARQUET_TIMES = [
    (("timestamp", "ns"), NOON, 'zone = "Europe/Berlin"', NOON_MS - 7_200_000),
    (("timestamp", "ms", "Europe/Berlin"), NOON.replace(tzinfo=UTC), 'zone = "Asia/Tokyo"', NOON_MS),
    (("timestamp", "s"), datetime.datetime(2019, 10, 27, 2, 30), 'zone = "Europe/Berlin"', 1_572_136_200_000),
    (("date32",), datetime.date(2019, 10, 1), 'zone = "+02:00"', 1_569_880_800_000),
    (("int64",), 1_569_931_200_123_999, 'unit = "us"', NOON_MS),
    (("string",), "1.10.2019 12:00", 'format = "%d.%m.%Y %H:%M"', NOON_MS - 123),
]


@pytest.mark.parametrize(("kind", "value", "time", "expected"), PARQUET_TIMES)
def test_parquet_times_of_every_kind(
    kind: tuple[str, ...], value: Any, time: str, expected: int, tmp_path: Path
) -> None:
    pa = pytest.importorskip("pyarrow")
    column = pa.array([value], getattr(pa, kind[0])(*kind[1:]))
    (row,) = read_parquet(tmp_path, time, ts=column)
    assert row.event is not None and row.event.event_ms == expected


def test_parquet_values_that_python_cannot_hold_are_rejections(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    (row,) = read_parquet(tmp_path, ts=pa.array([2**30], pa.date32()))
    assert row.rejection is not None and row.rejection.reason == "time" and row.raw
    (row,) = read_parquet(tmp_path, ts=pa.array([2**62], pa.timestamp("us")))
    assert row.rejection is not None and row.rejection.reason == "time"
    (row,) = read_parquet(tmp_path, t=pa.array([b"\xff"]).cast(pa.string(), safe=False))
    assert row.rejection is not None and row.rejection.reason == "encoding"


def test_parquet_that_lacks_a_column_or_is_none_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(MappingError, match=r"shop\.toml:7: .*Columns are: u, t"):
        read_parquet(tmp_path, p=None)
    (tmp_path / "log.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="not a Parquet file"):
        read_events(tmp_path / "log.parquet", load_mapping(tmp_path / "shop.toml"), shop(), KEY)
