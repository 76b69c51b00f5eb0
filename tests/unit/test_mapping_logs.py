"""Whole files: compression, what is no log at all, arbitrary bytes, and real logs."""

from __future__ import annotations

import bz2
import collections
import contextlib
import gzip
import lzma
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lambent.errors import DataError, MappingError
from lambent.events import Event, encode_event
from lambent.keys import pseudonym
from lambent.mapping import Row, load_mapping, read_events
from lambent.mapping.readers import OnBytes
from lambent.taxonomy import shop

DATA = Path(__file__).parents[2].parent / "shared" / "data"
KEY = b"k" * 32
CSV = '[file]\nformat = "csv"\n'
JSONL = '[file]\nformat = "jsonl"\n'
FIELDS = '[fields]\nuser = "u"\ntype = "t"\nevent_ms = "ts"\nproduct = "p"\n'
HEADER = b"u,t,ts,p\n"


def read(folder: Path, mapping: str, data: bytes, name: str = "log", on_bytes: OnBytes | None = None) -> list[Row]:
    (folder / "shop.toml").write_text(mapping)
    (folder / name).write_bytes(data)
    return list(read_events(folder / name, load_mapping(folder / "shop.toml"), shop(), KEY, on_bytes))


# --- files -------------------------------------------------------------------------------------------------------------

PACK = {"x": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress,
        "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE)}  # fmt: skip


@pytest.mark.parametrize("name", PACK)
def test_compression_is_recognised_and_its_bytes_are_counted(name: str, tmp_path: Path) -> None:
    data = HEADER + b"".join(b"%d,view,2019-10-01,a\n" % user for user in range(30_000))
    packed = PACK[name](data)
    counted: list[int] = []
    rows = read(tmp_path, CSV + FIELDS, packed, f"log.{name}", on_bytes=counted.append)
    assert sum(row.event is not None for row in rows) == 30_000
    assert sum(counted) == len(packed)
    if name != "x":
        with pytest.raises(DataError, match="cannot be read"):
            read(tmp_path, CSV + FIELDS, packed[:-20], f"log.{name}")


def test_zstd_is_read_with_pyarrow(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(HEADER + b"1,view,2019-10-01,a\n")
    rows = read(tmp_path, CSV + FIELDS, sink.getvalue().to_pybytes())
    assert [row.rejection for row in rows] == [None]


def test_a_name_that_promises_compression_is_not_believed(tmp_path: Path) -> None:
    assert len(read(tmp_path, CSV + FIELDS, HEADER + b"1,view,2019-10-01,a\n", "log.csv.gz")) == 1


NOT_A_LOG = {"empty": b"", "empty once unpacked": gzip.compress(b""), "no header": b"\n\n", "a zip": b"PK\x03\x04",
             "a header that is no text": b"\xff\n", "UTF-16": "u,t,ts,p\n".encode("utf-16")}  # fmt: skip


@pytest.mark.parametrize("case", NOT_A_LOG)
def test_a_file_that_is_no_log_is_refused_with_a_remedy(case: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, CSV + FIELDS, NOT_A_LOG[case])
    assert caught.value.remedy
    assert ("empty" in caught.value.cause) or not case.startswith("empty")


def test_a_missing_file_and_a_folder_are_refused_at_once(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(DataError):
            read_events(path, load_mapping("rees46"), shop(), KEY)


def test_our_own_json_lines_give_the_same_event_with_a_pseudonym(tmp_path: Path) -> None:
    event = Event(
        user="7", type="search", event_ms=1_569_888_000_000, id="e", product="p", category="a.b", brand="c", price=1.5,
        query="q", dwell_ms=3, device="phone", attributes={"x": "y"},
    )  # fmt: skip
    (tmp_path / "log").write_bytes(encode_event(event) + b"\n")
    (row,) = read_events(tmp_path / "log", load_mapping("lambent"), shop(), KEY)
    assert row.event == msgspec.structs.replace(event, user=pseudonym("7", KEY))


# --- arbitrary bytes ---------------------------------------------------------------------------------------------------

fragments = st.sampled_from(
    [b"1,view,2019-10-01,a", b'"', b",", b"\n", b"\r\n", b"\0", b"\xff", b"{", b'{"u":1}', b"\xe4"]
)
contents = st.lists(fragments | st.binary(max_size=12), min_size=1, max_size=30).map(b"".join).filter(bool)
MANY_FILES = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY_FILES
@given(contents)
@example(b'"\n"\n"')
@example(b"\x1f\x8b\x08")
def test_every_line_of_arbitrary_bytes_is_accounted_for(tmp_path: Path, data: bytes) -> None:
    lines = [line for line in data.split(b"\n") if line.removesuffix(b"\r")]
    assert len(read(tmp_path, JSONL + 'compression = "none"\n' + FIELDS, b"\n" + data)) == len(lines)
    assert len(read(tmp_path, CSV + "quote = ''\n" + FIELDS, HEADER + data)) == len(lines)
    rows = read(tmp_path, CSV + FIELDS, HEADER + data)  # with quotes a row may span lines
    assert len(rows) <= len(lines)
    assert all(row.raw == b"" if row.rejection is None else row.raw for row in rows)


@MANY_FILES
@given(contents, st.sampled_from([b"", b"\x1f\x8b\x08", b"BZh91AY&SY", b"\xfd7zXZ\x00", b"PK\x03\x04"]))
def test_arbitrary_bytes_under_the_mark_of_a_compression_never_crash(tmp_path: Path, data: bytes, mark: bytes) -> None:
    for mapping in (CSV + FIELDS, JSONL + FIELDS):
        with contextlib.suppress(DataError, MappingError):
            read(tmp_path, mapping, mark + data)


# --- real logs ---------------------------------------------------------------------------------------------------------


def read_real(name: str, mapping: str) -> list[Row]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the checkout")
    return list(read_events(path, load_mapping(mapping), shop(), KEY))


def test_the_rees46_slice_gives_the_counts_of_its_notes() -> None:
    rows = read_real("rees46-2019-oct-slice/2019-Oct.csv.gz", "rees46")
    events = [row.event for row in rows if row.event]
    assert len(rows) == len(events) == 17_434
    assert collections.Counter(e.type for e in events) == {"view": 17_055, "purchase": 214, "cart": 165}
    assert len({e.user for e in events}) == 4_504
    assert len(events) - len({e.id for e in events}) == 5
    assert sum(e.brand is None for e in events) == 2_477
    assert all(e.category and e.price is not None for e in events)
    assert [e.event_ms for e in events] == sorted(e.event_ms for e in events)


def test_the_taobao_sample_gives_the_counts_of_its_notes() -> None:
    rows = read_real("taobao-983-users/UserBehavior.csv.gz", "taobao")
    events = [row.event for row in rows if row.event]
    assert len(rows) == len(events) == 100_001
    assert collections.Counter(e.type for e in events) == {
        "view": 89_710,
        "cart": 5_446,
        "favourite": 2_744,
        "purchase": 2_101,
    }
    assert (len({e.user for e in events}), len({e.id for e in events})) == (983, 100_001)
    assert sum(e.event_ms < 1_511_539_200_000 for e in events) == 44  # 2017-11-24 16:00 UTC
