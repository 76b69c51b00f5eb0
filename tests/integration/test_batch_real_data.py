"""Real shop events through ingest and profiles: the counts are known, and every user's profile is the oracle's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from lambent.features import FeatureSet
from lambent.law import differs
from lambent.mapping import load_mapping, read_events
from lambent.settings import Settings
from lambent.tables import EVENTS, PROFILES
from spark_jobs import ingest, profiles
from spark_jobs.commits import last_metadata, need_table
from tests.batch_rows import as_files, built_profiles, oracle_profiles, stacked
from tests.spark import shared_file

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.integration, pytest.mark.spark, pytest.mark.slow]

DATA = {
    "rees46": ("rees46-2019-oct-slice/2019-Oct.csv.gz", 17_434, 5, 4_504),
    "taobao": ("taobao-983-users/UserBehavior.csv.gz", 100_001, 0, 983),
}


@pytest.mark.parametrize("mapping", DATA)
def test_a_real_file_gives_its_known_counts_and_the_oracles_profiles(
    spark: SparkSession, settings: Settings, mapping: str
) -> None:
    name, rows, duplicates, users = DATA[mapping]
    path = shared_file(name)

    report = ingest.ingest_files(settings, [path], mapping)
    assert (report.rows, report.counts) == (rows - duplicates, {"read": rows, "duplicates": duplicates})
    assert need_table(settings.table(EVENTS), "").to_pyarrow_dataset().count_rows() == report.rows

    assert profiles.build(settings).rows == users
    features = FeatureSet(settings.load_taxonomy())
    table = need_table(settings.table(PROFILES), "")
    assert last_metadata(table) == {"events_version": 1, "cutoff_ms": 0, "features": features.hash}

    key = settings.user_key_bytes()
    log = [(row.event, 0) for row in read_events(path, load_mapping(mapping), features.taxonomy, key) if row.event]
    expected = oracle_profiles(features, as_files(log))
    names, found = built_profiles(features, settings.table(PROFILES))
    wrong = differs(features.profile, found, stacked(features, expected, names), stored=False)
    assert not {name: np.array(names)[rows] for name, rows in wrong.items() if rows.any()}
