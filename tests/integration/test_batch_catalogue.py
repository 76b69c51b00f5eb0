"""The catalogue against plain Python: whatever is built in which order, a day knows what came before it, and no more."""

from __future__ import annotations

import datetime
import math
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import SecretStr

from lambent import keys
from lambent.catalogue import KINDS, SHOWN, VALUES, read_catalogue
from lambent.control import CatalogueEntry, decode_control
from lambent.encoding import text_hash
from lambent.errors import DataError
from lambent.events import Event
from lambent.features import shop_features
from lambent.settings import Settings
from lambent.tables import CATALOGUE, CATALOGUE_COLUMNS, EVENTS, TRAINING_COLUMNS
from spark_jobs import catalogue, training_parts, training_sessions
from spark_jobs.catalogue_publish import publish_catalogue
from spark_jobs.catalogue_rows import DAY_MS, SUMS_DTYPE, day_of, to_arrow
from spark_jobs.commits import append, ddl, replace_days
from spark_jobs.ingest import first_copies
from spark_jobs.shown import InForce
from spark_jobs.smoothing import find_strength, whole_rate
from tests.batch_rows import rows_of
from tests.integration.test_batch_ingest import read
from tests.valkey import Valkey, server, valkey  # noqa: F401

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.spark]

FEATURES = shop_features()
FIRST = 19_700
Log = list[tuple[Event, int]]


def made_up_log(random: Random, days: int, events: int = 400) -> Log:
    log = []
    for n in range(events):
        ms = (FIRST + random.randrange(days)) * DAY_MS + random.choice([0, 1, DAY_MS - 1, random.randrange(DAY_MS)])
        product = random.choice([None, "a", "b", "c", "größe"])
        event = Event(
            user=keys.pseudonym(f"u{random.randrange(25)}", b"k"), event_ms=ms, id=f"e{n}-{random.random()}",
            type=random.choice(["view", "view", "cart", "purchase", "search"]), product=product,
            category=random.choice([None, "x", "y"]) if product != "c" else None, price=random.choice([None, 0, 5, 7.5, 99]),
        )  # fmt: skip
        log.append((event, ms))
    return log


def oracle(log: Log, day: int) -> dict[tuple[str, int], dict[str, Any]]:
    """What is known of each at the day's start, by the definition."""
    known = [(event, ms) for event, ms in log if ms < day * DAY_MS]
    visits: dict[tuple[str, int], dict[tuple[str, int], set[str]]] = defaultdict(lambda: defaultdict(set))
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for event, ms in sorted(known, key=lambda one: (one[1], one[0].id)):
        names = [("whole", 0), ("category", text_hash(event.category)), ("product", text_hash(event.product))]
        for kind, hash in names:
            if kind == "whole" or hash:
                one = found.setdefault(
                    (kind, hash), {"events": 0, "popularity": 0.0, "priced": 0.0, "price_log": 0.0, "parent": 0}
                )
                one["events"] += 1
                one["popularity"] += 2 ** ((ms / DAY_MS - day) / 7)
                if event.price is not None:
                    one["priced"] += 2 ** ((ms / DAY_MS - day) / 28)
                    one["price_log"] += 2 ** ((ms / DAY_MS - day) / 28) * math.log1p(event.price)
                one["parent"] = (kind == "product" and text_hash(event.category)) or one["parent"]
                visits[kind, hash][event.user, ms // DAY_MS].add(event.type)
    for key, one in found.items():
        seen = list(visits[key].values())
        one["usual_price_log"] = one["price_log"] / one["priced"] if one["priced"] else None
        one["viewed"] = sum("view" in types for types in seen)
        one["carted"] = sum("cart" in types for types in seen)
        one["viewed_carted"] = sum({"view", "cart"} <= types for types in seen)
        one["viewed_bought"] = sum({"view", "purchase"} <= types for types in seen)
        one["carted_bought"] = sum({"cart", "purchase"} <= types for types in seen)
    for name, k, n in (("view_cart", "viewed_carted", "viewed"), ("cart_purchase", "carted_bought", "carted"),
                       ("view_purchase", "viewed_bought", "viewed")):  # fmt: skip
        smooth(found, name, k, n)
    return found


def smooth(found: dict[tuple[str, int], dict[str, Any]], name: str, k: str, n: str) -> None:
    whole = found["whole", 0]
    whole[name] = whole_rate(whole[k], whole[n])
    for kind in ("category", "product"):
        own = [one for (of, _), one in found.items() if of == kind]
        means = [found.get(("category", one["parent"]), whole)[name] for one in own]
        strength = find_strength(np.array([one[k] for one in own]), np.array([one[n] for one in own]), np.array(means))
        for one, mean in zip(own, means, strict=True):
            one[name] = (one[k] + strength * mean) / (one[n] + strength)


def assert_is(settings: Settings, log: Log, days: range) -> None:
    rows = read(settings, CATALOGUE)
    assert {row["day"] for row in rows} == {day_of(day) for day in days}
    for day in days:
        own = {(row["kind"], row["hash"]): row for row in rows if row["day"] == day_of(day)}
        expected = oracle(log, day)
        assert own.keys() == expected.keys()
        for key, one in expected.items():
            assert {name: own[key][name] for name in one} == pytest.approx(one, rel=1e-9), (day, key)
            assert set(one) | {"day", "kind", "hash"} == set(CATALOGUE_COLUMNS)


def enter(spark: SparkSession, settings: Settings, log: Log, watermark_ms: int = 0) -> None:
    rows = first_copies(spark.createDataFrame(rows_of(log, [])), None)
    append(rows, settings.table(EVENTS), {"watermark_ms": watermark_ms})


def test_each_day_knows_what_came_before_it_whatever_is_built_in_which_order(
    spark: SparkSession, settings: Settings
) -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    random = Random(seed)
    log = made_up_log(random, 5)
    enter(spark, settings, log)
    days = range(FIRST + 1, FIRST + 6)
    first_ms, last_ms = min(ms for _, ms in log), max(ms for _, ms in log)
    assert (first_ms // DAY_MS, last_ms // DAY_MS) == (FIRST, FIRST + 4)

    for number in (FIRST + 3, FIRST + 4):  # alone, and going on from it
        catalogue.build(settings, day_of(number))
    assert_is(settings, log, range(FIRST + 3, FIRST + 5))
    assert catalogue.build(settings).facts["days"] == 1  # the last one; backfilled are the others below
    catalogue.build(settings, day_of(FIRST + 2))
    catalogue.build(settings, day_of(FIRST + 1))
    assert_is(settings, log, days)
    before = read(settings, CATALOGUE)
    report = catalogue.build(settings)
    assert (report.rows, report.facts["days"], report.facts["day"]) == (0, 0, str(day_of(FIRST + 5)))
    assert read(settings, CATALOGUE) == before

    late = made_up_log(random, 2, 50)  # a file of the past, read afterwards
    enter(spark, settings, late)
    assert catalogue.build(settings).facts["days"] == 5
    assert_is(settings, log + late, days)
    assert_training_shows(spark, settings, log + late)


def assert_training_shows(spark: SparkSession, settings: Settings, log: Log) -> None:
    """Each event of a file is shown with what was known at the start of its day, and nothing of that day or later."""
    events, table = (spark.read.format("delta").load(settings.table(name)) for name in (EVENTS, CATALOGUE))
    rows = training_sessions.rows_of(events, FEATURES, rules := settings.load_traffic(), table)
    cuts = training_parts.Cuts(newest_ms=2**62, validation_ms=0, test_ms=0)
    fold = training_sessions.folding(FEATURES, rules, cuts, InForce())
    made = rows.mapInArrow(lambda batches: (one for own in fold(batches) for one in own.groups), ddl(TRAINING_COLUMNS))
    sessions = made.collect()
    known = {day: oracle(log, day) for day in range(FIRST + 1, FIRST + 6)}
    of_user: dict[str, Log] = defaultdict(list)
    for event, ms in sorted(log, key=lambda one: (one[1], one[0].id)):
        of_user[event.user].append((event, ms))
    for session in sorted(sessions, key=lambda one: one.start_ms):
        own, of_user[session.user] = of_user[session.user][: session.length], of_user[session.user][session.length :]
        steps = np.array(session.floats).reshape(session.length, -1)
        for (event, ms), step in zip(own, steps, strict=True):
            floats = dict(zip(FEATURES.step_floats, step, strict=True))
            for kind in KINDS:
                one = known.get(ms // DAY_MS, {}).get((kind, text_hash(getattr(event, kind))))
                expected = [0.0] * len(SHOWN) if one is None else [one[name] for name in SHOWN[:-1]]
                expected[len(SHOWN) - 1 :] = [0.0 if one is None else math.log1p(one["popularity"])]
                assert floats[f"{kind}_unknown"] == (one is None)
                assert [floats[f"{kind}_{name}"] for name in SHOWN] == pytest.approx(expected, rel=1e-5)
                usual = one and one["usual_price_log"]
                assert floats[f"{kind}_usual_missing"] == (usual is None or event.price is None)
                less = 0.0 if usual is None or event.price is None else math.log1p(event.price) - usual
                assert floats[f"{kind}_price_less_usual"] == pytest.approx(less, rel=1e-5, abs=1e-5)
    assert not any(of_user.values())


def test_the_newest_day_is_published_and_announced_in_every_partition_once(
    settings: Settings, valkey: Valkey  # noqa: F811
) -> None:  # fmt: skip
    settings = settings.model_copy(update={"store_url": SecretStr(valkey.url)})
    with pytest.raises(DataError, match=r"There is no table .*catalogue\. Build it first: lambent batch catalogue"):
        publish_catalogue(settings)
    for number in (FIRST, FIRST + 1):
        sums = np.zeros(3, SUMS_DTYPE)
        sums["key"], sums["events"], sums["popularity"] = [0, 1 << 32 | 7, 2 << 32 | 9], 1, number
        replace_days(to_arrow(number, sums), settings.table(CATALOGUE), str(day_of(number)), str(day_of(number)))
    reports = [publish_catalogue(settings) for _ in range(2)]
    assert [report.counts["partitions_told"] for report in reports] == [4, 0]
    for p in range(4):
        ((_, fields),) = valkey.client.xrange(keys.events(p))
        entry = decode_control(fields[b"c"])
        assert isinstance(entry, CatalogueEntry)
        assert entry.day == str(day_of(FIRST + 1))
        (product,) = read_catalogue(Path(entry.path), entry.sha256).look_up("product", np.array([9], np.uint32))
        assert product[VALUES.index("popularity_log")] == pytest.approx(np.log1p(FIRST + 1))


def test_a_day_up_to_which_the_log_is_not_archived_is_refused(spark: SparkSession, settings: Settings) -> None:
    log = made_up_log(Random(1), 2, 20)
    enter(spark, settings, log, watermark_ms=(FIRST + 1) * DAY_MS - 1)
    with pytest.raises(DataError, match=r"not archived up to the start of 2023-12-10\. Ingest it first"):
        catalogue.build(settings, datetime.date(2023, 12, 10))
    with pytest.raises(DataError, match=r"There is no table .*events\. Run lambent ingest first"):
        catalogue.build(settings.model_copy(update={"tables": str(settings.root / "none")}))


def test_a_table_of_a_version_that_knew_less_is_refused_with_what_to_do(settings: Settings) -> None:
    rows = to_arrow(FIRST, np.zeros(1, SUMS_DTYPE)).drop_columns(["usual_price_log"])
    replace_days(rows, settings.table(CATALOGUE), str(day_of(FIRST)), str(day_of(FIRST)))
    with pytest.raises(DataError, match=r"catalogue has other columns .* Delete it, and run lambent batch catalogue"):
        catalogue.newest_day(settings)
