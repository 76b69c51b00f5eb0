"""Rows of ``catalogue`` in numpy: sums of visits from day to day, and the rates that follow from them."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lambent.catalogue import KINDS, ROW_DTYPE, STEPS, Rows
from lambent.tables import CATALOGUE_COLUMNS
from spark_jobs.rows import arrow_types
from spark_jobs.smoothing import Floats, shrunk, whole_rate

if TYPE_CHECKING:
    import pyarrow as pa

DAY_MS = 86_400_000
DECAYED = {"popularity": ("1", 7), "priced": ("int(price IS NOT NULL)", 28), "price_log": ("log1p(price)", 28)}
"""Sums over events that fade: of what, in SQL over an event's columns, and the half-life in days. A price is the usual one over
a month, in which a sale of some days counts little."""
WHOLE = "whole"
CODES = (WHOLE, "category", "product")
"""Kinds by their code here, the larger groups first."""
COUNTS = ("events", "viewed", "carted", "viewed_carted", "viewed_bought", "carted_bought")
OF = {"view_cart": ("viewed_carted", "viewed"), "cart_purchase": ("carted_bought", "carted"),
      "view_purchase": ("viewed_bought", "viewed")}  # fmt: skip
"""Of each rate the successes and the trials."""

SUMS_DTYPE = np.dtype(
    [("key", "i8"), ("parent", "i8"), *((name, "i8") for name in COUNTS), *((name, "f8") for name in DECAYED)]
)  # key: code << 32 | hash
Sums = NDArray[np.void]
"""A structured array of ``SUMS_DTYPE``, ascending by key."""

_EPOCH = datetime.date(1970, 1, 1)


def day_number(day: datetime.date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days


def day_of(number: int) -> datetime.date:
    """The day of a number."""
    return _EPOCH + datetime.timedelta(days=number)


def from_arrow(rows: pa.Table) -> Sums:
    """Sums of rows with ``kind``, ``hash``, ``parent``, ``COUNTS`` and ``DECAYED``."""
    sums = np.zeros(rows.num_rows, SUMS_DTYPE)
    code = np.array([CODES.index(kind) for kind in rows.column("kind").to_pylist()], np.int64)
    sums["key"] = code << 32 | rows.column("hash").to_numpy()
    for name in (*COUNTS, *DECAYED):
        sums[name] = rows.column(name).to_numpy()
    sums["parent"] = rows.column("parent").fill_null(0).to_numpy()
    return np.sort(sums, order="key")


def added_up(base: Sums, daily: pa.Table, first: int, last: int) -> Iterator[tuple[int, Sums]]:
    """What was known at the start of each day from ``first`` to ``last``.

    Args:
        base: at the start of the day before ``first``.
        daily: what came on each day, from the one before ``first``: as for ``from_arrow``, and ``day``.
        first, last: days since 1970-01-01.
    """
    day = daily.column("day").to_numpy()
    came = {number: from_arrow(daily.filter(day == number)) for number in np.unique(day).tolist()}
    keys = np.unique(np.concatenate([base["key"], *(sums["key"] for sums in came.values())]))
    total = np.zeros(len(keys), SUMS_DTYPE)
    total["key"] = keys
    total[np.searchsorted(keys, base["key"])] = base
    for number in range(first, last + 1):
        new = came.get(number - 1, base[:0])
        place = np.searchsorted(keys, new["key"])
        for name, (_, half_life_days) in DECAYED.items():
            total[name] *= 2.0 ** (-1 / half_life_days)
        for name in (*COUNTS, *DECAYED):
            total[name][place] += new[name]
        total["parent"][place] = np.where(new["parent"], new["parent"], total["parent"][place])
        yield number, total[total["events"] > 0]


def rates(sums: Sums) -> dict[str, Floats]:
    """[n] of each rate: categories shrunk to the whole, products to their category."""
    code, known = sums["key"] >> 32, sums["key"]
    found = {}
    for name, (successes, trials) in OF.items():
        k, n = sums[successes], sums[trials]
        rate = np.empty(len(sums))
        whole = code == 0
        rate[whole] = mean = whole_rate(int(k[whole].sum()), int(n[whole].sum()))
        category, product = code == 1, code == 2
        rate[category] = shrunk(k[category], n[category], np.full(category.sum(), mean))
        parent = np.minimum(np.searchsorted(known, 1 << 32 | sums["parent"][product]), len(sums) - 1)
        has_parent = known[parent] == 1 << 32 | sums["parent"][product]
        rate[product] = shrunk(k[product], n[product], np.where(has_parent, rate[parent], mean))
        found[name] = rate
    return found


def usual_price_log(sums: Sums) -> Floats:
    """[n] the mean log(1 + price) of late; NaN where nobody has seen a price."""
    return np.divide(sums["price_log"], sums["priced"], out=np.full(len(sums), np.nan), where=sums["priced"] > 0)


def to_arrow(number: int, sums: Sums) -> pa.Table:
    """Rows of ``CATALOGUE_COLUMNS`` of a day."""
    import pyarrow as pa

    columns: dict[str, Any] = {
        "day": [day_of(number)] * len(sums),
        "kind": np.array(CODES)[sums["key"] >> 32],
        "hash": sums["key"] & 0xFFFF_FFFF,
        **{name: sums[name] for name in ("parent", *COUNTS, *DECAYED)},
        **rates(sums),
        "usual_price_log": pa.array(usual_price_log(sums), from_pandas=True),  # NaN becomes NULL
    }
    return pa.table({name: pa.array(columns[name], kind) for name, kind in arrow_types(CATALOGUE_COLUMNS).items()})


def to_catalogue(rows: pa.Table) -> Rows:
    """What a worker loads, of the rows of one day."""
    kinds = np.array(rows.column("kind").to_pylist())
    kept = kinds != WHOLE
    found = np.zeros(int(kept.sum()), ROW_DTYPE)
    found["kind"] = [KINDS.index(kind) for kind in kinds[kept]]
    found["hash"] = rows.column("hash").to_numpy()[kept]
    values = [rows.column("_".join(step)).to_numpy() for step in STEPS]
    values += [np.log1p(rows.column("popularity").to_numpy()), rows.column("usual_price_log").to_numpy()]
    found["values"] = np.stack(values, axis=1)[kept]
    return found
