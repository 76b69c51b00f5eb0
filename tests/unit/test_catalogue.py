"""Rates shrunk to those of a larger group, sums from day to day, and the file that a worker loads."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambent.catalogue import KINDS, ROW_DTYPE, VALUES, Catalogue, Rows, read_catalogue, write_catalogue
from lambent.errors import DataError
from spark_jobs.catalogue_rows import COUNTS, DECAYED, SUMS_DTYPE, Sums, added_up, rates, to_arrow, to_catalogue
from spark_jobs.smoothing import STRENGTHS, find_strength, shrunk, whole_rate

groups = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0.01, 0.99)).map(
        lambda one: (min(one[:2]), max(one[:2]), one[2])
    ),
    max_size=30,
)


def slow_strength(of: list[tuple[int, int, float]]) -> float:
    """The s at which the spread that the model expects is the one that is seen, by bisection."""
    seen = [(k, n, m) for k, n, m in of if n]
    spread = sum((k - n * m) ** 2 / n for k, n, m in seen)

    def expected(s: float) -> float:
        return sum(m * (1 - m) * (1 + (n - 1) / (s + 1)) for _, n, m in seen)

    low, high = STRENGTHS
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if expected(middle) > spread else (low, middle)
    return low


@settings(deadline=None)
@given(groups)
def test_the_strength_is_that_at_which_the_groups_differ_as_much_as_they_are_seen_to(
    of: list[tuple[int, int, float]],
) -> None:
    k, n = (np.array([one[i] for one in of], np.int64) for i in range(2))
    m = np.array([one[2] for one in of])
    strength = find_strength(k, n, m)
    assert STRENGTHS[0] <= strength <= STRENGTHS[1]
    if any(one[1] > 1 for one in of):
        assert strength == pytest.approx(slow_strength(of), rel=1e-6)
    rates = shrunk(k, n, m)
    assert ((rates > 0) & (rates < 1)).all()
    share = np.divide(k, n, out=m.copy(), where=n > 0)
    assert (np.minimum(share, m) - 1e-12 <= rates).all()
    assert (rates <= np.maximum(share, m) + 1e-12).all()


def test_the_strength_of_groups_that_were_drawn_with_one_is_found() -> None:
    random = np.random.default_rng(7)
    for strength in (5.0, 50.0):
        truth = random.beta(0.2 * strength, 0.8 * strength, 20_000)
        trials = random.integers(1, 60, len(truth))
        found = find_strength(random.binomial(trials, truth), trials, np.full(len(truth), 0.2))
        assert found == pytest.approx(strength, rel=0.1)


def test_shrunk_rates_are_nearer_to_the_truth_than_the_shares_are() -> None:
    random = np.random.default_rng(8)
    truth = random.beta(2, 38, 5_000)
    trials = random.integers(1, 30, len(truth))
    successes = random.binomial(trials, truth)
    error = np.abs(shrunk(successes, trials, np.full(len(truth), 0.05)) - truth).mean()
    assert error < 0.5 * np.abs(successes / trials - truth).mean()


def row(code: int, hash: int, parent: int = 0, **counts: float) -> tuple[float, ...]:
    return (
        code << 32 | hash,
        parent,
        *(int(counts.get(name, 0)) for name in COUNTS),
        *(counts.get(name, 0.0) for name in DECAYED),
    )


def sums(*rows: tuple[float, ...]) -> Sums:
    return np.sort(np.array(list(rows), SUMS_DTYPE), order="key")


def test_a_product_is_shrunk_to_its_category_and_that_to_the_whole() -> None:
    of = {"events": 1, "carted": 0, "viewed_carted": 0}
    many = [row(1, c, viewed=1_000, viewed_carted=100 * c, events=1) for c in range(1, 6)]
    products = [row(2, 10 + c, parent=c, viewed=0, **of) for c in range(1, 6)]
    lone = row(2, 99, parent=77, viewed=0, events=1)  # of a category that nobody knows
    rate = rates(sums(row(0, 0, viewed=5_000, viewed_carted=1_500, events=1), *many, *products, lone))["view_cart"]
    assert rate[0] == whole_rate(1_500, 5_000)
    np.testing.assert_allclose(rate[1:6], [0.1, 0.2, 0.3, 0.4, 0.5], atol=0.02)
    np.testing.assert_allclose(rate[6:11], rate[1:6], rtol=1e-12)  # nobody has viewed them
    assert rate[11] == rate[0]


def test_of_a_day_only_what_came_before_it_is_known() -> None:
    import pyarrow as pa

    def came(day: int, kind: str, hash: int, events: int, parent: int | None = None) -> dict[str, object]:
        return {"day": day, "kind": kind, "hash": hash, "parent": parent, **dict.fromkeys(DECAYED, float(events)),
                **dict.fromkeys(COUNTS, events)}  # fmt: skip

    daily = pa.Table.from_pylist(
        [
            came(9, "product", 5, 2, 1),
            came(10, "product", 6, 4),
            came(11, "product", 5, 1, 3),
            came(12, "product", 5, 9),
        ]
    )
    base = sums(row(2, 5, parent=8, events=10, popularity=8.0, priced=8.0), row(2, 7, events=1, popularity=1.0))
    found = {day: {int(one["key"]) & 0xFF: one for one in known} for day, known in added_up(base, daily, 10, 12)}
    assert {day: {key: int(one["events"]) for key, one in known.items()} for day, known in found.items()} == {
        10: {5: 12, 7: 1}, 11: {5: 12, 6: 4, 7: 1}, 12: {5: 13, 6: 4, 7: 1},
    }  # fmt: skip
    assert [int(found[day][5]["parent"]) for day in (10, 11, 12)] == [1, 1, 3]
    week = 2.0 ** (-1 / 7)
    assert found[12][5]["popularity"] == pytest.approx(((8 * week + 2) * week) * week + 1)
    month = 2.0 ** (-1 / 28)
    assert found[12][5]["priced"] == pytest.approx(((8 * month + 2) * month) * month + 1)


# --- the file ----------------------------------------------------------------------------------------------------------


def made_up(n: int, seed: int) -> Rows:
    random = np.random.default_rng(seed)
    rows = np.zeros(2 * n, ROW_DTYPE)
    for kind in range(2):
        part = rows[kind * n : (kind + 1) * n]
        part["kind"], part["hash"] = kind, random.choice(np.arange(1, 10 * n + 1), n, replace=False)
    rows["values"] = random.random((2 * n, len(VALUES)))
    return rows


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 500), max_size=30))
def test_what_is_looked_up_is_what_was_written_and_what_is_not_there_is_missing(
    n: int, seed: int, asked: list[int]
) -> None:
    rows = made_up(n, seed)
    catalogue = Catalogue(rows)
    for kind, name in enumerate(KINDS):
        known = {int(one["hash"]): one["values"] for one in rows if one["kind"] == kind}
        found = catalogue.look_up(name, np.array(asked, np.uint32))
        for hash, values in zip(asked, found, strict=True):
            np.testing.assert_array_equal(values, known.get(hash, np.full(len(VALUES), np.nan, np.float32)))


def test_equal_rows_in_any_order_give_the_same_file(tmp_path: Path) -> None:
    rows = made_up(20, 1)
    path, sha256 = write_catalogue(tmp_path, "2024-05-01", rows)
    assert write_catalogue(tmp_path, "2024-05-01", np.random.default_rng(0).permutation(rows)) == (path, sha256)
    assert list(tmp_path.iterdir()) == [path]
    asked = rows["hash"][:20]
    np.testing.assert_array_equal(read_catalogue(path, sha256).look_up("product", asked), rows["values"][:20])
    other, _ = write_catalogue(tmp_path, "2024-05-01", rows[1:])
    assert other != path
    assert path.exists()


@pytest.mark.parametrize("what", ["missing", "altered", "no array", "another form"])
def test_a_file_that_is_not_the_one_that_was_announced_is_refused(tmp_path: Path, what: str) -> None:
    path, sha256 = write_catalogue(tmp_path, "2024-05-01", made_up(3, 1))
    if what == "missing":
        path.unlink()
    elif what == "altered":
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    else:
        if what == "no array":
            path.write_bytes(b"nothing")
        else:
            np.save(path, np.zeros(3))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="Publish again"):
        read_catalogue(path, sha256)


def test_the_file_of_a_day_has_the_rates_of_its_products_and_categories() -> None:
    known = sums(
        row(0, 0, viewed=9, events=9), row(1, 3, viewed=9, viewed_carted=3, events=9, popularity=math.e - 1),
        row(2, 4, parent=3, viewed=9, viewed_carted=3, events=9, popularity=0, priced=2.0, price_log=7.0),
    )  # fmt: skip
    catalogue = Catalogue(to_catalogue(to_arrow(19_000, known)))
    (category,) = catalogue.look_up("category", np.array([3], np.uint32))
    (product,) = catalogue.look_up("product", np.array([4], np.uint32))
    assert category[VALUES.index("popularity_log")] == pytest.approx(1)
    assert product[VALUES.index("popularity_log")] == 0
    assert np.isnan(category[VALUES.index("usual_price_log")])
    assert product[VALUES.index("usual_price_log")] == 3.5
    assert product[0] == pytest.approx(rates(known)["view_cart"][2])
