"""Slowly changing dimensions over generated statements: whatever files bring them in, the table is the oracle's."""

from __future__ import annotations

import bisect
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any

import pytest

from lambent.dimensions import DIMENSIONS
from lambent.tables import EVENT_COLUMNS, PRODUCT_COLUMNS, PRODUCTS
from spark_jobs.commits import ddl
from spark_jobs.dimensions import place, statement_columns
from spark_jobs.products import as_known

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = [pytest.mark.law, pytest.mark.spark]

PRODUCT = DIMENSIONS[PRODUCTS]
FILES = 3
CASES = 150  # in the same Spark jobs, which cost as much for one

Said = tuple[int, int, tuple[Any, ...]]
"""Which file says it, as of when, and the attributes."""
Span = tuple[int, int | None, int, tuple[Any, ...]]
"""From, to, told, attributes."""


def make_case(random: Random) -> list[Said]:
    """Up to ten statements about one product, near enough in time and value to agree and to contradict each other."""

    def value() -> tuple[Any, ...]:
        return random.choice([None, "a", "b"]), random.choice([None, "x"]), random.choice([None, 0.0, 1.5])

    usual = [value() for _ in range(2)]
    return [(random.randrange(FILES), random.randrange(12), random.choice(usual)) for _ in range(random.randint(1, 10))]


def spans(said: dict[int, tuple[Any, ...]]) -> list[Span]:
    """What is known of one key, by the definition: what was said last holds until something else is said."""
    found: list[Span] = []
    for at, value in sorted(said.items()):
        if found and found[-1][3] == value:
            found[-1] = (*found[-1][:2], at, value)
        else:
            found[-1:] = [(found[-1][0], at, *found[-1][2:])] if found else []
            found.append((at, None, at, value))
    return found


def oracle(case: list[Said]) -> tuple[dict[int, tuple[Any, ...]], list[tuple[int, int]]]:
    """One file after another: what was accepted, by time; and which statements are refused (file, line)."""
    said: dict[int, tuple[Any, ...]] = {}
    refused = []
    for file in range(FILES):
        before, here = spans(said), {}
        for line, (_, at, value) in ((n, one) for n, one in enumerate(case) if one[0] == file):
            first = here.setdefault(at, value)
            held = next((span[3] for span in before if span[0] <= at <= span[2]), first)
            if value == held:
                said[at] = value
            else:
                refused.append((file, line))
    return said, refused


def statements(spark: SparkSession, many: list[list[Said]], file: int) -> DataFrame:
    rows = [
        (f"p{n}", *value, at, f"f{file}", line, 0, None, None, None)
        for n, case in enumerate(many)
        for line, (own, at, value) in enumerate(case)
        if own == file
    ]
    return spark.createDataFrame(rows, ddl(statement_columns(PRODUCT)))


def put(rows: DataFrame, changes: DataFrame) -> DataFrame:
    """What ``commits.merge`` does, in memory."""
    at = [PRODUCT.key, "valid_from_ms"]
    kept = rows.join(changes, at, "left_anti").unionByName(changes.where("NOT gone").drop("gone"))
    return kept.select(*PRODUCT_COLUMNS)


def test_files_in_any_order_give_the_spans_of_the_oracle_and_events_see_nothing_of_later(spark: SparkSession) -> None:
    seed = SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # Hypothesis would try the simplest first, and each example is as dear as all of these
    random = Random(seed)
    many = [make_case(random) for _ in range(CASES)]
    times = [random.randrange(14) for _ in range(3 * CASES)]
    rows = spark.createDataFrame([], ddl(PRODUCT_COLUMNS))
    refused = []
    for file in range(FILES):
        placed = place(statements(spark, many, file), rows, PRODUCT)
        refused.append(placed.refused)
        rows = put(rows, placed.changes.localCheckpoint()).localCheckpoint()

    expected, wrong, known = [], [], {}
    for n, case in enumerate(many):
        said, against = oracle(case)
        known[f"p{n}"] = sorted(said.items())
        expected += [(f"p{n}", *value, start, end, told) for start, end, told, value in spans(said)]
        wrong += [(f"p{n}", f"f{file}", line) for file, line in against]
    found = {tuple(row) for row in rows.collect()}
    assert found ^ set(expected) == set()
    contradicting = refused[0].unionByName(refused[1]).unionByName(refused[2]).collect()
    assert sorted((row.product, row.origin, row.line) for row in contradicting) == sorted(wrong)
    assert wrong  # contradictions were among them

    again = place(statements(spark, [[one for one in case if one[0] == 0] for case in many], 0), rows, PRODUCT)
    assert again.changes.isEmpty()

    events = [
        {"event_id": str(n), "product": f"p{n % CASES}", "event_ms": at, "source": n % 5 == 0, "brand": "own"}
        | ({"brand": None} if n % 3 else {})
        for n, at in enumerate(times)
    ]
    completed = as_known(spark.createDataFrame([_event(**one) for one in events], ddl(EVENT_COLUMNS)), rows).collect()
    assert {row.event_id: (row.category, row.brand, row.price) for row in completed} == {
        one["event_id"]: _completed(one, known) for one in events
    }


def _event(source: bool, **fields: Any) -> tuple[Any, ...]:
    return tuple({**fields, "source": int(source)}.get(name) for name in EVENT_COLUMNS)


def _completed(event: dict[str, Any], known: dict[str, list[tuple[int, tuple[Any, ...]]]]) -> tuple[Any, ...]:
    said = known[event["product"]]
    last = bisect.bisect_right([at for at, _ in said], event["event_ms"]) - 1
    if event["source"] or last < 0:
        return None, event["brand"], None
    category, brand, price = said[last][1]
    return category, event["brand"] or brand, price
