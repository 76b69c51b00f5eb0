"""What a mapping makes of a log: a table of cases for each outcome."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from lambent.errors import MappingError
from lambent.keys import pseudonym
from lambent.mapping import Row, load_mapping, read_events
from lambent.taxonomy import shop

KEY = b"k" * 32
CSV = """[file]
format = "csv"
{file}
[fields]
user = "u"
type = "t"
event_ms = "ts"
product = "p"
{rest}
"""
JSONL = '[file]\nformat = "jsonl"\n[fields]\nuser = "u"\ntype = "t"\nevent_ms = "ts"\nproduct = "p"\n{rest}\n'
HEADER = b"u,t,ts,p\n"
T0 = 1_569_888_000_000  # 2019-10-01 00:00 UTC


def read(folder: Path, mapping: str, data: bytes) -> list[Row]:
    (folder / "shop.toml").write_text(mapping)
    (folder / "log").write_bytes(data)
    return list(read_events(folder / "log", load_mapping(folder / "shop.toml"), shop(), KEY))


def csv(file: str = "", rest: str = "") -> str:
    return CSV.format(file=file, rest=rest)


def jsonl(rest: str = "") -> str:
    return JSONL.format(rest=rest)


# --- what one row becomes ----------------------------------------------------------------------------------------------

# mapping, file, field of the event, its value
READ = {
    "an ISO time with a Z": (csv(), b"u,t,ts,p\n1,view,2019-10-01T00:00:00Z,a", "event_ms", T0),
    "a fraction is rounded down": (csv(), b"u,t,ts,p\n1,view,2019-10-01T00:00:00.1239+02:00,a", "event_ms", T0 - 7_200_000 + 123),
    "a time that ends with UTC": (csv(), b"u,t,ts,p\n1,view,2019-10-01 00:00:00 UTC,a", "event_ms", T0),
    "a date alone": (csv(), b"u,t,ts,p\n1,view,2019-10-01,a", "event_ms", T0),
    "a naive time in its zone": (csv(rest='[time]\nzone = "Europe/Berlin"'), b"u,t,ts,p\n1,view,2019-10-01 02:00,a", "event_ms", T0),
    "an offset as zone": (csv(rest='[time]\nzone = "-03:30"'), b"u,t,ts,p\n1,view,2019-09-30 20:30,a", "event_ms", T0),
    "the first of two in autumn": (csv(rest='[time]\nzone = "Europe/Berlin"'), b"u,t,ts,p\n1,view,2019-10-27 02:30,a", "event_ms", 1_572_136_200_000),
    "a strptime pattern": (csv(rest='[time]\nformat = "%d/%m/%y %H.%M"'), b"u,t,ts,p\n1,view,1/10/19 0.00,a", "event_ms", T0),
    "seconds": (csv(rest='[time]\nunit = "s"'), b"u,t,ts,p\n1,view,1569888000,a", "event_ms", T0),
    "seconds with a fraction": (csv(rest='[time]\nunit = "s"'), b"u,t,ts,p\n1,view,1569888000.0019,a", "event_ms", T0 + 1),
    "milliseconds in floating point": (csv(rest='[time]\nunit = "ms"'), b"u,t,ts,p\n1,view,1.569888E12,a", "event_ms", T0),
    "nanoseconds": (csv(rest='[time]\nunit = "ns"'), b"u,t,ts,p\n1,view,1569888000001999999,a", "event_ms", T0 + 1),
    "date and time in two columns": (
        csv().replace('"ts"', '{ columns = ["d", "h"], join = "T" }'), b"u,t,d,h,p\n1,view,2019-10-01,00:00,a", "event_ms", T0),
    "microseconds as text in JSON": (
        jsonl('[time]\nunit = "us"'), b'{"u":1,"t":"view","ts":"1569888000000999","p":7}', "event_ms", T0),
    "a number as product": (jsonl(), b'{"u":1,"t":"view","ts":"2019-10-01","p":7}', "product", "7"),
    "a whole float as product": (jsonl(), b'{"u":1,"t":"view","ts":"2019-10-01","p":7.0}', "product", "7"),
    "null is missing": (jsonl(), b'{"u":1,"t":"view","ts":"2019-10-01","p":null}', "product", None),
    "nested values": (
        jsonl().replace('"p"', '"x.items[1].id"'), b'{"u":1,"t":"view","ts":"2019-10-01","x":{"items":[{},{"id":"z"}]}}', "product", "z"),
    "an element by its key": (
        jsonl().replace('"p"', '"x[key=a].v"'), b'{"u":1,"t":"view","ts":"2019-10-01","x":[{"key":"b"},{"key":"a","v":3}]}', "product", "3"),
    "a dot in a name": (jsonl().replace('"p"', r"'x\.y'"), b'{"u":1,"t":"view","ts":"2019-10-01","x.y":"z"}', "product", "z"),
    "a path that leads nowhere": (jsonl().replace('"p"', '"x.y.z"'), b'{"u":1,"t":"view","ts":"2019-10-01","x":"s"}', "product", None),
    "CRLF": (csv(), b"u,t,ts,p\r\n1,view,2019-10-01,a\r\n", "product", "a"),
    "a byte-order mark": (csv(), b"\xef\xbb\xbfu,t,ts,p\n1,view,2019-10-01,a", "product", "a"),
    "latin-1": (csv('encoding = "latin-1"'), b"u,t,ts,p\n1,view,2019-10-01,k\xe4se", "product", "käse"),
    "tabs and quotes": (csv(r'delimiter = "\t"'), b'u\tt\tts\tp\n1\tview\t2019-10-01\t"a\t""b"""', "product", 'a\t"b"'),
    "a cell over two lines": (csv(), b'u,t,ts,p\n1,view,2019-10-01,"a\r\nb"\r\n', "product", "a\nb"),
    "a quote inside a cell": (csv(), b'u,t,ts,p\n1,view,2019-10-01,5" nail', "product", '5" nail'),
    "quotes that mean nothing": (csv('quote = ""'), b'u,t,ts,p\n1,view,2019-10-01,"a', "product", '"a'),
    "an escape": (csv("quote = \"\"\nescape = '\\'"), b"u,t,ts,p\n1,view,2019-10-01,a\\,b", "product", "a,b"),
    "a delimiter of two characters": (csv('delimiter = "::"\nquote = ""'), b"u::t::ts::p\n1::view::2019-10-01::a", "product", "a"),
    "cells trimmed": (csv("trim = true"), b'u, t, ts, p\n1, view, 2019-10-01, "a "', "product", "a"),
    "missing texts": (csv('missing = ["", "NULL"]'), b"u,t,ts,p\n1,view,2019-10-01,NULL", "product", None),
    "lines before the header": (csv("skip_lines = 2"), b"# log\n\nu,t,ts,p\n1,view,2019-10-01,a", "product", "a"),
    "names instead of the header's": (csv('columns = ["u", "t", "ts", "p"]'), b"a,b,c,d\n1,view,2019-10-01,a", "product", "a"),
    "a position": (csv().replace('"p"', "4"), b"u,t,ts,x,x\n1,view,2019-10-01,a,b", "product", "a"),
    "a constant": (csv(rest='device = { value = "phone" }'), b"u,t,ts,p\n1,view,2019-10-01,a", "device", "phone"),
    "the first that is not missing": (csv(rest='category = ["c", "d"]'), b"u,t,ts,p,c,d\n1,view,2019-10-01,a,,x", "category", "x"),
    "cents": (csv(rest='price = { column = "c", scale = 0.01 }'), b"u,t,ts,p,c\n1,view,2019-10-01,a,57", "price", 0.57),
    "a decimal comma": (
        csv('delimiter = ";"\ndecimal = ","\nthousands = "."', 'price = "c"'), b"u;t;ts;p;c\n1;view;2019-10-01;a;1.234,5", "price", 1234.5),
    "seconds of dwelling": (csv(rest='dwell_ms = { column = "c", scale = 1000 }'), b"u,t,ts,p,c\n1,view,2019-10-01,a,1.5", "dwell_ms", 1500),
    "a type translated": (csv(rest='[types]\nbuy = "purchase"'), b"u,t,ts,p\n1,buy,2019-10-01,a", "type", "purchase"),
    "a missing type translated": (csv(rest='[types]\n"" = "view"'), b"u,t,ts,p\n1,,2019-10-01,a", "type", "view"),
    "all other types": (csv(rest='[types]\n"*" = "view"'), b"u,t,ts,p\n1,look,2019-10-01,a", "type", "view"),
    "attributes": (csv(rest='[attributes]\ncolour = "c"\nsize = "d"'), b"u,t,ts,p,c,d\n1,view,2019-10-01,a,red,", "attributes", {"colour": "red"}),
    "all members of an object": (
        jsonl('[attributes]\n"*" = "x"'), b'{"u":1,"t":"view","ts":"2019-10-01","x":{"a":1,"b":[true],"c":null}}', "attributes", {"a": "1", "b": "[true]"}),
    "an id": (csv(rest='id = "i"'), b"u,t,ts,p,i\n1,view,2019-10-01,a,e7", "id", "e7"),
    "the pseudonym": (csv(), b"u,t,ts,p\n1,view,2019-10-01,a", "user", pseudonym("1", KEY)),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_a_row_becomes_the_event_that_its_mapping_says(case: str, tmp_path: Path) -> None:
    mapping, data, field, value = READ[case]
    rows = read(tmp_path, mapping, data)
    assert [row.rejection for row in rows] == [None]
    assert getattr(rows[0].event, field) == value


# mapping, rows after the header, reason, a word of the detail
REJECTED = {
    "a short row": (csv(), b"1,view", "columns", "2 cells, not 4"),
    "a long row": (csv(), b"1,view,2019-10-01,a,b", "columns", "5 cells"),
    "a NUL": (csv(), b"1,view,2019-10-01,\0", "nul", "19"),
    "bytes that are no UTF-8": (csv(), b"1,view,2019-10-01,\xff", "encoding", "0xff"),
    "an open quote": (csv(), b'1,view,2019-10-01,"a', "csv", "not closed"),
    "text after a quote": (csv(), b'1,view,2019-10-01,"a"b', "csv", "expected"),
    "no user": (csv(), b",view,2019-10-01,a", "missing", "user"),
    "an empty user, whatever means missing": (csv('missing = ["NULL"]'), b",view,2019-10-01,a", "missing", "user"),
    "no type": (csv(), b"1,,2019-10-01,a", "missing", "type"),
    "no time": (csv(), b"1,view,,a", "missing", "event_ms"),
    "an unknown type": (csv(), b"1,look,2019-10-01,a", "type", "look"),
    "a type that is not translated": (csv(rest='[types]\nv = "view"'), b"1,view,2019-10-01,a", "type", "[types]"),
    "a day that does not exist": (csv(), b"1,view,2019-02-30,a", "time", "2019-02-30"),
    "a number for ISO": (csv(), b"1,view,1569888000,a", "time", "unit"),
    "seconds that are milliseconds": (csv(rest='[time]\nunit = "s"'), b"1,view,1569888000000,a", "time", "2099"),
    "a gigantic exponent": (csv(rest='[time]\nunit = "s"'), b"1,view,1e999999999,a", "time", "number of s"),
    "a time with another pattern": (csv(rest='[time]\nformat = "%Y-%m-%d"'), b"1,view,2019-10-01 00:00,a", "time", "%Y"),
    "a price that is none": (csv(rest='price = "p"'), b"1,view,2019-10-01,12 EUR", "price", "12 EUR"),
    "a price with underscores": (csv(rest='price = "p"'), b"1,view,2019-10-01,1_000", "price", "1_000"),
    "a price below 0": (csv(rest='price = "p"'), b"1,view,2019-10-01,-1", "price", "-1"),
    "a price that is NaN": (csv(rest='price = "p"'), b"1,view,2019-10-01,nan", "price", "nan"),
    "a dot where commas are decimal": (csv('decimal = ","', 'price = "p"'), b"1,view,2019-10-01,1.5", "price", "1.5"),
    "a dwell time below 0": (csv(rest='dwell_ms = "p"'), b"1,view,2019-10-01,-1", "dwell_ms", "-1"),
    "a long text": (csv(), b"1,view,2019-10-01," + b"x" * 513, "too_long", "513"),
    "a long device": (csv(rest='device = "p"'), b"1,view,2019-10-01," + b"x" * 33, "too_long", "33"),
    "a line of 2 MB": (csv(), b"1,view,2019-10-01," + b"x" * 2_000_000, "too_large", "2000018 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", REJECTED)
def test_a_row_that_does_not_fit_is_rejected_with_line_and_reason_and_the_run_goes_on(
    case: str, tmp_path: Path
) -> None:
    mapping, line, reason, word = REJECTED[case]
    good_type = b"v" if "[types]" in mapping else b"view"
    good_time = b"1569974400" if 'unit = "s"' in mapping else b"2019-10-02"
    good = b"2,%s,%s,3" % (good_type, good_time)
    rows = read(tmp_path, mapping, HEADER + b"\n" + line + b"\n" + good)
    assert [row.line for row in rows] == [3, 4]
    rejection = rows[0].rejection
    assert rejection is not None
    assert (rejection.reason, word in rejection.detail) == (reason, True), rejection
    assert rows[0].raw == line[:4096]
    assert rows[1].event is not None


# line, reason
BAD_JSON = {
    "a list": (b"[1]", "malformed"),
    "half an object": (b'{"u":1,', "malformed"),
    "nested too deep": (b'{"a":' * 100_000, "malformed"),
    "a number of 5,000 digits": (b'{"u":1,"t":"view","ts":"2019-10-01","p":' + b"9" * 5000 + b"}", "malformed"),
    "half a surrogate pair": (b'{"u":"\\ud800","t":"view","ts":"2019-10-01"}', "malformed"),
    "a user that is an object": (b'{"u":{},"t":"view","ts":"2019-10-01"}', "user"),
    "a time that is a list": (b'{"u":1,"t":"view","ts":[1]}', "time"),
    "attributes that are a list": (b'{"u":1,"t":"view","ts":"2019-10-01","x":[1]}', "attributes"),
    "33 attributes": (b'{"u":1,"t":"view","ts":"2019-10-01","x":{%s}}' % b",".join(b'"%d":1' % n for n in range(33)), "attributes"),
    "an event of more than 64 KiB": (
        b'{"u":1,"t":"view","ts":"2019-10-01","x":{%s}}' % b",".join(b'"%d":"%s"' % (n, b"\\u0001" * 500) for n in range(30)), "too_large"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_JSON)
def test_json_that_does_not_fit_is_rejected(case: str, tmp_path: Path) -> None:
    line, reason = BAD_JSON[case]
    rows = read(tmp_path, jsonl('[attributes]\n"*" = "x"'), line + b'\n{"u":1,"t":"view","ts":"2019-10-01"}\n')
    assert [row.rejection and row.rejection.reason for row in rows] == [reason, None]
    assert rows[0].raw == line[:4096]


def test_a_type_that_is_dropped_on_purpose_is_skipped_and_not_rejected(tmp_path: Path) -> None:
    rows = read(tmp_path, csv(rest='[types]\nview = "view"\nscroll = false'), HEADER + b"1,scroll,no time,a\n")
    assert rows == [Row(2)]


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    rows = read(tmp_path, csv(), HEADER + b'1,view,2019-10-01,"a\n' + b"1,view,2019-10-01,b\n" * 5000)
    assert [row.line for row in rows if row.rejection] == [2]
    assert sum(row.event is not None for row in rows) == 5000


def test_equal_rows_have_the_same_id_and_others_have_not(tmp_path: Path) -> None:
    rows = read(tmp_path, csv(), HEADER + b"1,view,2019-10-01,a\n" * 2 + b"1,view,2019-10-01,b\n")
    ids = [row.event.id for row in rows if row.event]
    assert ids[0] == ids[1] != ids[2]


def test_a_mapping_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(load_mapping("rees46"))) == load_mapping("rees46")


@pytest.mark.parametrize(("mapping", "header", "line", "word"), [
    (csv(), b"u,t,ts\n", 8, "Columns are: u, t, ts"),
    (csv(), b"u,t,ts,p,p\n", 8, "4 or 5"),
    (csv().replace('"p"', "9"), b"u,t,ts,p\n", 8, "4 columns"),
    (csv('columns = ["u", "t", "ts", "p"]'), b"u,t,ts\n", 3, "has 3"),
    (csv(rest='category = [\n "c",\n "d"]'), b"u,t,ts,p,c\n", 11, "'d'"),
    (csv(rest='[types]\nv = "view"\nw = "wiew"'), b"u,t,ts,p\n", 11, "Write 'view'"),
    (csv().replace('"t"', '{ value = "look" }'), b"u,t,ts,p\n", 6, "Types are"),
])  # fmt: skip
def test_a_mapping_that_does_not_fit_the_file_names_the_line_to_mend(
    mapping: str, header: bytes, line: int, word: str, tmp_path: Path
) -> None:
    with pytest.raises(MappingError) as caught:
        read(tmp_path, mapping, header)
    assert (caught.value.line, word in str(caught.value)) == (line, True), str(caught.value)
