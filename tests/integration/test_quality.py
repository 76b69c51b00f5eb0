"""Quality of the tables: what is good passes, each kind of fault fails the job by name, and chance raises no alarm."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import write_deltalake

from lambent.errors import DataError, SettingsError
from lambent.settings import Settings
from lambent.tables import EVENTS, LOG, PROFILES, TRAINING_SESSIONS
from spark_jobs import quality, samples
from spark_jobs.run import run
from tests.aging import DAY_MS, age
from tests.model_tables import FEATURES, simulated_events, training_table, write_training_table

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """Three weeks of a simulated shop, in which nothing drifts."""
    return training_table(simulated_events(1_200, 21, 5))


def parted(rows: pa.Table) -> pa.Table:
    """As the job parts them: users who are held out are in ``test`` alone, which is the newest part."""
    start_ms = rows.column("start_ms").to_numpy()
    edges = np.quantile(start_ms, [0.7, 0.85])
    split = np.array(["train", "validation", "test"])[np.searchsorted(edges, start_ms)]
    rows = rows.set_column(rows.schema.get_field_index("split"), "split", pa.array(split))
    return rows.filter((pc.field("split") == "test") | ~pc.field("held_out"))


@pytest.fixture
def shop(settings: Settings, rows: pa.Table) -> Settings:
    """A shop whose model was trained on all but the last three days, and whose tables are good."""
    newest_ms = pc.max(rows.column("start_ms")).as_py()
    write_training_table(settings, parted(rows.filter(pc.field("start_ms") < newest_ms - 3 * DAY_MS)))
    (folder := settings.artifacts_root / "3").mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"version": 3, "data": {"training_sessions_version": 0}}))
    write_training_table(settings, rows)
    for name, columns in ((EVENTS, ("event_id", "user", "type", "event_ms")), (PROFILES, ("user", "clock_ms"))):
        write_deltalake(settings.table(name), pa.table({column: ["a", "b"] for column in columns}))
    return settings


def replace_new(settings: Settings, rows: pa.Table, feature: str) -> None:
    """Add 3 to a feature of all sessions, in a version that the model has not seen."""
    at, width = FEATURES.profile.feature_names.index(feature), len(FEATURES.profile.feature_names)
    values = rows.column("profile").combine_chunks().flatten().to_numpy().reshape(-1, width).copy()
    values[:, at] += 3
    profile = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width).cast(pa.list_(pa.float32()))
    write_training_table(settings, rows.set_column(rows.schema.get_field_index("profile"), "profile", profile))


def test_a_shop_in_which_nothing_drifts_passes_and_its_report_names_every_feature(shop: Settings) -> None:
    (report,) = run(shop, ["quality"])
    assert (report.counts["failed"], report.facts["reference_version"]) == (0, 0)
    assert report.facts["new_sessions"] > 100
    found = json.loads((shop.root / "reports" / "quality.json").read_text())
    subjects = {one["subject"] for one in found["checks"] if one["measure"] == "ks"}
    exempt = {"first_s", "member_since_s", *FEATURES.profile.now_names}
    assert subjects == {*FEATURES.profile.feature_names, "length", "intent"} - exempt
    assert not any(one["failed"] for one in found["checks"])
    assert len((shop.root / "reports" / "quality.md").read_text().splitlines()) > len(found["checks"])


def test_a_feature_that_has_drifted_fails_the_job_by_its_name_value_and_limit(shop: Settings, rows: pa.Table) -> None:
    replace_new(shop, rows, "view_count")
    with pytest.raises(DataError) as caught:
        quality.check(shop)
    assert "2 of " in caught.value.cause
    for told in ("training_sessions: view_count: psi 6", "training_sessions: view_count: ks 0.9"):
        assert told in caught.value.cause
    assert "train on it" in caught.value.remedy
    assert str(shop.root / "reports" / "quality.md") in caught.value.remedy
    text = (shop.root / "reports" / "quality.md").read_text().splitlines()
    assert sum("**fails**" in line for line in text) == 2
    # Trained on it, it is what the next run compares with.
    (shop.artifacts_root / "3" / "model.json").write_text(
        json.dumps({"version": 3, "data": {"training_sessions_version": 2}})
    )
    assert quality.check(shop).facts["drift"] == "There are no new sessions."
    with pytest.raises(DataError, match="view_count"):
        quality.check(shop, reference=0)


def test_a_handful_of_new_sessions_raises_no_alarm_by_chance(shop: Settings, rows: pa.Table) -> None:
    newest_ms = pc.max(rows.column("start_ms")).as_py()
    order = np.random.default_rng(2)
    for _ in range(3):
        few = pc.field("start_ms") < newest_ms - 3 * DAY_MS
        new = rows.filter(~few)
        write_training_table(shop, pa.concat_tables([rows.filter(few), new.take(order.choice(len(new), 8))]))
        assert quality.check(shop).facts["new_sessions"] <= 9


@pytest.mark.parametrize(
    ("table", "columns", "told"),
    [
        (EVENTS, {"event_id": ["a", None]}, "events: event_id: nulls 0.5, limit 0"),
        (PROFILES, {"user": pa.array([], "string")}, "profiles: rows 0, limit 1"),
    ],
)
def test_missing_rows_and_values_fail_the_job(
    shop: Settings, table: str, columns: dict[str, list[str]], told: str
) -> None:
    write_deltalake(shop.table(table), pa.table(columns), mode="overwrite", schema_mode="overwrite")
    with pytest.raises(DataError, match=told):
        quality.check(shop)


def test_what_is_old_fails_the_job_only_where_there_is_a_live_log(shop: Settings) -> None:
    age(shop.table(PROFILES), 1)
    assert quality.check(shop).counts["failed"] == 0
    write_deltalake(shop.table(LOG), pa.table({"n": [1]}))
    with pytest.raises(DataError, match=r"profiles: hours old 24, limit 3\..*Run the job that writes it"):
        quality.check(shop)


def test_a_number_that_is_none_fails_the_job(shop: Settings, rows: pa.Table) -> None:
    broken = rows.to_pylist()
    broken[-1]["profile"][3] = float("nan")
    broken[-1]["start_ms"] = time.time_ns() // 1_000_000
    write_training_table(shop, pa.Table.from_pylist(broken, rows.schema))
    with pytest.raises(DataError, match="not finite 1"):
        quality.check(shop)


def test_a_sample_is_bounded_and_the_same_each_time(
    shop: Settings, rows: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spark_jobs.commits import need_table

    table = need_table(shop.table(TRAINING_SESSIONS), "")
    whole = samples.read_sample(table, FEATURES)
    monkeypatch.setattr(samples, "SESSIONS", 150)
    monkeypatch.setattr(samples, "READ_SESSIONS", 64)
    some, again = (samples.read_sample(table, FEATURES) for _ in range(2))
    assert (len(whole.values), len(some.values), some.sessions) == (rows.num_rows, 150, rows.num_rows)
    assert np.array_equal(some.values, again.values)
    assert set(map(tuple, some.values)) <= set(map(tuple, whole.values))
    # Early and late sessions are as likely as any other: the mean length is the table's, within four deviations.
    length = some.names.index("length")
    spread = whole.values[:, length].std() / np.sqrt(150)
    assert abs(some.values[:, length].mean() - whole.values[:, length].mean()) < 4 * spread


def test_limits_that_are_wrong_name_their_file(shop: Settings, tmp_path: Path) -> None:
    (path := tmp_path / "limits.toml").write_text("[rows]\nevents = 'many'\n")
    with pytest.raises(SettingsError, match=r"limits\.toml: .*LAMBENT_QUALITY"):
        quality.check(shop.model_copy(update={"quality": path}))
